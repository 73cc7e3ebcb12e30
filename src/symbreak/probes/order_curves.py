"""Curves of an order parameter against the learning rate, and their fits by least squares.

A curve is ``value(eta) = a g(eta; theta)`` with an amplitude a >= 0 and one or two shape parameters theta:

* ``field``: ``a sqrt((1 - (eta/eta_c)^2)_+)``, the minimum of the paper's potential (arXiv:1710.06096, section 2.5),
* ``power``: ``a sqrt((1 - (eta/eta_c)^p)_+)``, a kink with any power of eta (p = 1: multiplicative gradient noise),
* ``logistic``: ``a / (1 + exp((eta - eta_0)/w))``, smooth,

and ``quadratic``, ``a + b eta + c eta^2``, smooth too. For a given theta the best a is ``<g, y>/<g, g>``, so that a fit
is a search over theta: the best point of a grid, refined by scipy's Nelder-Mead.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Array = NDArray[np.float64]
Prediction = Callable[[Array], Any]
CRITICAL_GRID = 200  # learning rates at which a kink is tried
POWERS = np.geomspace(0.25, 8.0, 26)  # 0.25 * 2^(k/5): has 1 and 2 in it
WIDTHS = np.geomspace(0.003, 1.0, 20)  # of a logistic curve, in units of the largest learning rate
CENTRES = 80  # learning rates at which a logistic curve is tried
STEP = 0.02  # relative, of theta, with which a search begins: about a cell of the grid
TOLERANCE = 1e-7  # relative, of theta
FALL = 1e-13  # of the squares, in units of those of the values
MOST_STEPS = 2000
LEAST_NOISE = 1e-12  # relative to the values; below it a difference of fits is rounding


@dataclass(frozen=True)
class Curve:
    """A family of curves: ``shape(eta [n], theta [..., k])`` ``[..., n]``; ``grid(eta)`` of theta, ``[points, k]``."""

    name: str
    shape: Callable[[Array, Array], Array]
    grid: Callable[[Array], Array]
    parameters: int  # k and the amplitude

    def at(self, fit: "Fit", eta: Array) -> Array:
        """Return a fitted curve at learning rates ``[m]``."""
        return fit.amplitude * self.shape(eta, fit.theta)


@dataclass(frozen=True)
class Fit:
    """A fitted curve: amplitude, theta, and the sum of squared residuals."""

    amplitude: float
    theta: Array
    squares: float


def kink(eta: Array, theta: Array) -> Array:
    """Return ``sqrt((1 - (eta/eta_c)^p)_+)`` ``[..., n]``; theta ``[..., 2]`` = (eta_c, p), or ``[..., 1]``: p = 2."""
    power = theta[..., 1:] if theta.shape[-1] == 2 else np.array(2.0)
    found: Array = np.sqrt(1 - np.minimum(eta / theta[..., :1], 1.0) ** power)
    return found


def logistic(eta: Array, theta: Array) -> Array:
    """Return ``1/(1 + exp((eta - eta_0)/w))`` ``[..., n]`` for theta ``[..., 2]`` = (eta_0, w)."""
    found: Array = 0.5 - 0.5 * np.tanh((eta - theta[..., :1]) / (2 * theta[..., 1:]))
    return found


def _critical(eta: Array) -> Array:
    """Above the smallest rate, for a curve not to vanish, and up to beyond the largest, where no kink is seen."""
    return np.linspace(eta.min(), 1.5 * eta.max(), CRITICAL_GRID + 1)[1:]


def _products(*axes: Array) -> Array:
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)


FIELD = Curve("field", kink, lambda eta: _products(_critical(eta)), 2)
POWER = Curve("power", kink, lambda eta: _products(_critical(eta), POWERS), 3)
LOGISTIC = Curve(
    "logistic", logistic, lambda eta: _products(np.linspace(0, 1.5 * eta.max(), CENTRES + 1)[1:], WIDTHS * eta.max()), 3
)
CURVES = {curve.name: curve for curve in (FIELD, POWER, LOGISTIC)}
KINKS, SMOOTH = ("field", "power"), ("logistic", "quadratic")


class Fitter:
    """Fits a family of curves, theta within its grid, to many sets of values at the learning rates ``eta`` ``[n]``."""

    def __init__(self, curve: Curve, eta: Array) -> None:
        self.curve, self.eta = curve, eta
        grid = curve.grid(eta)
        shapes = curve.shape(eta, grid)
        norms = np.linalg.norm(shapes, axis=1)
        seen = norms > 0
        self._low, self._high = grid.min(axis=0), grid.max(axis=0)
        self._grid, self._directions = grid[seen], shapes[seen] / norms[seen, None]

    def fit(self, values: Array) -> Fit:
        """Return the least-squares fit to values ``[n]``."""
        start = self._grid[int(np.argmax(self._directions @ values))]
        simplex = 1 + STEP * np.vstack([np.zeros(len(start)), np.eye(len(start))])
        options: Any = {"initial_simplex": simplex, "xatol": TOLERANCE, "fatol": FALL, "maxiter": MOST_STEPS}
        scale = float(values @ values)

        def loss(theta: Array) -> float:
            return self._amplitude(theta * start, values)[1] / scale

        found = minimize(loss, simplex[0], method="Nelder-Mead", options=options)
        amplitude, squares = self._amplitude(found.x * start, values)
        return Fit(amplitude, found.x * start, squares)

    def _amplitude(self, theta: Array, values: Array) -> tuple[float, float]:
        """The best amplitude and its sum of squares; infinite beyond the grid."""
        if (theta < self._low).any() or (theta > self._high).any():
            return 0.0, float("inf")
        shape = self.curve.shape(self.eta, theta)
        amplitude = max(0.0, float(shape @ values) / max(float(shape @ shape), np.finfo(float).tiny))
        return amplitude, float(((values - amplitude * shape) ** 2).sum())


def fitted(name: str, eta: Array, values: Array) -> tuple[Prediction, float, int]:
    """Return a family's fit: its curve as a function of eta, its sum of squares, and its number of parameters."""
    if name == "quadratic":
        polynomial = np.polynomial.Polynomial.fit(eta, values, 2)
        return polynomial, float(((values - polynomial(eta)) ** 2).sum()), 3
    curve = CURVES[name]
    fit = Fitter(curve, eta).fit(values)
    return partial(curve.at, fit), fit.squares, curve.parameters


def aicc(squares: float, values: Array, parameters: int) -> float:
    """Return Akaike's criterion for Gaussian residuals of unknown variance, corrected for few points.

    ``n ln(RSS/n) + 2k + 2k(k+1)/(n-k-1)``, k counting the variance too (Hurvich and Tsai 1989, Biometrika 76, 297);
    needs n > k + 1. A sum of squares below rounding counts as rounding.
    """
    n, k = len(values), parameters + 1
    floor = LEAST_NOISE**2 * float(np.mean(values**2))
    return float(n * np.log(max(squares / n, floor)) + 2 * k + 2 * k * (k + 1) / (n - k - 1))


def compare(eta: Array, values: Array) -> tuple[dict[str, float], dict[str, float]]:
    """Return AICc and the root-mean-square error of leaving one learning rate out, of each family by name.

    Args:
        eta: Distinct learning rates ``[n]``, n > 5.
        values: The order parameter there ``[n]``.
    """
    criterion, errors = {}, {}
    for name in (*KINKS, *SMOOTH):
        _, squares, parameters = fitted(name, eta, values)
        criterion[name] = aicc(squares, values, parameters)
        errors[name] = _left_out(name, eta, values)
    return criterion, errors


def _left_out(name: str, eta: Array, values: Array) -> float:
    missed = []
    for i in range(len(eta)):
        curve, _, _ = fitted(name, np.delete(eta, i), np.delete(values, i))
        missed.append(values[i] - curve(eta[i : i + 1])[0])
    return float(np.sqrt(np.mean(np.square(missed))))

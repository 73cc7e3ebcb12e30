"""Minimum and Hessian of the O(D)-symmetric potential, found numerically, beside their closed forms.

Measured: |w*|, the eigenvalues of the Hessian at w*, how many of them vanish, and the learning rate eta_c at which
the curvature at w = 0 changes its sign. The numbers come from V and its gradient alone; the Hessian is the gradient's
complex-step derivative, H_ij = Im dV/dw_i (w + i e_j eps) / eps, free of truncation and cancellation errors.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize

from symbreak.errors import SymbreakError
from symbreak.probes.source import Source
from symbreak.seeding import derive
from symbreak.theory.potential import Potential, critical_eta, mass2, text_pi_mass, text_radius, text_sigma_mass

Array = NDArray[np.float64]
COMPLEX_STEP = 1e-30
SWEEP_END = 1.5  # in units of 2 mu / sqrt(lam)
NEAR = (1e-3, 5e-2)  # distances from the measured eta_c, relative to it, in which the exponent is measured
FLAT = 1e-8  # an eigenvalue below this fraction of the largest one counts as zero
COARSER_CUTOFFS = (6, 4, 3)  # the same with 10^-6, 10^-4, 10^-3: the literature's cut-offs differ


def probe(
    source: Source,
    *,
    couplings: Sequence[tuple[float, float]],
    dimensions: Sequence[int],
    etas: int,
    near: int,
    explicit: Sequence[float] = (0.0,),
    stable: bool = False,
) -> pd.DataFrame:
    """Minimise V for every coupling, dimension, explicit breaking and learning rate.

    Args:
        source: Gives the seeds of the random starting points.
        couplings: Pairs (mu^2, lam).
        dimensions: Numbers of components D of w.
        etas: Learning rates of the sweep through (0, 1.5) 2 mu/sqrt(lam), at the middles of equal cells.
        near: Learning rates within 5 % below the measured eta_c (none if there is no eta_c).
        explicit: Strengths of the explicit breaking, in units of mu^3/sqrt(lam).
        stable: Use m2 = +mu^2 + lam eta^2/4, for which nothing may break.

    Returns:
        One row a (seed, coupling, dimension, explicit, eta); columns ``*_theory`` are closed forms, ``text_*`` what the
        paper's text has instead. ``pi_mass`` is the tangential eigenvalue that lies farthest from its theory
        (NaN for D = 1), ``radius_error`` bounds the distance to the exact minimum by |gradient| / curvature.

    Raises:
        SymbreakError: A minimum was not reached, or explicit breaking was asked for with D = 1.
    """
    if any(explicit) and min(dimensions) < 2:
        raise SymbreakError(
            "explicit breaking with D = 1 has a second, metastable minimum and no pi mode to measure: "
            "leave 1 out of 'dimensions' or give 'explicit: [0.0]'"
        )
    units = [(s, mu2, lam, d) for s in source.seeds for mu2, lam in couplings for d in dimensions]
    rows = [row for unit in units for row in _unit(*unit, etas, near, explicit, stable)]
    return pd.DataFrame(rows)


def hessian(potential: Potential, w: Array) -> Array:
    """Return the second derivatives of V at ``w`` [D] as [D, D], by the complex step."""
    steps = w + 1j * COMPLEX_STEP * np.eye(len(w))
    rows = potential.gradient(steps).imag / COMPLEX_STEP
    return (rows + rows.T) / 2


def minimise(potential: Potential, start: Array) -> Array:
    """Return the minimum of V that is reached from ``start`` [D], to rounding.

    A trust-region search, then Newton steps in the directions that are not flat.

    Raises:
        SymbreakError: The gradient did not vanish, or the Hessian there has a negative eigenvalue.
    """
    found = minimize(
        potential.value,
        start,
        jac=potential.gradient,
        hess=partial(hessian, potential),
        method="trust-exact",
        tol=1e-9,
    )
    w: Array = found.x
    for _ in range(4):
        values, vectors = np.linalg.eigh(hessian(potential, w))
        steep = np.abs(values) > FLAT * np.abs(values).max()
        w = w - vectors[:, steep] @ (vectors[:, steep].T @ potential.gradient(w) / values[steep])
    slope = float(np.linalg.norm(potential.gradient(w)))
    if slope > 1e-10 or values[0] < -FLAT * values[-1]:
        raise SymbreakError(
            f"no minimum of {potential} in {len(w)} dimensions: expected a gradient below 1e-10 and no negative "
            f"curvature, found {slope:.1e} and {values[0]:.1e} ({found.message}); change the couplings"
        )
    return w


def measured_critical_eta(mu2: float, lam: float, dimension: int, *, stable: bool) -> float:
    """Return the eta at which the lowest eigenvalue of the Hessian at w = 0 changes its sign; NaN if it never does."""

    def curvature(eta: float) -> float:
        at_zero = hessian(Potential(mass2(mu2, lam, eta, stable=stable), lam), np.zeros(dimension))
        return float(np.linalg.eigvalsh(at_zero)[0])

    end = SWEEP_END * critical_eta(mu2, lam)
    if curvature(0.0) * curvature(end) > 0:
        return float("nan")
    return float(brentq(curvature, 0.0, end, xtol=1e-12))


def _unit(
    seed: int, mu2: float, lam: float, dimension: int, etas: int, near: int, explicit: Sequence[float], stable: bool
) -> Iterator[dict[str, Any]]:
    critical = measured_critical_eta(mu2, lam, dimension, stable=stable)
    start = np.random.default_rng(derive(seed, "start", f"mu2={mu2}", f"lam={lam}", f"d={dimension}"))
    for fraction in explicit:
        for grid, eta in _grid(critical_eta(mu2, lam), critical, etas, near):
            potential = Potential(mass2(mu2, lam, eta, stable=stable), lam, fraction * mu2**1.5 / lam**0.5)
            yield {
                "seed": seed,
                "mu2": mu2,
                "lam": lam,
                "dimension": dimension,
                "explicit": fraction,
                "grid": grid,
                "eta": eta,
                "eta_c": critical,
                "eta_c_theory": critical_eta(mu2, lam),
                "text_radius": text_radius(potential.m2, lam),
                "text_sigma_mass": text_sigma_mass(mu2),
                "text_pi_mass": text_pi_mass(lam, eta),
                **_at_minimum(potential, minimise(potential, start.standard_normal(dimension))),
            }


def _grid(scale: float, critical: float, etas: int, near: int) -> list[tuple[str, float]]:
    """The sweep never meets eta_c: (k + 1/2) / n = 2/3 asks for 6k + 3 = 4n, an odd number equal to an even one."""
    sweep = [("sweep", float(SWEEP_END * scale * (k + 0.5) / etas)) for k in range(etas)]
    if np.isnan(critical):
        return sweep
    return sweep + [("near", float(critical * (1 - distance))) for distance in np.geomspace(*NEAR, near)]


def _at_minimum(potential: Potential, w: Array) -> dict[str, Any]:
    values = np.linalg.eigvalsh(hessian(potential, w))
    relative = np.abs(values) / values[-1]
    pi = values[:-1] - potential.pi_mass()
    return {
        "m2": potential.m2,
        "h": potential.h,
        "radius": float(np.linalg.norm(w)),
        "radius_theory": potential.radius(),
        "radius_error": float(np.linalg.norm(potential.gradient(w)) / values[-1]),
        "sigma_mass": float(values[-1]),
        "sigma_mass_theory": potential.sigma_mass(),
        "pi_mass": float(values[np.abs(pi).argmax()]) if len(pi) else float("nan"),
        "pi_mass_theory": potential.pi_mass(),
        "zero_modes": int((relative < FLAT).sum()),
        "zero_modes_theory": potential.zero_modes(len(w)),
        **{f"zero_modes_1e_{digits}": int((relative < 10.0**-digits).sum()) for digits in COARSER_CUTOFFS},
    }

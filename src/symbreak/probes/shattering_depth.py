"""The correlation of gradients at unrelated inputs, and its regression on depth.

With g_ri the gradient of the output by input i in replica r, over N inputs and R replicas

    correlation = sum_r sum_{i != j} g_ri . g_rj / (N - 1)  /  sum_r sum_i |g_ri|^2

(Balduzzi et al. 2017, arXiv:1702.08591, where it is 2^-L, (3/4)^L and 1 / sqrt(1 + beta^2 L);
``symbreak.theory.shattering``). One network has one depth; ``depth_regression`` is for the correlations of several.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from symbreak.errors import SymbreakError
from symbreak.probes.network import Network
from symbreak.probes.report import Report
from symbreak.probes.shattering_inputs import Outputs, input_gradients
from symbreak.probes.usable import check_inputs
from symbreak.theory import shattering as theory

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """A straight line fitted to logarithms: ``log correlation = intercept + slope * depth``, with standard errors."""

    slope: float
    slope_error: float
    intercept: float
    intercept_error: float


def pair_correlation(network: Network, x: Tensor, outputs: Outputs = "sum") -> tuple[Array, Array]:
    """Return the correlation of gradients at different inputs, and its jackknife standard error over replicas.

    Args:
        network: R sets of parameters, at least 3, drawn alike and independently.
        x: Inputs ``[N, ...]``.
        outputs: ``sum`` or ``each``.

    Returns:
        Correlation and error, ``[C or 1]``.

    Raises:
        SymbreakError: If there are too few sets or inputs, the network couples inputs, or gradients are not finite or
            all zero.
    """
    if network.count < 3:
        raise SymbreakError(f"correlations over replicas need 3 sets of weights, there are {network.count}; give more")
    check_inputs(network, x)
    found = np.stack([_products(network, r, x, outputs) for r in range(network.count)])
    if not np.isfinite(found).all() or not (found[:, 1].sum(axis=0) > 0).all():
        raise SymbreakError("gradients by the inputs are not finite or all zero; probe other weights")
    total = found.sum(axis=0)
    _, error = jackknife_of(np.divide(*np.moveaxis(total - found, 1, 0)))
    return total[0] / total[1], error


def depth_regression(depth: ArrayLike, correlation: ArrayLike, error: ArrayLike) -> Line:
    """Fit the logarithm of correlations to a straight line in depth, weighted by their errors.

    Args:
        depth: Depths L, or what else the logarithm is linear in: ``log(1 + beta^2 L)`` for residual nets with norm.
        correlation: Correlations, positive.
        error: Their standard errors, positive.

    Raises:
        SymbreakError: If there are fewer than 3 depths, or a correlation or an error is not positive.
    """
    x, y, wrong = (np.asarray(values, dtype=np.float64) for values in (depth, correlation, error))
    if len(np.unique(x)) < 3 or not (y > 0).all() or not (wrong > 0).all():
        raise SymbreakError(
            f"a regression needs 3 depths and positive correlations and errors; found depths {x.tolist()}, "
            f"correlations {y.tolist()}, errors {wrong.tolist()}; leave out depths at which nothing is left"
        )
    (slope, intercept), matrix = np.polyfit(x, np.log(y), 1, w=y / wrong, cov="unscaled")
    slope_error, intercept_error = np.sqrt(np.diag(matrix))
    return Line(float(slope), float(slope_error), float(intercept), float(intercept_error))


def jackknife(values: Array) -> tuple[Array, Array]:
    """Return the mean of ``values`` ``[R, ...]`` over its first axis and its jackknife standard error, ``[...]``."""
    return values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))


def jackknife_of(left_out: Array) -> tuple[Array, Array]:
    """Return mean and jackknife standard error of a statistic, given its values without one replica, ``[R, ...]``."""
    return left_out.mean(axis=0), left_out.std(axis=0) * np.sqrt(len(left_out) - 1)


def add_depth(report: Report, network: Network, x: Tensor, outputs: Outputs, depth: int, beta: float) -> None:
    """Add the correlation at inputs ``x`` and the closed forms for ``depth`` hidden layers or blocks."""
    if depth < 1:
        raise SymbreakError(f"'depth' is the number of hidden layers or blocks, at least 1, not {depth}")
    found, error = pair_correlation(network, x, outputs)
    report.add("pair_correlation", found, unit="1", axes=("output",), error=error)
    report.add("plain", theory.plain(depth), unit="1")
    report.add("residual", theory.residual(depth), unit="1")
    report.add("residual_normed", theory.residual_normed(depth, beta), unit="1")


def _products(network: Network, r: int, x: Tensor, outputs: Outputs) -> Array:
    """Of one replica, sum_{i != j} g_i . g_j / (N - 1) and sum_i |g_i|^2, ``[2, C or 1]``."""
    total: Array | float = 0.0
    squares: Array | float = 0.0
    for chunk in input_gradients(network, r, x, outputs):
        gradients = chunk.double().flatten(2).numpy(force=True)
        total = total + gradients.sum(axis=1)
        squares = squares + np.square(gradients).sum(axis=(1, 2))
    return np.stack([(np.square(total).sum(axis=-1) - squares) / (len(x) - 1), np.asarray(squares)])

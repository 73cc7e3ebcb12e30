"""Whether gradients by the input look like noise: their autocorrelation and covariance along a line of inputs.

The network's output f (a sum of outputs, or each) is followed along x(t), t_1 ... t_n equally spaced: a scalar input
itself, or the straight line between two inputs, x = a + t (b - a) with t from 0 to 1. With g_i = df/dt at t_i

    autocorrelation  rho(k) = sum_i (g_i - g)(g_{i+k} - g) / sum_i (g_i - g)^2,  g the mean over the line
    covariance       C_ij = sum_r (g_ri - g_i)(g_rj - g_j) / (R - 1),  g_i the mean over replicas r = 1 ... R

(Balduzzi et al. 2017, arXiv:1702.08591, figure 2). References are the expected autocorrelations of white noise and of
Brownian motion on as many points. How correlations at unrelated inputs fall with depth: ``shattering_depth``.

The network is in eval mode: with a BatchNorm that uses its batch's statistics a gradient depends on all inputs of the
batch, and such networks are refused. At initialisation a BatchNorm in eval mode does nothing, which is warned of.
"""

from typing import Final, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft
from torch import Tensor

from symbreak.errors import SymbreakError
from symbreak.probes.network import Data, Network
from symbreak.probes.report import Report
from symbreak.probes.shattering_depth import add_depth, jackknife
from symbreak.probes.shattering_inputs import Outputs, input_gradients
from symbreak.probes.usable import check_inputs
from symbreak.theory.shattering import brownian_autocorrelation, white_autocorrelation

NEEDS: Final = "model"
Axis = Literal["replica", "time"]
ENDS = (-2.0, 2.0)  # of a scalar input, as in the paper's figures
CONSTANT = 100.0  # epsilons of the largest gradient below which its variation along the line is rounding

Array = NDArray[np.float64]


def measure(
    network: Network,
    data: Data,
    *,
    seed: int,
    points: int = 256,
    outputs: Outputs = "sum",
    ends: list[float] | None = None,
    rows: list[int] | None = None,
    depth: int | None = None,
    beta: float = 1.0,
    axis: Axis = "replica",
    loss: str = "cross_entropy",
) -> Report:
    """Measure autocorrelation and covariance of the gradients along a line.

    Args:
        network: R sets of parameters.
        data: N inputs; labels are not used. Of a scalar input only its shape is, unless ``rows`` or ``depth`` is given.
        seed: Not used: nothing is drawn.
        points: Points n of the line.
        outputs: ``sum`` of all outputs, or ``each``.
        ends: First and last value of a scalar input; default: -2 and 2.
        rows: The two inputs of ``data`` that the line joins; default, if inputs are not scalar: 0 and 1.
        depth: Number of hidden layers or blocks; if given, the correlation of gradients at different inputs of
            ``data`` is measured over the replicas and laid beside the closed forms for this depth.
        beta: Scale of the residual branches in the closed forms.
        axis: What the sets are: ``replica`` or ``time``. Averages are over replicas only.
        loss: Not used: gradients are those of the outputs.

    Returns:
        ``coordinate`` ``[point]``; ``autocorrelation`` ``[R, output, lag]``, exact for these networks and points; the
        references ``white`` and ``brown`` ``[lag]``; of 3 or more replicas ``mean_autocorrelation`` ``[output, lag]``
        and ``covariance`` ``[output, point, point]`` with jackknife standard errors; with ``depth`` also
        ``pair_correlation`` ``[output]``, ``plain``, ``residual`` and ``residual_normed``.

    Raises:
        SymbreakError: If network or options cannot be handled, gradients are not finite, or one does not vary.
    """
    _check_options(points, outputs, axis)
    start, end, first, last = _line(data.x, ends, rows)
    gradients = line_gradients(network, start, end, points, outputs) / (last - first)
    report = Report()
    if _idle_norms(network):
        report.warn("a BatchNorm's running mean is 0 and its variance 1, as it is built: in eval mode it does nothing")
    report.add("coordinate", np.linspace(first, last, points), unit="input coordinate", axes=("point",))
    series = np.stack([autocorrelation(one) for one in gradients])
    report.add("autocorrelation", series, unit="1", axes=(axis, "output", "lag"))
    report.add("white", white_autocorrelation(points), unit="1", axes=("lag",))
    report.add("brown", brownian_autocorrelation(points), unit="1", axes=("lag",))
    if axis == "replica":
        _add_averages(report, gradients, series)
    if depth is not None:
        if axis != "replica":
            raise SymbreakError("'depth' needs replicas, over which correlations are averaged; leave one of them out")
        add_depth(report, network, data.x, outputs, depth, beta)
    return report


def line_gradients(network: Network, start: Tensor, end: Tensor, points: int, outputs: Outputs = "sum") -> Array:
    """Return df/dt on the line ``start + t (end - start)``, t from 0 to 1, of all sets of parameters.

    Args:
        network: R sets of parameters.
        start: An input, without the axis of samples.
        end: Another.
        points: Number of points, at least 3.
        outputs: ``sum`` or ``each``.

    Returns:
        ``[R, C or 1, points]`` in float64, in outputs per unit of t.

    Raises:
        SymbreakError: If both inputs are equal, the network couples inputs or a gradient is not finite.
    """
    way = (end - start).flatten()
    if not bool(way.any()):
        raise SymbreakError("the line's two inputs are equal; name two different ones")
    t = torch.linspace(0, 1, points, dtype=start.dtype, device=start.device)
    x = torch.lerp(start[None], end[None], t.view(-1, *[1] * start.ndim))
    check_inputs(network, x)
    found = [[g.flatten(2) @ way for g in input_gradients(network, r, x, outputs)] for r in range(network.count)]
    gradients = torch.stack([torch.cat(chunks, dim=1) for chunks in found]).double().numpy(force=True)
    if not np.isfinite(gradients).all():
        raise SymbreakError("a gradient by the input is NaN or infinite; probe weights before they diverged")
    _check_variation(gradients, float(torch.finfo(x.dtype).eps))
    return gradients


def autocorrelation(series: Array) -> Array:
    """Return the sample autocorrelation at lags 0 to n - 1 of series ``[..., n]``, by FFT (Wiener-Khinchin).

    Every lag is divided by the sum of all n squares, as is usual; series without variation give NaN.
    """
    n = series.shape[-1]
    centred = series - series.mean(axis=-1, keepdims=True)
    power = np.square(np.abs(fft.rfft(centred, fft.next_fast_len(2 * n, real=True))))
    sums = fft.irfft(power, fft.next_fast_len(2 * n, real=True))[..., :n]
    with np.errstate(invalid="ignore"):
        found: Array = sums / np.square(centred).sum(axis=-1, keepdims=True)
    return found


def covariance(gradients: Array) -> tuple[Array, Array]:
    """Return the covariance of points over replicas and its jackknife standard error.

    Leaving replica r with deviation d out changes the sum S of the products by ``-R / (R-1) d d^T``; the jackknife's
    sum of squares over r is then one product of the squares of all deviations.

    Args:
        gradients: ``[R, n]``, R at least 3.

    Returns:
        Covariance (R - 1 in its denominator) and error, ``[n, n]``.
    """
    count = len(gradients)
    deviations = gradients - gradients.mean(axis=0)
    products = deviations.T @ deviations
    spread = np.square(deviations).T @ np.square(deviations) - np.square(products) / count
    scale = count / ((count - 1) * (count - 2) ** 2)
    return products / (count - 1), np.sqrt(scale * np.maximum(spread, 0))


def _check_options(points: int, outputs: str, axis: str) -> None:
    if points < 3:
        raise SymbreakError(f"'points' is at least 3, not {points}; take more points")
    if outputs not in get_args(Outputs) or axis not in get_args(Axis):
        raise SymbreakError(
            f"'outputs' is one of {get_args(Outputs)} and 'axis' one of {get_args(Axis)}; found '{outputs}', '{axis}'"
        )


def _check_variation(gradients: Array, epsilon: float) -> None:
    """Refuse gradients that are constant along the line, whose autocorrelation would be that of rounding errors."""
    constant = np.ptp(gradients, axis=2) <= CONSTANT * epsilon * np.abs(gradients).max(axis=2)
    if constant.any():
        where = np.argwhere(constant)
        raise SymbreakError(
            f"the gradient does not vary along the line for {len(where)} of {constant.size} sets and outputs, first of "
            f"set {where[0][0]}: a linear or dead network, whose autocorrelation is not defined; choose another line"
        )


def _line(x: Tensor, ends: list[float] | None, rows: list[int] | None) -> tuple[Tensor, Tensor, float, float]:
    """The line's two inputs, and the coordinate's values there."""
    scalar = x[0].numel() == 1
    if ends is not None and (rows is not None or not scalar):
        raise SymbreakError("'ends' are values of a scalar input; for a line between inputs give 'rows' and no 'ends'")
    if rows is None and scalar:
        first, last = _pair("ends", list(ENDS) if ends is None else ends)
        if not (np.isfinite([first, last]).all() and first < last):
            raise SymbreakError(f"'ends' are finite and in increasing order, not {first} and {last}; mend them")
        return torch.full_like(x[0], first), torch.full_like(x[0], last), first, last
    a, b = (int(row) for row in _pair("rows", [0, 1] if rows is None else rows))
    if not (0 <= a < len(x) and 0 <= b < len(x)):
        raise SymbreakError(f"'rows' {a} and {b} are not both among the {len(x)} inputs; name rows from 0 on")
    return x[a], x[b], 0.0, 1.0


def _pair(name: str, values: list[float] | list[int]) -> tuple[float, float]:
    if len(values) != 2:
        raise SymbreakError(f"'{name}' are two values, not {values}; give both ends of the line")
    return values[0], values[1]


def _idle_norms(network: Network) -> bool:
    held = network.buffers
    means = [name for name in held if name.endswith("running_mean")]
    variances = [held[name.removesuffix("mean") + "var"] for name in means]
    pairs = zip((held[name] for name in means), variances, strict=True)
    return any(not bool(mean.any()) and bool((variance == 1).all()) for mean, variance in pairs)


def _add_averages(report: Report, gradients: Array, series: Array) -> None:
    count = len(gradients)
    if count < 3:
        report.warn(f"averages over replicas need 3 sets of weights, there are {count}: there is no covariance")
        return
    mean, error = jackknife(series)
    report.add("mean_autocorrelation", mean, unit="1", axes=("output", "lag"), error=error)
    pairs = [covariance(one) for one in np.moveaxis(gradients, 1, 0)]
    matrices, errors = (np.stack(parts) for parts in zip(*pairs, strict=True))
    unit = "squared outputs per unit of the coordinate"
    report.add("covariance", matrices, unit=unit, axes=("output", "point", "other_point"), error=errors)

"""The Hessian of the mean loss at a set of weights: eigenvalues, spectral density, trace (unit: that of the loss, per
squared parameter) and numbers of negative and near-zero modes.

Top and bottom eigenvalues by block Lanczos (``symbreak.probes.lanczos``), each with the residual ``|H v - lambda v|``,
within which there is an eigenvalue of H. Where the processor is fast at bfloat16 the search may use it, but eigenvalues
and residuals are those of products in the type of the weights. The whole spectrum is exact up to 8,000 parameters, from
the dense Hessian in float64 by products with blocks of unit vectors, and beyond by stochastic Lanczos quadrature
(``symbreak.probes.quadrature``). Modes are counted against cut-offs relative to the largest eigenvalue lambda_max, as
fractions of near-zero modes are in the literature (Chaudhari et al. 2017, arXiv:1611.01838, section 5.1, who take
absolute ones): negative if lambda <= -cut lambda_max, near zero if |lambda| is below that. At a kink of a ReLU the
Hessian is that of autograd, which leaves the kink out.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from symbreak.errors import SymbreakError
from symbreak.probes.hessian_search import Array, Found, Options, array, checked, find, pairs_of, seeded
from symbreak.probes.network import Data, Network
from symbreak.probes.quadrature import Spectrum
from symbreak.probes.report import Report

NEEDS: Final = "model"
CUTS = (1e-8, 1e-6, 1e-4, 1e-3)  # of lambda_max
GRID = np.concatenate([-np.logspace(0, -8, 65), [0.0], np.logspace(-8, 0, 65)])  # of lambda_max: 8 points a decade
UNRESOLVED = 0.05  # error of a count, as a fraction of all modes, from which a reader is warned
UNIT = "loss per squared parameter"


def measure(
    network: Network,
    data: Data,
    *,
    seed: int,
    loss: str = "cross_entropy",
    k: int = 5,
    bottom: int = 1,
    spectrum: str = "auto",
    probes: int = 10,
    steps: int = 100,
    tolerance: float = 1e-3,
) -> Report:
    """Measure the Hessians of R sets of weights.

    Args:
        network: The networks.
        data: Inputs and labels over which the loss is averaged.
        seed: Of start vectors and probes. Every replica has its own, so that its numbers agree within their errors
            whatever its companions.
        loss: ``cross_entropy`` or ``mse``.
        k: Number of largest eigenvalues.
        bottom: Number of smallest eigenvalues.
        spectrum: ``exact``, ``slq`` (stochastic Lanczos quadrature of what the 20 largest eigenvalues or more leave),
            ``auto`` (exact up to 8,000 parameters) or ``none``.
        probes: Random vectors of the quadrature, or with ``none`` of the trace alone; 0 with ``none``: no trace.
        steps: Nodes a probe.
        tolerance: Residuals at which eigenvalues are taken, as a fraction of the largest absolute one.

    Returns:
        ``eigenvalues``, ``residuals`` (and ``bottom_...``) ``[replica, rank]``, ``trace`` and ``squared_norm`` (the
        sums of eigenvalues and of their squares) ``[replica]``, ``negative_modes``, ``near_zero_modes`` and
        ``positive_modes`` ``[replica, cut]`` at ``cuts`` (times lambda_max), ``cumulative`` ``[replica, point]``: how
        many eigenvalues are at most ``points`` times lambda_max, and if it is exact ``spectrum`` ``[replica, mode]``.

    Raises:
        SymbreakError: If an option is out of its range, a network too large for it, or a number not finite.
    """
    options = Options(k, bottom, spectrum, probes, steps, tolerance)
    found = find(checked(network, data, loss, options), seed, options)
    report = Report()
    _report_ends(report, found, options)
    whole = _whole(found)
    if whole is not None:
        _report_moments(report, whole)
    if whole is not None and _resolved(whole):
        _report_counts(report, whole, network.size)
    return report


def density(
    network: Network,
    data: Data,
    *,
    seed: int,
    loss: str = "cross_entropy",
    k: int = 20,
    spectrum: str = "slq",
    probes: int = 10,
    steps: int = 100,
    tolerance: float = 1e-2,
) -> Spectrum:
    """Return the spectra of R Hessians with all nodes and weights; ``k``: eigenvalues that are found beforehand.

    Other arguments and errors as those of ``measure``; ``spectrum`` is ``exact``, ``slq`` or ``auto``.
    """
    options = Options(k, 0, spectrum, probes, steps, tolerance)
    whole = _whole(find(checked(network, data, loss, options), seed, options))
    if whole is None or not _resolved(whole):
        raise SymbreakError(
            f"a density needs 'spectrum' exact, slq or auto and steps above 1, found '{spectrum}', {steps}"
        )
    return whole


def eigenvectors(
    network: Network, data: Data, *, seed: int, loss: str = "cross_entropy", k: int = 5, tolerance: float = 1e-3
) -> tuple[Array, dict[str, Tensor], Array]:
    """Return the k largest eigenvalues ``[R, k]``, their vectors by parameter ``[R, k, ...]`` and residuals ``[R, k]``.

    Arguments and errors as those of ``measure``.
    """
    options = Options(k, 0, "none", 0, 0, tolerance)
    values: list[Tensor] = []
    vectors: list[dict[str, Tensor]] = []
    residuals: list[Tensor] = []
    for products, seeds in seeded(checked(network, data, loss, options), seed, options):
        pairs = pairs_of(products, products, seeds, options)
        values.append(pairs.values)
        residuals.append(pairs.residuals)
        vectors.append(products.named(pairs.vectors))
    named = {name: torch.cat([part[name] for part in vectors]) for name in vectors[0]}
    return array(torch.cat(values)), named, array(torch.cat(residuals))


def _report_ends(report: Report, found: Sequence[Found], options: Options) -> None:
    ends = {"": [part.top for part in found]} | ({"bottom_": [part.bottom for part in found]} if options.bottom else {})
    for name, parts in ends.items():
        values, residuals = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
        report.add(f"{name}eigenvalues", values, unit=UNIT, axes=("replica", "rank"), error=residuals)
        report.add(f"{name}residuals", residuals, unit=UNIT, axes=("replica", "rank"))
    if not all(part.converged for part in found):
        report.warn(f"some residuals are above the tolerance of {options.tolerance:g}: read the eigenvalues' errors")


def _whole(found: Sequence[Found]) -> Spectrum | None:
    parts = [part.spectrum for part in found if part.spectrum is not None]
    if not parts:
        return None
    exact, nodes, weights = (
        np.concatenate([getattr(p, name) for p in parts]) for name in ("exact", "nodes", "weights")
    )
    return Spectrum(exact, nodes, weights, parts[0].rest)


def _resolved(whole: Spectrum) -> bool:
    """Whether there is more than the trace: a single node has no second moment."""
    return whole.rest == 0 or whole.nodes.shape[2] > 1


def _report_moments(report: Report, whole: Spectrum) -> None:
    trace, error = whole.moment(1)
    report.add("trace", trace, unit=UNIT, axes=("replica",), error=_inexact(whole, error))
    if _resolved(whole):
        squares, error = whole.moment(2)
        unit = "squared loss per parameter to the fourth"
        report.add("squared_norm", squares, unit=unit, axes=("replica",), error=_inexact(whole, error))


def _report_counts(report: Report, whole: Spectrum, size: int) -> None:
    cuts, top = np.array(CUTS), whole.exact.max(1, keepdims=True).clip(min=0)
    (low, low_error), (high, high_error) = whole.below(-top * cuts), whole.below(top * cuts)
    counts = {
        "negative_modes": (low, low_error),
        "near_zero_modes": (high - low, np.minimum(low_error + high_error, size)),
        "positive_modes": (size - high, high_error),
    }
    report.add("cuts", cuts, unit="fraction of lambda_max", axes=("cut",))
    for name, (value, error) in counts.items():
        report.add(name, value, unit="modes", axes=("replica", "cut"), error=_inexact(whole, error))
    value, error = whole.below(top * GRID)
    report.add("points", GRID, unit="fraction of lambda_max", axes=("point",))
    report.add("cumulative", value, unit="modes", axes=("replica", "point"), error=_inexact(whole, error))
    if whole.rest == 0:
        rounding = whole.exact.shape[1] * np.finfo(np.float64).eps * np.abs(whole.exact).max(1, keepdims=True)
        report.add("spectrum", whole.exact, unit=UNIT, axes=("replica", "mode"), error=rounding)
    _warn_unresolved(report, whole, np.maximum(low_error, high_error) / size)


def _warn_unresolved(report: Report, whole: Spectrum, error: Array) -> None:
    unclear = [cut for cut, wrong in zip(CUTS, error.max(0), strict=True) if wrong > UNRESOLVED]
    if unclear:
        report.warn(
            f"{whole.nodes.shape[2]} steps do not resolve modes at the cut-offs {unclear} of lambda_max: "
            "read the counts' errors, raise 'steps' or take spectrum 'exact'"
        )


def _inexact(spectrum: Spectrum, error: Array) -> Array | None:
    return None if spectrum.rest == 0 else error

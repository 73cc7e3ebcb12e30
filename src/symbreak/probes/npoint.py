"""2-, 4- and 6-point functions of an ensemble of networks at given inputs, in powers of the network's output.

G_n(x_1 .. x_n) = mean over the R networks of f(x_1) ... f(x_n), each output by itself. Connected parts by Wick's
theorem: G4_c = G4 - sum_3 G2 G2, G6_c = G6 - sum_15 G2 G2 G2 - sum_15 G2 G4_c: joint cumulants where odd correlators
vanish, as at initialisation (Halverson, Maiti and Stoner 2020, arXiv:2008.08601); with ``centre`` the ensemble's mean
is taken off and sum_10 G3 G3 too, which makes them cumulants of any ensemble. Errors: a jackknife over blocks.
Invariance under rotations and permutations of the outputs or inputs: ``symbreak.probes.npoint_symmetry``
(Maiti, Stoner and Halverson 2021, arXiv:2106.00694). Exact values: ``symbreak.theory.correlators``; networks at
initialisation that are never stored: ``symbreak.probes.npoint_sampling``.
"""

from collections.abc import Callable
from functools import partial
from operator import itemgetter
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from symbreak.errors import SymbreakError
from symbreak.models.backward import Pass
from symbreak.probes.network import Data, Network
from symbreak.probes.npoint_moments import BlockSums, Estimate, field_sums, jackknife
from symbreak.probes.npoint_moments import blocks as divide
from symbreak.probes.npoint_symmetry import (
    Invariance,
    haar,
    output_differences,
    permutations,
    rotated_points,
    verdict,
)
from symbreak.probes.report import Report
from symbreak.seeding import derive
from symbreak.theory.wick import centred, connected_four, connected_six, multisets

Array = NDArray[np.float64]
Moments = dict[int, Array]
NEEDS: Final = "ensemble"
ORDERS = (1, 2, 3, 4, 5, 6)
NAMES = {2: "pair", 4: "quadruple", 6: "sextuple"}
MOST_POINTS = 12  # 12,376 sextuples
MOST_OUTPUTS = 12  # whose 4-point tensor is rotated: 12^4 numbers a point and block
HIDDEN = 2**22  # hidden values held at once on the way through a stack: 16 MB in single precision
HEAVY = 0.5  # share of one block in a squared error
LEVEL = 0.01  # of the warnings' tests, over all elements of a correlator
DOUBLE = 1e-13  # rounding of float64 sums, of the largest term times their number
SAFE = 100  # times the rounding of an output in its own type


def measure(
    network: Network,
    data: Data,
    *,
    seed: int,
    loss: str = "cross_entropy",
    points: int = 6,
    blocks: int = 32,
    centre: bool = False,
    symmetry: str = "outputs",
    rotations: int = 8,
) -> Report:
    """Measure the correlators of the R networks at the first inputs.

    Results: ``g1`` to ``g6``, ``g4_connected``, ``g6_connected`` (axes output, element), which points an element has
    (``pairs``, ``quadruples``, ``sextuples``), the same averaged over outputs (``..._mean``) if ``symmetry`` is
    ``outputs`` and no test finds that they differ, and ``rotation_z2`` (``[rotations]``), ``rotation_p2``,
    ``rotation_z4``, ``rotation_p4`` and the same of ``permutation``.

    Args:
        network: R networks drawn independently.
        data: The points are its first inputs; labels are not used.
        seed: Of rotations, permutations and random signs.
        loss: Not used.
        points: Number of points P, at most ``MOST_POINTS``.
        blocks: Blocks of networks for the errors.
        centre: Take the ensemble's mean off before connected parts.
        symmetry: ``outputs`` (f -> R f; nothing for a single output), ``inputs`` (x -> R x) or ``none``.
        rotations: Rotations, and permutations, that are tried.

    Raises:
        SymbreakError: Too few networks or points, too many points or outputs, or values that are not finite.
    """
    _check(data, points, symmetry, rotations)
    x = data.x[:points]
    f = outputs(network, x)
    parts = divide(len(f), blocks)
    sums = _block_sums(f, parts)
    report = Report()
    _add_correlators(report, sums, points, centre)
    if symmetry == "outputs" and f.shape[2] > 1:
        _add_output_symmetry(report, f, parts, rotations, seed)
        _add_means(report, sums, points, centre)
    if symmetry == "inputs":
        _add_input_symmetry(report, network, x, sums, parts, rotations, seed)
    return report


@torch.no_grad()
def outputs(network: Network, x: Tensor) -> Array:
    """Return the outputs of all R networks at inputs ``[P, ...]``, float64 ``[R, P, C]``; by the stack if there is one.

    Raises:
        SymbreakError: If an output is not finite.
    """
    found = (network.outputs(x) if network.stack is None else _through_stack(network, x)).double().cpu().numpy()
    if found.ndim != 3:
        raise SymbreakError(
            f"expected outputs [N, C] of a network, found {found.ndim - 1} axes; return one vector an input"
        )
    if not np.isfinite(found).all():
        bad = np.flatnonzero(~np.isfinite(found).all(axis=(1, 2))).tolist()
        raise SymbreakError(f"expected finite outputs, found NaN or infinity in networks {bad[:10]}; leave them out")
    return found


def connected(g: Moments, points: int, centre: bool, order: int) -> Array:
    """Return the connected 4- or 6-point function of correlators of all orders 1 .. 6, ``[..., E]``."""
    about = centred(g, points) if centre else g
    if order == 4:
        return connected_four(about[2], about[4], points)
    return connected_six(about[2], about[4], about[6], points, about[3] if centre else None)


def _check(data: Data, points: int, symmetry: str, rotations: int) -> None:
    if not 1 <= points <= min(MOST_POINTS, len(data.x)):
        raise SymbreakError(
            f"expected 'points' from 1 to {min(MOST_POINTS, len(data.x))} ({len(data.x)} inputs given, at most "
            f"{MOST_POINTS} used), found {points}; set points"
        )
    if symmetry not in ("outputs", "inputs", "none"):
        raise SymbreakError(f"expected 'symmetry' outputs, inputs or none, found '{symmetry}'; choose one of them")
    if rotations < 1:
        raise SymbreakError(f"expected at least 1 of 'rotations', found {rotations}; set symmetry=none to try none")
    if not torch.isfinite(data.x[:points]).all():
        raise SymbreakError(f"expected finite inputs, found NaN or infinity in the first {points}; mend the data")


def _through_stack(network: Network, x: Tensor) -> Tensor:
    stack = network.stack
    assert stack is not None
    widest = max(network.parameters[name].shape[1] for name, _ in stack.names)
    size = max(1, HIDDEN // (widest * len(x)))
    found = []
    for start in range(0, network.count, size):
        state = {name: value[start : start + size] for name, value in network.parameters.items()}
        found.append(Pass(stack, state, state).forward(x[None]).transpose(1, 2))
    return torch.cat(found)


def _block_sums(f: Array, parts: list[slice]) -> BlockSums:
    fields = f.transpose(0, 2, 1)
    return BlockSums.of([(field_sums(fields[part], ORDERS), float(part.stop - part.start)) for part in parts])


def _statistics(points: int, centre: bool) -> dict[str, tuple[int, Callable[[Moments], Array]]]:
    """Name -> order and the function of the correlators that is estimated."""
    found: dict[str, tuple[int, Callable[[Moments], Array]]] = {
        f"g{order}": (order, itemgetter(order)) for order in NAMES
    }
    for order in (4, 6):
        found[f"g{order}_connected"] = (order, partial(connected, points=points, centre=centre, order=order))
    return found


def _add_correlators(report: Report, sums: BlockSums, points: int, centre: bool) -> None:
    first = jackknife(sums, lambda g: g[1])
    report.add("g1", first.value, unit="output", axes=("output", "point"), error=first.error)
    for order, name in NAMES.items():
        report.add(f"{name}s", multisets(points, order), unit="index of the point", axes=(name, "position"))
    for name, (order, statistic) in _statistics(points, centre).items():
        found = jackknife(sums, statistic)
        report.add(name, found.value, unit=f"output^{order}", axes=("output", NAMES[order]), error=found.error)
        _warn_of_few(report, name, found)
    if not centre:
        _warn_of_odd(report, sums, first)


def _warn_of_few(report: Report, name: str, found: Estimate) -> None:
    if (np.abs(found.bias) > found.error / 4).any():
        report.warn(f"{name} has a bias above a quarter of its standard error at this number of networks; give more")
    if np.median(found.share) > HEAVY:  # of one element among hundreds it is that by chance
        report.warn(
            f"the error of most elements of {name} is ruled by a single block of networks: its tails are heavy and the "
            f"error is likely too small; give more networks"
        )


def _warn_of_odd(report: Report, sums: BlockSums, first: Estimate) -> None:
    degrees = len(sums.weights) - 1
    for order, found in ((1, first), (3, jackknife(sums, lambda g: g[3]))):
        bound = stats.t.isf(LEVEL / (2 * found.value.size), degrees)
        if (np.abs(found.value) > bound * found.error).any():
            report.warn(
                f"the {order}-point function is not 0: connected parts take off products of 2-point functions only and "
                f"are not cumulants; set centre=true for cumulants"
            )


def _add_means(report: Report, sums: BlockSums, points: int, centre: bool) -> None:
    """Add averages over outputs unless a test has found that a permutation of these matters."""
    if any(report.results[f"permutation_p{order}"].value < LEVEL for order in (2, 4)):
        report.warn("the outputs are not exchangeable: averages over them are left out")
        return
    for name, (order, statistic) in _statistics(points, centre).items():
        found = jackknife(sums, partial(_averaged, statistic=statistic))
        report.add(f"{name}_mean", found.value, unit=f"output^{order}", axes=(NAMES[order],), error=found.error)


def _averaged(g: Moments, statistic: Callable[[Moments], Array]) -> Array:
    found: Array = statistic(g).mean(axis=-2)
    return found


def _add_output_symmetry(report: Report, f: Array, parts: list[slice], rotations: int, seed: int) -> None:
    count = f.shape[2]
    if count > MOST_OUTPUTS:
        raise SymbreakError(
            f"expected at most {MOST_OUTPUTS} outputs to rotate, found {count}; set symmetry=none or symmetry=inputs"
        )
    generator = np.random.default_rng(derive(seed, "npoint", "outputs"))
    groups = {
        "rotation": haar(rotations, count, count, generator),
        "permutation": permutations(rotations, count, generator),
    }
    for name, group in groups.items():
        for order in (2, 4):
            found = verdict(
                output_differences(f, group, parts, order), generator, DOUBLE * float(np.abs(f).max() ** order) * len(f)
            )
            _add_invariance(report, name, order, found, f"{name}s of the outputs")


def _add_input_symmetry(
    report: Report, network: Network, x: Tensor, sums: BlockSums, parts: list[slice], rotations: int, seed: int
) -> None:
    flat = x.flatten(1).double().cpu().numpy()
    if flat.shape[1] < 2:
        raise SymbreakError("expected inputs of at least 2 dimensions to rotate, found 1; set symmetry=none")
    generator = np.random.default_rng(derive(seed, "npoint", "inputs"))
    permuted = np.stack([flat[:, generator.permutation(flat.shape[1])] for _ in range(rotations)])
    rounding = SAFE * torch.finfo(x.dtype).eps
    groups = {"rotation": rotated_points(flat, rotations, generator), "permutation": permuted}
    for name, moved in groups.items():
        images = [torch.from_numpy(points).to(x).reshape(x.shape) for points in moved]
        there = [_block_sums(outputs(network, image), parts) for image in images]
        for order in (2, 4):
            differences = ((at.sums[order] - sums.sums[order]).reshape(len(parts), -1) for at in there)
            found = verdict(differences, generator, rounding * float(np.abs(sums.sums[order]).max()))
            _add_invariance(report, name, order, found, f"{name}s of the inputs")


def _add_invariance(report: Report, name: str, order: int, found: Invariance, what: str) -> None:
    report.add(f"{name}_z{order}", found.z, unit="largest |z| over elements", axes=(name,))
    report.add(f"{name}_p{order}", found.p, unit="p-value over all elements", error=found.p_error)
    if found.p < LEVEL:
        report.warn(f"the {order}-point function is not invariant under {what} (p = {found.p:.3g})")

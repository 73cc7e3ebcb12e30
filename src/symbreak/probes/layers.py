"""How weights, updates and feature maps (relative, no unit) go together along the depth of a network and over samples.

Fields are quantities of equal shape along depth: the weights of layers whose names differ by places only
(``stages.0.1.conv1`` and ``stages.0.2.conv1``), their updates between moments, the feature maps and the residual
branches. Of each: adjacent-layer cosine against random orders of the layers, and the spectrum over the wave number k
along depth (``layers_field``). Of feature maps also how alike samples are, and the alignment with inputs and labels
(``layers_samples``). Of residual blocks the mean over samples of |T(h)| / |S(h)|, branch over shortcut. Of a
trajectory the time at which each tensor freezes (``layers_frozen``). These are the quantities of section 4 and
footnote 1 of Fok, An, Wang 2017 (arXiv:1710.06096).
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot

from symbreak.errors import SymbreakError
from symbreak.probes.layers_features import Features, Names, features_of
from symbreak.probes.layers_field import Depth, Null, adjacent, adjacent_null, depth, low_null, low_share
from symbreak.probes.layers_frozen import freeze_out, relative_changes
from symbreak.probes.layers_samples import LEAST, alignment, gram, sample_cosine
from symbreak.probes.network import Data, Network
from symbreak.probes.report import Report
from symbreak.probes.usable import check_labelled
from symbreak.seeding import derive

Array = NDArray[np.float64]
Fields = dict[str, list[Tensor]]  # name -> a field [L, ...] of each set (or interval)
NEEDS: Final = "model"
PLACE = re.compile(r"(?<![^.])[0-9]+(?![^.])")  # a part of a name that is a number: not that of conv1 and conv2
LAYERS = 3  # that make a field: of two there is one order only
HELD = 2**26  # numbers of feature maps that are kept at once (256 MB in float32)


def measure(
    network: Network,
    data: Data,
    *,
    seed: int,
    loss: str = "cross_entropy",
    blocks: Sequence[str] = (),
    features: Sequence[str] = (),
    times: Sequence[float] = (),
    samples: int = 256,
    permutations: int = 2000,
    tolerance: float = 0.01,
) -> Report:
    """Measure every set of parameters; with ``times`` the sets are moments of one training.

    Args:
        network: Any; feature maps are known of our fully connected and residual networks, and of what is named.
        data: Inputs and labels.
        seed: Of the orders of layers.
        loss: Is not used, but must be one.
        blocks: Submodules of a user's module that are its residual blocks, in the order of their use.
        features: Submodules of a user's module whose outputs are the feature maps, in order of depth; none: ``blocks``.
        times: Of the sets, increasing.
        samples: So many of the first samples serve for the feature maps.
        permutations: Number of orders.
        tolerance: Relative change over an interval up to which weights count as frozen.

    Returns:
        Of every field F (``weights[NAME SHAPE]``, ``updates[..]``, ``features[SHAPE]``, ``branches[SHAPE]``):
        ``F.spectrum`` ``[R, K]``, and ``[R]``: ``F.adjacent_cosine``, ``F.adjacent_excess`` over random orders (its
        error is their spread), ``F.adjacent_p``, ``F.low_share`` of small k, ``F.low_ratio`` to random orders,
        ``F.low_p``. Of feature maps ``sample_cosine``, ``input_alignment``, ``label_alignment`` ``[R, layer]``. Of
        residual blocks ``branch_ratio`` ``[R, block]``. With times ``relative_change`` ``[T - 1, tensor]`` and
        ``freeze_out`` ``[tensor]``, in the order of the parameters. With times the first axis is ``time``.

    Raises:
        SymbreakError: If data or options do not fit, or named submodules are not what they should be.
    """
    check_labelled(network, data, loss)
    few = min(samples, len(data.x))
    if few < LEAST or permutations < 2 or not tolerance > 0:
        raise SymbreakError(
            f"expected at least {LEAST} samples, 2 'permutations' and a 'tolerance' > 0, found {few}, {permutations} "
            f"and {tolerance}"
        )
    report, axis = Report(), "time" if times else "replica"
    orders = _Orders(permutations, derive(seed, "layers", "orders"))
    weights = weight_fields(network)
    if not weights:
        report.warn(f"no weights of {LAYERS} layers have one shape and names that differ by their places only")
    _add_fields(report, "weights", weights, orders, axis)
    if times:
        _check_times(times, network.count)
        updates = {name: [b - a for a, b in pairwise(f)] for name, f in weights.items()}
        _add_fields(report, "updates", updates, orders, "interval")
        _add_freeze_out(report, network, times, tolerance)
    _add_maps(report, network, Data(data.x[:few], data.y[:few]), Names(blocks, features), orders, axis)
    return report


def weight_fields(network: Network) -> Fields:
    """Return the weights ``[L, ...]`` of every set, by the names that differ by places only, with their shape."""
    groups: dict[str, list[str]] = {}
    for name in sorted(network.parameters, key=_natural):
        shape = network.parameters[name].shape[1:]
        if len(shape) > 1:
            groups.setdefault(f"{PLACE.sub('*', name)} {_shape(shape)}", []).append(name)
    kept = {label: names for label, names in groups.items() if len(names) >= LAYERS}
    return {
        label: [torch.stack([network.parameters[name][r] for name in names]) for r in range(network.count)]
        for label, names in kept.items()
    }


class _Orders:
    """Random orders of any number of layers, the same whenever asked for."""

    def __init__(self, count: int, seed: int) -> None:
        self._count, self._seed = count, seed

    def of(self, layers: int) -> NDArray[np.intp]:
        rng = np.random.default_rng(self._seed)
        return rng.permuted(np.tile(np.arange(layers), (self._count, 1)), axis=1)


def _add_fields(report: Report, kind: str, fields: Fields, orders: _Orders, axis: str) -> None:
    for label, field in fields.items():
        name = f"{kind}[{label}]"
        found = [depth(part.flatten(1).cpu().numpy()) for part in field]
        power = np.stack([part.power for part in found])
        error = np.stack([part.power_error for part in found])
        report.add(f"{name}.spectrum", power, unit="mean square of a coordinate", axes=(axis, "k"), error=error)
        if any(part.cosine is None for part in found):
            report.warn(f"{name}: a layer is the mean of all (or 0), so that it has no cosine with its neighbours")
            continue
        _add_orders(report, name, found, orders.of(len(field[0])), axis)


def _add_orders(report: Report, name: str, found: Sequence[Depth], orders: NDArray[np.intp], axis: str) -> None:
    cosines = [part.cosine for part in found if part.cosine is not None]
    near, nulls = np.array([adjacent(c) for c in cosines]), [adjacent_null(c, orders) for c in cosines]
    report.add(f"{name}.adjacent_cosine", near, unit="cosine", axes=(axis,))
    excess, spread = near - [null.mean for null in nulls], [null.spread for null in nulls]
    report.add(f"{name}.adjacent_excess", excess, unit="cosine", axes=(axis,), error=spread)
    _add_p(report, f"{name}.adjacent_p", nulls, axis)
    low = np.array([low_share(part.power, orders.shape[1]) for part in found])
    nulls = [low_null(part.gram, orders) for part in found]
    mean, spread = np.array([null.mean for null in nulls]), [null.spread / null.mean for null in nulls]
    report.add(f"{name}.low_share", low, unit="share of the power at k > 0", axes=(axis,))
    report.add(f"{name}.low_ratio", low / mean, unit="times that of random orders", axes=(axis,), error=spread)
    _add_p(report, f"{name}.low_p", nulls, axis)


def _add_p(report: Report, name: str, nulls: Sequence[Null], axis: str) -> None:
    error = [null.p_error for null in nulls]
    report.add(name, [null.p for null in nulls], unit="share of orders", axes=(axis,), error=error)


def _add_freeze_out(report: Report, network: Network, times: Sequence[float], tolerance: float) -> None:
    changes = np.stack([relative_changes(value) for value in network.parameters.values()], axis=1)
    at, error = freeze_out(changes, times, tolerance)
    report.add("relative_change", changes, unit="of the larger norm", axes=("interval", "tensor"))
    report.add("freeze_out", at, unit="that of the times", axes=("tensor",), error=error)
    if moving := [name for name, last in zip(network.parameters, changes[-1] > tolerance, strict=True) if last]:
        report.warn(f"{len(moving)} tensors, {moving[0]} the first, still move in the last interval: not frozen yet")


def _add_maps(report: Report, network: Network, data: Data, names: Names, orders: _Orders, axis: str) -> None:
    count = _fitting(report, network, data.x, names)
    x, y = data.x[:count], data.y[:count]
    rows: list[list[Array]] = []
    fields: dict[str, Fields] = {"features": {}, "branches": {}}
    for r in range(network.count):
        found = features_of(network, r, x, names)
        if not all(bool(torch.isfinite(h).all()) for h in found.maps):
            raise SymbreakError("feature maps are NaN or infinite; probe other weights")
        rows.append([np.array(part) for part in _likeness(found, x, y)])
        for kind, maps in (("features", found.maps), ("branches", found.branches)):
            for shape, field in _by_shape(maps).items():
                fields[kind].setdefault(shape, []).append(field)
    if names.blocks and not found.branches:
        report.warn(
            "a ReLU follows the sum in a block: its branch cannot be told from outside, there are no branch_ratios"
        )
    for kind, parts in fields.items():
        _add_fields(report, kind, parts, orders, axis)
    _add_likeness(report, rows, axis)


def _likeness(found: Features, x: Tensor, y: Tensor) -> list[list[tuple[float, float]]]:
    """Sample cosine, alignments and branch ratio with their errors, layer by layer."""
    inputs, labels = gram(x.cpu().numpy()), gram(one_hot(y).cpu().numpy())
    products = [gram(h.cpu().numpy()) for h in found.maps]
    ratios = [_norms(t) / _norms(s) for s, t in zip(found.shortcuts, found.branches, strict=True)]
    return [
        [sample_cosine(p) for p in products],
        [alignment(p, inputs) for p in products],
        [alignment(p, labels) for p in products],
        [(float(q.mean()), float(q.std(ddof=1) / np.sqrt(len(q)))) for q in ratios],
    ]


LIKENESS = (
    ("sample_cosine", "cosine", "layer"),
    ("input_alignment", "CKA", "layer"),
    ("label_alignment", "CKA", "layer"),
    ("branch_ratio", "|branch| / |shortcut|", "block"),
)


def _add_likeness(report: Report, rows: Sequence[Sequence[Array]], axis: str) -> None:
    for (name, unit, place), parts in zip(LIKENESS, zip(*rows, strict=True), strict=True):
        if parts[0].size == 0:
            continue
        values = np.stack(parts)
        if not np.isfinite(values).all():
            report.warn(f"{name}: not defined (null) where features are the same for all samples, or a shortcut is 0")
        report.add(name, values[..., 0], unit=unit, axes=(axis, place), error=values[..., 1])


def _norms(h: Tensor) -> Array:
    norms = h.double().flatten(1).norm(dim=1)
    return torch.where(norms > 0, norms, torch.nan).cpu().numpy()


def _by_shape(maps: Sequence[Tensor]) -> dict[str, Tensor]:
    """Maps ``[n, ...]`` of equal shape as fields ``[L, n, ...]``."""
    groups: Fields = {}
    for h in maps:
        groups.setdefault(_shape(h.shape[1:]), []).append(h)
    return {shape: torch.stack(group) for shape, group in groups.items() if len(group) >= LAYERS}


def _fitting(report: Report, network: Network, x: Tensor, names: Names) -> int:
    """The number of samples whose maps fit into ``HELD``."""
    found = features_of(network, 0, x[:2], names)
    if not found.maps:
        report.warn("no feature maps are known of this model: name submodules of your module by the option 'features'")
    held = sum(h.numel() for h in (*found.maps, *found.branches, *found.shortcuts)) // 2
    count = min(len(x), HELD // max(held, 1))
    if count < LEAST:
        raise SymbreakError(f"feature maps of {LEAST} samples are more than {HELD} numbers; name fewer in 'features'")
    if count < len(x):
        report.warn(f"feature maps are those of {count} samples, not {len(x)}: more are over {HELD} numbers")
    return count


def _check_times(times: Sequence[float], count: int) -> None:
    if len(times) != count or count < 2 or not bool((np.diff(times) > 0).all()):
        raise SymbreakError(f"expected increasing 'times', one for each of at least two sets ({count}), found {times}")


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", name)]


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))

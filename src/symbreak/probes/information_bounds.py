"""Bounds on mutual information of activations with Gaussian noise added, in bits.

T = h(X) + noise, the noise of variance s^2 in every unit, X uniform on the N samples: the density of T is a mixture of
N Gaussians at h_i. With d_ij = |h_i - h_j|^2 (Kolchinsky and Tracey 2017, arXiv:1706.02419: their estimator with the
Bhattacharyya and with the Kullback-Leibler divergence)

    I(X;T) = H(T) - H(T|X)  >=  - 1/N sum_i ln [ 1/N sum_j exp(- d_ij / 8 s^2) ],
                            <=  - 1/N sum_i ln [ 1/N sum_j exp(- d_ij / 2 s^2) ].

The same over the samples of one label, averaged over labels, bounds I(X;T|Y) = H(T|Y) - H(T|X), and
I(T;Y) = I(X;T) - I(X;T|Y): its upper bound is the upper bound of the first less the lower bound of the second, and the
other way round. (Saxe et al. 2018, ICLR, take the difference of the two upper bounds: an estimate, not a bound.)

They are bounds for these N samples. As estimates for the distribution that the samples come from they have an error, by
the delete-a-group jackknife: ``SUBSETS`` random subsets, each with its share of every label, are left out in turn.

Every exponent is at most 0 and a sample's own is 0, so that the sums, from 1 to N, need no shift. Distances are taken
in float64, exponentials in float32, sums of ``TILE / SUBSETS`` of them in float32, sums of these in float64: 1e-6 bit.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from symbreak.errors import SymbreakError
from symbreak.probes.report import Array
from symbreak.seeding import derive

Ids = NDArray[np.int64]
TILE = 256  # samples: distances and exponentials of a tile stay in the second-level cache
SUBSETS = 8  # of the jackknife; divides TILE
LEAST_SAMPLES = 2 * SUBSETS
LEAST_EXPONENT = -87.0  # exp is then 1.6e-38; below, float32 has denormals, in which exp is 200 times slower
RESOLUTION = 1e-4  # largest rounding error of an exponent that is accepted (products of float64; usually 1e-10)


@dataclass(frozen=True)
class Arrangement:
    """Samples sorted by label, at random within a label; each label fills up to a multiple of ``SUBSETS`` places.

    ``order`` int64 ``[M]``: the sample at each place, -1 at none; ``starts`` int64 ``[K + 1]``: the first place of each
    label. Place p is in subset p modulo ``SUBSETS``.
    """

    order: Ids
    starts: Ids

    @property
    def filled(self) -> NDArray[np.bool_]:
        """Whether there is a sample, ``[M]``."""
        filled: NDArray[np.bool_] = self.order >= 0
        return filled


def arrange(labels: Ids, seed: int) -> Arrangement:
    """Arrange samples with labels ``[N]``, of 0 ... K - 1.

    Raises:
        SymbreakError: If there are fewer than ``LEAST_SAMPLES``.
    """
    if len(labels) < LEAST_SAMPLES:
        raise SymbreakError(f"the kernel bounds need at least {LEAST_SAMPLES} samples, found {len(labels)}; use more")
    drawn = np.random.default_rng(derive(seed, "information", "subsets"))
    counts = np.bincount(labels)
    sizes = -(-counts // SUBSETS) * SUBSETS
    order = np.full(sizes.sum(), -1)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    for label, (start, size) in enumerate(zip(starts, sizes, strict=False)):
        places = start + drawn.permutation(size)[: counts[label]]
        order[places] = np.flatnonzero(labels == label)
    return Arrangement(order, starts)


@dataclass(frozen=True)
class Bounds:
    """Bounds of all samples and, along the last axis, of all but one subset each: ``[2, V, 1 + SUBSETS]`` in bits.

    The first axis: upper bound, lower bound. ``subsets`` ``[SUBSETS]``: which subsets have samples.
    """

    inputs: Array
    within: Array
    subsets: NDArray[np.bool_]

    def combined(self) -> dict[str, tuple[Array, Array]]:
        """Return value and error ``[V]`` of the bounds on I(X;T), ``ixt_upper`` and ``ixt_lower``, on I(T;Y),
        ``ity_upper`` and ``ity_lower``, and of the estimate ``ity_kl``, the difference of the upper bounds.
        """
        (upper, lower), (upper_within, lower_within) = self.inputs, self.within
        found = {
            "ixt_upper": upper,
            "ixt_lower": lower,
            "ity_upper": upper - lower_within,
            "ity_lower": lower - upper_within,
            "ity_kl": upper - upper_within,
        }
        return {name: (values[:, 0], self._error(values)) for name, values in found.items()}

    def _error(self, values: Array) -> Array:
        """Root of bias^2 + standard error^2 by the jackknife (Efron and Tibshirani 1993, section 11.2)."""
        left = values[:, 1:][:, self.subsets]
        count, mean = left.shape[1], left.mean(axis=1)
        bias = (count - 1) * (mean - values[:, 0])
        error: Array = np.sqrt(bias**2 + (count - 1) * left.var(axis=1))
        return error


def kernel_bounds(activations: Tensor, arrangement: Arrangement, variances: Sequence[float]) -> Bounds:
    """Return the bounds on I(X;T) and I(X;T|Y) of a layer.

    Args:
        activations: ``[N, D]``.
        arrangement: Of the samples.
        variances: V variances of the noise, in the activations' units squared.

    Raises:
        SymbreakError: If activations are not finite, or a variance is not positive or so small that float64 does not
            resolve it.
    """
    left, right = _factors(activations, arrangement, variances)
    scales = np.array([-1 / (factor * v) for factor in (2, 8) for v in variances], dtype=np.float32)
    order = np.argsort(-scales)
    every, within = _sums(left, right, arrangement.starts, torch.from_numpy(scales[order]).to(left.device))
    back = np.argsort(order)
    return _bounds(every[back], within[back], arrangement, len(variances))


def _factors(activations: Tensor, arrangement: Arrangement, variances: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Return a and b, float64 ``[M, D + 2]``, with ``a_i . b_j`` = d_ij, infinite where there is no sample."""
    rows = torch.from_numpy(arrangement.order[arrangement.filled]).to(activations.device)
    h = activations[rows].double()
    h -= h.mean(0)
    squares = h.square().sum(1)
    _check(float(squares.max()), variances)
    at = torch.from_numpy(arrangement.filled).to(h.device)
    width, places = h.shape[1], len(arrangement.order)
    left, right = h.new_zeros(2, places, width + 2)
    left[at, :width], left[:, width], left[:, width + 1] = h, 1, math.inf
    right[at, :width], right[:, width], right[:, width + 1] = h.mul_(-2), math.inf, 1
    left[at, width + 1] = squares
    right[at, width] = squares
    return left, right


def _check(largest: float, variances: Sequence[float]) -> None:
    if not math.isfinite(largest):
        raise SymbreakError("activations are not finite; the kernel bounds need finite ones")
    least = largest * 16 * np.finfo(np.float64).eps / (2 * RESOLUTION)
    wrong = [v for v in variances if not (0 < v < math.inf and v >= least)]
    if wrong:
        raise SymbreakError(
            f"'noise_variance' {wrong} is not positive and finite, or below {least:.1e}, which distances of these "
            f"activations do not resolve; give larger ones"
        )


def _sums(left: Tensor, right: Tensor, starts: Ids, scales: Tensor) -> tuple[Array, Array]:
    """Return for every scale and place the sums of exp(scale d) over the places of each subset, ``[S, M, SUBSETS]``:
    over all places, and over those of the same label. Scales are given from the widest kernel to the narrowest.
    """
    places, shape = len(left), (len(scales), len(left), SUBSETS)
    every, within = _Sums(shape, left.device), _Sums(shape, left.device)
    for top in range(0, places, TILE):
        rows = slice(top, min(top + TILE, places))
        for side in range(top, places, TILE):
            columns = slice(side, min(side + TILE, places))
            distances = (left[rows] @ right[columns].T).float()
            seen = int((scales * distances.min() > LEAST_EXPONENT).sum())  # of narrower kernels the tile is zero
            tile = torch.mul(distances, scales[:seen, None, None]).clamp_(LEAST_EXPONENT, 0).exp_()
            every.add(tile, rows, columns)
            for r, c in _same_label(starts, rows, columns):
                within.add(tile[:, _local(r, rows), _local(c, columns)], r, c)
    return every.total(), within.total()


class _Sums:
    """Sums over the subsets, of tiles on and above the diagonal; a tile above it stands for its mirror image too."""

    def __init__(self, shape: tuple[int, int, int], device: torch.device) -> None:
        self._of_rows = torch.zeros(shape, dtype=torch.float64, device=device)
        self._of_columns = torch.zeros((shape[0], shape[2], shape[1]), dtype=torch.float64, device=device)

    def add(self, tile: Tensor, rows: slice, columns: slice) -> None:
        self._of_rows[: len(tile), rows] += tile.unflatten(2, (-1, SUBSETS)).sum(2)
        if rows != columns:
            self._of_columns[: len(tile), :, columns] += tile.unflatten(1, (-1, SUBSETS)).sum(1)

    def total(self) -> Array:
        found: Array = (self._of_rows + self._of_columns.transpose(1, 2)).cpu().numpy()
        return found


def _same_label(starts: Ids, rows: slice, columns: slice) -> Iterator[tuple[slice, slice]]:
    """Yield the places of the tile's rows and columns that have a label in common."""
    first, last = (np.maximum(starts[:-1], s.start) for s in (rows, columns))
    first_end, last_end = (np.minimum(starts[1:], s.stop) for s in (rows, columns))
    for label in np.flatnonzero((first < first_end) & (last < last_end)):
        yield slice(int(first[label]), int(first_end[label])), slice(int(last[label]), int(last_end[label]))


def _local(part: slice, whole: slice) -> slice:
    return slice(part.start - whole.start, part.stop - whole.start)


def _bounds(every: Array, within: Array, arrangement: Arrangement, variances: int) -> Bounds:
    places, sizes = np.arange(len(arrangement.order)), np.diff(arrangement.starts)
    left_out = np.arange(-1, SUBSETS)  # no subset, then each in turn
    kept = arrangement.filled[:, None] & (places[:, None] % SUBSETS != left_out)
    label = np.repeat(np.arange(len(sizes)), sizes)
    of_label = np.zeros((len(sizes), len(left_out)))
    np.add.at(of_label, label, kept)
    samples, shape = kept.sum(axis=0), (2, variances, len(left_out))
    inputs = _information(every, kept, samples[None]).reshape(shape)
    conditional = _information(within, kept, of_label[label]).reshape(shape)
    return Bounds(inputs, conditional, samples[1:] < samples[0])


def _information(sums: Array, kept: NDArray[np.bool_], sizes: Array) -> Array:
    """Return the mean over the kept places of -log2(sum / size), ``[S, 1 + SUBSETS]``; ``sums`` ``[S, M, SUBSETS]``,
    ``kept`` and ``sizes`` ``[M, 1 + SUBSETS]``."""
    whole = sums.sum(axis=2, keepdims=True)
    left = np.concatenate([whole, whole - sums], axis=2)
    densities = np.where(kept, left, 1) / np.where(kept, sizes, 1)
    found: Array = -np.log2(densities).sum(axis=1) / kept.sum(axis=0)
    return found

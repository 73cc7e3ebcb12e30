"""Mutual information of binned activations with the inputs and with the labels, in bits.

Every activation falls into one of B equal bins, ``floor((t - low) B / (high - low))`` in float64, and T is the vector
of a layer's bins (Shwartz-Ziv and Tishby 2017, arXiv:1703.00810). T is a function of the input, H(T|X) = 0, so that

    I(X;T) = H(T),      I(T;Y) = sum_ty p(t,y) log2[ p(t,y) / (p(t) p(y)) ],

with the frequencies p of the samples. Equal vectors are found by a random linear hash modulo 2^64: two different
vectors get the same key with probability at most B / 2^64, any two of N with at most N^2 B / 2^65 (8e-11 at N = 10^4,
B = 30).

The frequencies estimate probabilities. Their entropies are biased, by -(m - 1) / 2N nats for m occupied cells (Miller
1955), and scatter, with the variance of log p over the samples divided by N (Roulston 1999, Physica D 125, 285): the
error is the root of the sum of both squares. In truth it is zero if the samples are all inputs that there are, and far
larger if nearly every sample has a cell of its own.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from symbreak.errors import SymbreakError
from symbreak.probes.report import Array
from symbreak.seeding import derive

Ids = NDArray[np.int64]
BLOCK = 2**16  # activations at a time: in float64 they stay in the second-level cache
EXACT = 2**21  # bins * columns: with coefficients below 2^32 a sum of products is then below 2^53, exact in float64
MOST_BINS = 2**16


@dataclass(frozen=True)
class Estimate:
    """A value in bits and its error (bias and standard error together)."""

    value: float
    error: float


def binned_information(
    activations: Tensor, labels: Ids, *, bins: int, low: float, high: float, seed: int
) -> tuple[Estimate, Estimate]:
    """Return I(X;T) and I(T;Y) of a layer of a deterministic network.

    Args:
        activations: ``[N, D]``, each in ``[low, high]``.
        labels: ``[N]``, of 0 ... K - 1.
        bins: Number of bins, 2 to ``MOST_BINS``.
        low: Lower edge of the first bin.
        high: Upper edge of the last bin, which it belongs to; equal to ``low``: there is one bin.
        seed: Of the hash.

    Raises:
        SymbreakError: If ``bins`` is out of its range, or an activation is (NaN is).
    """
    cells = np.unique(keys(activations, bins=bins, low=low, high=high, seed=seed), return_inverse=True)[1]
    return plug_in(cells, labels)


def keys(activations: Tensor, *, bins: int, low: float, high: float, seed: int) -> Ids:
    """Return a key a sample, int64 ``[N]``, equal for samples in the same bins; arguments as above."""
    if not 2 <= bins <= MOST_BINS:
        raise SymbreakError(f"'bins' is {bins}, expected 2 to {MOST_BINS}")
    least, most = extremes(activations)
    if not (low <= least and most <= high and math.isfinite(high - low)):
        raise SymbreakError(f"activations are from {least} to {most}, expected finite ones in [{low}, {high}]")
    drawn = np.random.default_rng(derive(seed, "information", "hash"))
    coefficients = torch.from_numpy(drawn.integers(0, 2**32, (activations.shape[1], 2)).astype(np.float64)).to(
        activations.device
    )
    scale = bins / (high - low) if high > low else 0.0
    blocks = activations.split(max(1, BLOCK // activations.shape[1]))
    return torch.cat([_block_keys(block, coefficients, low, scale, bins) for block in blocks]).cpu().numpy()


def extremes(activations: Tensor) -> tuple[float, float]:
    """Return the least and the greatest of activations ``[N, D]``; not a number if one of them is."""
    in_memory = activations.T if activations.stride(0) == 1 else activations  # six times as fast along the memory
    least, most = torch.aminmax(in_memory)
    return float(least), float(most)


def _block_keys(block: Tensor, coefficients: Tensor, low: float, scale: float, bins: int) -> Tensor:
    cells = block.to(torch.float64, copy=True).sub_(low).mul_(scale).floor_().clamp_(max=bins - 1)
    columns = EXACT // bins
    key = torch.zeros(len(block), dtype=torch.int64, device=block.device)
    for part, factors in zip(cells.split(columns, dim=1), coefficients.split(columns), strict=True):
        halves = (part @ factors).long()
        key += halves[:, 0] + (halves[:, 1] << 32)
    return key


def plug_in(cells: Ids, labels: Ids) -> tuple[Estimate, Estimate]:
    """Return H(T) and I(T;Y) of the frequencies of cells T, of 0, 1, ... without gaps, and labels Y, ``[N]`` each."""
    samples, classes = len(cells), int(labels.max()) + 1
    of_cell, of_label = np.bincount(cells), np.bincount(labels)
    pairs, joint = np.unique(cells * classes + labels, return_counts=True)
    cell, label = np.divmod(pairs, classes)
    surprise = np.log2(samples / of_cell)
    gain = np.log2(joint * samples / (of_cell[cell] * of_label[label]))
    bias = (len(joint) - len(of_cell) - np.count_nonzero(of_label) + 1) / (2 * samples * math.log(2))
    entropy_bias = (len(of_cell) - 1) / (2 * samples * math.log(2))
    return _estimate(surprise, of_cell, entropy_bias), _estimate(gain, joint, bias)


def entropy(counts: NDArray[np.int64]) -> float:
    """Return the entropy in bits of the frequencies ``counts``, all positive."""
    return float(counts @ np.log2(counts.sum() / counts) / counts.sum())


def _estimate(bits: Array, counts: NDArray[np.int64], bias: float) -> Estimate:
    frequencies = counts / counts.sum()
    mean = float(frequencies @ bits)
    variance = float(frequencies @ (bits - mean) ** 2) / counts.sum()
    return Estimate(mean, math.hypot(bias, math.sqrt(variance)))

"""Which directions leave outputs unchanged: the null space of a tall matrix whose rows come from random inputs."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

FLOOR: Final = 1e-14  # of singular values relative to the matrix: those below are rounding in float64, and alike
NOISE: Final = 1e-12  # those above are never taken for zero
ZERO: Final = 1e-8  # those above are no zeros for anybody
CLEAR_GAP: Final = 1e3  # ratio of neighbouring singular values that leaves no doubt about the rank
FEWEST: Final = 512  # inputs of a count, at least, and as many to check it
MOST: Final = 8192  # inputs of a count that fresh inputs go on to contradict

Rows = Callable[[Tensor], tuple[Tensor, float]]


@dataclass(frozen=True)
class Null:
    """A null space.

    Attributes:
        basis: ``[K, dimension]``, orthonormal.
        gap: Ratio of the smallest singular value that counts to the largest that does not (at least ``FLOOR`` times
            the matrix's size).
        uncertain: How many more or fewer dimensions another threshold between ``FLOOR`` and ``ZERO`` would have given;
            0 if the gap is clear.
        leak: Frobenius norm of fresh rows on the null space, relative to that of their terms.
        inputs: How many inputs were tried, fresh ones included: what fewer than one in so many see may be missed.
    """

    basis: Tensor
    gap: float
    uncertain: int
    leak: float
    inputs: int

    @property
    def dimension(self) -> int:
        """Number of independent directions."""
        return self.basis.shape[1]

    @property
    def clear(self) -> bool:
        """Whether the rank is beyond doubt on the inputs seen."""
        return self.gap >= CLEAR_GAP

    @property
    def saturated(self) -> bool:
        """Whether fresh inputs see nothing that the inputs of the count did not see."""
        return self.leak <= ZERO


def null_space(rows: Rows, draw: Callable[[int], Tensor], columns: int, outputs: int) -> Null:
    """Find the directions on which all rows vanish.

    A direction that some input sees may be unseen by few: the inputs are doubled until as many fresh ones see nothing
    on the null space, or there are ``MOST`` and more than columns (of a function analytic in its input every
    input then adds a dimension, or none ever will; a rectifier that hardly ever fires is the case for ``MOST``).
    Rows are folded into a triangular factor, so that memory is O(K^2).

    Args:
        rows: Inputs -> (rows ``[m, K]``, squared Frobenius norm of the terms that were added up to these rows, against
            which a cancellation is judged).
        draw: Number -> so many new inputs.
        columns: K.
        outputs: How many independent rows an input can contribute.
    """
    if columns == 0:
        return Null(torch.zeros(0, 0, dtype=torch.float64), 1 / FLOOR, 0, 0.0, 0)
    block = max(FEWEST, 2 * math.ceil(columns / outputs))
    found, terms = rows(draw(block))
    factor, blocks = _triangular(found), 1
    while True:
        basis, gap, uncertain = _null(factor, math.sqrt(terms / columns))
        seen = fresh = 0.0
        for _ in range(blocks):
            found, squares = rows(draw(block))
            seen, fresh = seen + float((found @ basis).square().sum()), fresh + squares
            factor = _triangular(torch.cat([factor, found]))
        null = Null(basis, gap, uncertain, math.sqrt(seen / fresh) if fresh else 0.0, 2 * blocks * block)
        if null.saturated or blocks * block > max(MOST, columns):
            return null
        terms, blocks = terms + fresh, 2 * blocks


def span(vectors: Tensor, least: float) -> int:
    """Return how many of the columns of ``[P, K]`` are independent.

    Args:
        vectors: The columns.
        least: A size against which they are judged, if they are all smaller.
    """
    columns = vectors.shape[1]
    if columns == 0:
        return 0
    return columns - _null(_triangular(vectors), least)[0].shape[1]


def _triangular(rows: Tensor) -> Tensor:
    """R of the QR decomposition: the same singular values and null space with at most K rows."""
    factor: Tensor = torch.linalg.qr(rows, mode="r").R
    return factor


def _null(factor: Tensor, least: float) -> tuple[Tensor, float, int]:
    """Basis, gap and uncertainty of the null space of a matrix that is at least of a size.

    Terms that cancel to rounding have no singular value to be compared with but the largest of the terms, which is at
    least their Frobenius norm over sqrt(K).
    """
    columns = factor.shape[1]
    _, singular, right = torch.linalg.svd(factor, full_matrices=True)
    singular = torch.cat([singular, singular.new_zeros(columns - len(singular))])
    size = max(float(singular[0]), least)
    rank, gap, uncertain = decide(singular / size if size else singular)
    return right[rank:].T, gap, uncertain


def decide(singular: Tensor) -> tuple[int, float, int]:
    """Decide a rank by the widest gap below which all values are at most ``NOISE``.

    Args:
        singular: ``[K]`` relative singular values, largest first.

    Returns:
        Rank, gap, and how many dimensions the rank is uncertain by (0 if the gap is clear).
    """
    ends = torch.cat([singular.new_ones(1), singular, singular.new_zeros(1)]).clamp(min=FLOOR)
    ratios = torch.where(ends[1:] <= NOISE, ends[:-1] / ends[1:], 0.0)
    rank = int(ratios.argmax())
    gap = float(ratios[rank])
    if gap >= CLEAR_GAP:
        return rank, gap, 0
    at_least, at_most = int((singular > ZERO).sum()), int((singular > FLOOR).sum())
    return rank, gap, max(rank - at_least, at_most - rank)

"""Correlators of fields sampled at a few points: sums over blocks of samples, and their jackknife errors.

G_2k = F_k^T F_k / M, with F_k ``[M, E_k]`` the products of the field over the multisets of k points: every element of
order 2k is a product of two of order k, so that the 6-point function of 6 points is one product of 56 columns. Float64.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from symbreak.errors import SymbreakError
from symbreak.theory.wick import Index, multisets, places

Array = NDArray[np.float64]
CHUNK = 2**17  # numbers of F_k held at once: 1 MB
LEAST_BLOCKS = 8  # a standard error from fewer is not one


@dataclass(frozen=True)
class BlockSums:
    """Sums of products over each of B blocks of samples.

    Attributes:
        sums: Order -> ``[B, ..., E_order]``.
        weights: Samples in each block, or the sum of their weights, ``[B]``.
    """

    sums: dict[int, Array]
    weights: Array

    def mean(self) -> dict[int, Array]:
        """Return the correlators of all samples, order -> ``[..., E]``."""
        return {order: total.sum(axis=0) / self.weights.sum() for order, total in self.sums.items()}

    def without(self) -> dict[int, Array]:
        """Return the correlators without each block in turn, order -> ``[B, ..., E]``."""
        rest = self.weights.sum() - self.weights
        return {
            order: (total.sum(axis=0) - total) / rest.reshape(-1, *[1] * (total.ndim - 1))
            for order, total in self.sums.items()
        }

    @classmethod
    def of(cls, parts: Sequence[tuple[dict[int, Array], float]]) -> Self:
        """Make block sums of every block's sums (order -> ``[..., E]``) and weight."""
        orders = parts[0][0]
        sums = {order: np.stack([part[order] for part, _ in parts]) for order in orders}
        return cls(sums, np.array([weight for _, weight in parts]))


@dataclass(frozen=True)
class Estimate:
    """A statistic and what the jackknife says of it, all of one shape.

    Attributes:
        value: The statistic of all samples.
        error: Its standard error.
        bias: Its bias, which is not subtracted.
        share: Of the squared error, what the block that has most of it contributes: 1/B or little more unless tails are
            heavy, when the error is too small in most ensembles.
    """

    value: Array
    error: Array
    bias: Array
    share: Array


def product_sums(field: Array, orders: Sequence[int], weights: Array | None = None) -> dict[int, Array]:
    """Return the sums over samples of the products of the field, order -> ``[E_order]``.

    Args:
        field: ``[M, P]``, samples and points; taken to float64.
        orders: Orders of the products, at least 1.
        weights: One weight a sample, ``[M]``; default 1.
    """
    points = field.shape[1]
    largest = (max(orders) + 1) // 2
    size = max(1, CHUNK // len(multisets(points, largest)))
    totals = {order: np.zeros(len(multisets(points, order))) for order in orders}
    for start in range(0, len(field), size):
        chunk = slice(start, start + size)
        powers = _powers(np.ascontiguousarray(field[chunk].T, dtype=np.float64), largest)
        for order in orders:
            totals[order] += _of_order(powers, None if weights is None else weights[chunk], order)
    return totals


def field_sums(fields: Array, orders: Sequence[int], weights: Array | None = None) -> dict[int, Array]:
    """Return :func:`product_sums` of D fields ``[M, D, P]``, order -> ``[D, E_order]``."""
    found = [product_sums(fields[:, at], orders, weights) for at in range(fields.shape[1])]
    return {order: np.stack([sums[order] for sums in found]) for order in orders}


def blocks(count: int, wanted: int) -> list[slice]:
    """Divide ``count`` samples into ``wanted`` blocks that differ by at most one, or one a sample if these are fewer.

    Raises:
        SymbreakError: If there would be fewer than ``LEAST_BLOCKS``.
    """
    number = min(count, wanted)
    if number < LEAST_BLOCKS:
        raise SymbreakError(
            f"expected at least {LEAST_BLOCKS} blocks of networks for an error, found {count} networks "
            f"in at most {wanted} blocks; give more networks or blocks"
        )
    edges = [count * at // number for at in range(number + 1)]
    return [slice(start, end) for start, end in pairwise(edges)]


def jackknife(found: BlockSums, statistic: Callable[[dict[int, Array]], Array]) -> Estimate:
    """Estimate a function of correlators, with blocks of unequal size (Busing, Meijer and van der Leeden 1999).

    Args:
        found: Sums over blocks of independent samples.
        statistic: Correlators, order -> ``[..., E]``, to ``[...]``; must carry a leading axis along.
    """
    value = statistic(found.mean())
    left = statistic(found.without())
    h = (found.weights.sum() / found.weights).reshape(-1, *[1] * value.ndim)
    pseudo = h * value - (h - 1) * left
    centre = (pseudo / h).sum(axis=0)
    terms = (pseudo - centre) ** 2 / (h - 1)
    total = terms.sum(axis=0)
    share = np.divide(terms.max(axis=0), total, out=np.zeros_like(total), where=total > 0)
    return Estimate(value, np.sqrt(total / len(h)), value - centre, share)


def _powers(field: Array, largest: int) -> list[Array]:
    """Products over the multisets of k points, ``[E_k, M]``, for k = 0 .. largest; ``field`` is ``[P, M]``."""
    points, samples = field.shape
    found = [np.ones((1, samples)), field]
    for order in range(2, largest + 1):
        made = np.empty((len(multisets(points, order)), samples))
        for row, (before, last) in zip(made, _parents(points, order), strict=True):
            np.multiply(found[-1][before], field[last], out=row)
        found.append(made)
    return found


def _of_order(powers: list[Array], weights: Array | None, order: int) -> Array:
    left, right = powers[order // 2], powers[order - order // 2]
    gram = (left if weights is None else left * weights) @ right.T  # of an array with itself: half the work in BLAS
    found: Array = gram[_halves(len(powers[1]), order)]
    return found


@cache
def _parents(points: int, order: int) -> list[tuple[int, int]]:
    """Each multiset as (place of the multiset without its last point, last point)."""
    tuples = multisets(points, order)
    return list(zip(places(points, tuples[:, :-1]).tolist(), tuples[:, -1].tolist(), strict=True))


@cache
def _halves(points: int, order: int) -> tuple[Index, Index]:
    """Each multiset as places of its first ``order // 2`` points and of the others."""
    tuples, left = multisets(points, order), order // 2
    first = places(points, tuples[:, :left]) if left else np.zeros(len(tuples), dtype=np.int64)
    return first, places(points, tuples[:, left:])

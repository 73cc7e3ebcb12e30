"""Correlators of fields sampled at a few points: sums over blocks of samples, and their jackknife errors.

An element of order n is a product of one of order n - k and one of order k = ceil(n_max / 2), and so an element of
``F_l F_k^T``, with F_k ``[E_k, M]`` the products of the field over the multisets of k points. Of n = 2 k points in
order, either the first k are below the middle of all points or the last k are not: of F_l only these rows are needed,
20 of 56 for the 6-point function of 6 points. Float64.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise
from math import comb
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from symbreak.errors import SymbreakError
from symbreak.theory.wick import Index, multisets, places

Array = NDArray[np.float64]
CHUNK = 2**15  # numbers of F_k held at once: 0.25 MB
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


def product_sums(
    field: Array | NDArray[np.float32], orders: Sequence[int], weights: Array | None = None
) -> dict[int, Array]:
    """Return the sums over samples of the products of the field, order -> ``[E_order]``.

    Args:
        field: ``[M, P]``, samples and points; taken to float64.
        orders: Orders of the products, at least 1.
        weights: One weight a sample, ``[M]``; default 1.

    Raises:
        SymbreakError: If there is not one weight a sample.
    """
    from symbreak.probes.kernels.powers import fill  # numba takes a second to import

    factors = _factors(field.shape[1], tuple(orders))
    heavy = np.ones(len(field)) if weights is None else weights
    if heavy.shape != (len(field),):  # compiled code would read beyond the end
        raise SymbreakError(f"expected one weight for each of {len(field)} samples, found shape {heavy.shape}")
    size = max(1, min(len(field), CHUNK // factors.wide))
    powers, left, matrices = factors.empty(size)
    products, sums = torch.zeros((len(factors.rows), factors.wide), dtype=torch.float64), np.zeros(factors.ends[-2])
    for start in range(0, len(field), size):
        chunk = np.ascontiguousarray(field[start : start + size])
        if len(chunk) < size:  # the last one: slices of the arrays would be strided
            powers, left, matrices = factors.empty(len(chunk))
        fill(chunk, heavy[start : start + size], factors.before, factors.point, factors.rows, powers, left, sums)
        # MKL's product, as numpy's BLAS takes 1.3 times as long for so few rows
        products.addmm_(*matrices)
    return factors.of_orders(products.numpy(), sums)


def field_sums(
    fields: Array | NDArray[np.float32], orders: Sequence[int], weights: Array | None = None
) -> dict[int, Array]:
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


@dataclass(frozen=True)
class _Factors:
    """Where the elements of all orders are in products of powers of the field; ``F`` is F_0, F_1 ... F_k, stacked.

    Attributes:
        points: Number of points P.
        ends: Where F_0, F_1 ... end in F.
        before: For each row of F_2 .. F_k, the row of F that it is a product of, with the row ``point``.
        point: See ``before``.
        rows: Rows of F that are multiplied by F_k, each of ``ends[-1] - ends[-2]`` rows.
        places: Order n -> for n >= k each element's place among the rows and in F_k, for n < k none.
    """

    points: int
    ends: tuple[int, ...]
    before: Index
    point: Index
    rows: Index
    places: dict[int, tuple[Index, Index] | None]

    @property
    def wide(self) -> int:
        """The number of rows of F_k."""
        return self.ends[-1] - self.ends[-2]

    def empty(self, samples: int) -> tuple[Array, Array, tuple[Tensor, Tensor]]:
        """Return room for F ``[E, samples]`` and its rows ``rows``; the latter and F_k^T also as torch has them."""
        powers, left = np.empty((self.ends[-1], samples)), np.empty((len(self.rows), samples))
        return powers, left, (torch.from_numpy(left), torch.from_numpy(powers[self.ends[-2] :]).T)

    def of_orders(self, products: Array, sums: Array) -> dict[int, Array]:
        """Return order -> ``[E]`` of the products with F_k and of the sums of the rows before it."""
        found: dict[int, Array] = {}
        for order, place in self.places.items():
            found[order] = sums[self.ends[order - 1] : self.ends[order]] if place is None else products[place]
        return found


@cache
def _factors(points: int, orders: tuple[int, ...]) -> _Factors:
    largest = (max(orders) + 1) // 2
    ends = tuple(accumulate(comb(points + order - 1, order) for order in range(largest + 1)))
    pairs = {order: _halves(points, order, largest) for order in orders if order >= largest}
    starts = {order: (0, *ends)[order - largest] for order in pairs}
    rows = np.unique(np.concatenate([starts[order] + left for order, (left, _) in pairs.items()]))
    found = {order: (np.searchsorted(rows, starts[order] + left), right) for order, (left, right) in pairs.items()}
    return _Factors(points, ends, *_steps(points, ends), rows, {order: found.get(order) for order in orders})


def _halves(points: int, order: int, largest: int) -> tuple[Index, Index]:
    """Each multiset as places of ``order - largest`` of its points and of the ``largest`` others."""
    tuples, cut = multisets(points, order), order - largest
    first, last = tuples[:, :cut], tuples[:, cut:]
    if cut == largest:  # either the first half is below the middle or the last is not: few rows serve all
        swapped = first[:, -1:] >= points // 2
        first, last = np.where(swapped, last, first), np.where(swapped, first, last)
    none = np.zeros(len(tuples), dtype=np.int64)
    return places(points, first) if cut else none, places(points, last)


def _steps(points: int, ends: tuple[int, ...]) -> tuple[Index, Index]:
    """Return of which two rows of F each row of F_2 .. F_k is the product: one of the order before, and a point."""
    before, point = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for order in range(2, len(ends)):
        for first in range(points):  # the multisets that start with it are this point with the last ones of one less
            count = comb(points - first + order - 2, order - 1)
            before.append(np.arange(ends[order - 1] - count, ends[order - 1]))
            point.append(np.full(count, 1 + first))
    return np.concatenate(before), np.concatenate(point)

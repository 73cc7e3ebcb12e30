"""Products of a field over multisets of points, in one pass over what a core's cache holds."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from symbreak.theory.wick import Index

Array = NDArray[np.float64]


# Sums may be taken in any order, so that a vector register holds partial ones; compiling fixes the order.
@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def fill(
    field: NDArray[Any],
    weights: Array,
    before: Index,
    point: Index,
    chosen: Index,
    powers: Array,
    left: Array,
    sums: Array,
) -> None:
    """Compute products of the field, weighted ones of some rows, and add up the first rows.

    Args:
        field: ``[M, P]``, float32 or float64.
        weights: ``[M]``.
        before: ``[E']``: rows of ``powers`` whose product with the row ``point`` is its next row after ``1 + P``.
        point: ``[E']``.
        chosen: Rows of ``powers``, ``[C]``.
        powers: Written, ``[1 + P + E', M]``: 1, the field and the products.
        left: Written, ``[C, M]``: the chosen rows times ``weights``.
        sums: ``[S]``: the weighted sums of the first S rows are added.
    """
    samples, points = field.shape
    powers[0] = 1
    for m in range(samples):
        for p in range(points):
            powers[1 + p, m] = field[m, p]
    for e in range(len(before)):
        row, a, b = powers[1 + points + e], powers[before[e]], powers[point[e]]
        for m in range(samples):
            row[m] = a[m] * b[m]
    for c in range(len(chosen)):
        row, a = left[c], powers[chosen[c]]
        for m in range(samples):
            row[m] = a[m] * weights[m]
    for e in range(len(sums)):
        row, total = powers[e], 0.0
        for m in range(samples):
            total += row[m] * weights[m]
        sums[e] += total

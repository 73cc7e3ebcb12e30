"""Wick's theorem for correlators at a finite set of points: what a Gaussian field would give, and what is left.

A correlator of order n is an array ``[..., E]`` over the multisets of n points out of P in the order of
:func:`multisets`, as it is symmetric in its points; leading axes (outputs, jackknife samples) are carried along.
Isserlis 1918: the 2k-point function of a Gaussian field of mean 0 is the sum over all (2k-1)!! pairings of products of
2-point functions; connected parts are joint cumulants (McCullagh 1987, Tensor Methods in Statistics, ch. 2).
"""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import combinations, combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.int64]


@cache
def multisets(points: int, order: int) -> Index:
    """Return all multisets of ``order`` out of ``points`` points, ``[E, order]``, ascending; read-only.

    E = C(points + order - 1, order): 21, 126 and 462 for 6 points and orders 2, 4 and 6.
    """
    found = np.array(list(combinations_with_replacement(range(points), order)), dtype=np.int64)
    found = found.reshape(-1, order)
    found.setflags(write=False)
    return found


def places(points: int, tuples: Index) -> Index:
    """Return where ``tuples`` ``[..., order]`` of points, in any order, stand in :func:`multisets`, ``[...]``."""
    order = tuples.shape[-1]
    base = points ** np.arange(order - 1, -1, -1)
    codes = multisets(points, order) @ base  # ascending, as the multisets are
    found: Index = np.searchsorted(codes, np.sort(tuples, axis=-1) @ base)
    return found


def pairings(elements: Sequence[int]) -> Iterator[tuple[tuple[int, int], ...]]:
    """Yield all ways to divide an even number n of elements into pairs, (n-1)!! of them."""
    if not elements:
        yield ()
        return
    first, rest = elements[0], elements[1:]
    for at, other in enumerate(rest):
        for others in pairings([*rest[:at], *rest[at + 1 :]]):
            yield ((first, other), *others)


def wick(g2: Array, points: int, order: int) -> Array:
    """Return the 2-point function's sum over all pairings, ``[..., E_order]``: the Gaussian field's correlator.

    Args:
        g2: 2-point function ``[..., E_2]``.
        points: Number of points P.
        order: Even order of the correlator.
    """
    tuples = multisets(points, order)
    total = np.zeros((*g2.shape[:-1], len(tuples)))
    for pairing in pairings(range(order)):
        product = np.ones_like(total)
        for pair in pairing:
            product *= g2[..., places(points, tuples[:, pair])]
        total += product
    return total


def splits(left: Array, right: Array, points: int, orders: tuple[int, int]) -> Array:
    """Return the sum of left(A) right(B) over all ways to divide ``sum(orders)`` points into A and B.

    15 terms for orders (2, 4), 10 for (3, 3), where A and B are alike and each division is counted once.

    Args:
        left: Correlator of order ``orders[0]``, ``[..., E]``.
        right: Correlator of order ``orders[1]``.
        points: Number of points P.
        orders: Sizes of A and B.
    """
    order = sum(orders)
    tuples = multisets(points, order)
    total = np.zeros((*left.shape[:-1], len(tuples)))
    for chosen in combinations(range(order), orders[0]):
        others = [at for at in range(order) if at not in chosen]
        total += left[..., places(points, tuples[:, chosen])] * right[..., places(points, tuples[:, others])]
    halved: Array = total / 2 if orders[0] == orders[1] else total
    return halved


def connected_four(g2: Array, g4: Array, points: int) -> Array:
    """Return G4_c = G4 - sum_3 G2 G2, ``[..., E_4]``, of a field whose odd correlators vanish."""
    return g4 - wick(g2, points, 4)


def connected_six(g2: Array, g4: Array, g6: Array, points: int, g3: Array | None = None) -> Array:
    """Return G6_c = G6 - sum_15 G2 G2 G2 - sum_15 G2 G4_c [- sum_10 G3 G3], ``[..., E_6]``, of a field of mean 0.

    Args:
        g2: 2-point function ``[..., E_2]``.
        g4: 4-point function ``[..., E_4]``, not connected.
        g6: 6-point function ``[..., E_6]``.
        points: Number of points P.
        g3: 3-point function ``[..., E_3]``; None: it vanishes, as for a density that is even in the field.
    """
    found = g6 - wick(g2, points, 6) - splits(g2, connected_four(g2, g4, points), points, (2, 4))
    return found if g3 is None else found - splits(g3, g3, points, (3, 3))


def centred(g: dict[int, Array], points: int) -> dict[int, Array]:
    """Return the correlators of a field less its mean, from those of the field: E prod (f_a - m_a), order by order.

    Args:
        g: Order -> ``[..., E_order]`` for all orders 1 .. n.
        points: Number of points P.
    """
    return {order: _centred(g, points, order) for order in g}


def _centred(g: dict[int, Array], points: int, order: int) -> Array:
    tuples = multisets(points, order)
    total = np.zeros((*g[1].shape[:-1], len(tuples)))
    for size in range(order + 1):
        for kept in combinations(range(order), size):
            others = [at for at in range(order) if at not in kept]
            term = (-g[1][..., tuples[:, others]]).prod(axis=-1)
            total += term * g[size][..., places(points, tuples[:, kept])] if size else term
    return total

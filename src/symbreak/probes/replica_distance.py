"""Wasserstein distances of all pairs of replicas, and means over pairs with their jackknife errors.

In one dimension the optimal coupling of two samples of n equal masses is that of their order statistics (Villani,
Topics in Optimal Transportation, 2003, theorem 2.18), so that ``W_p^p = (1/n) sum_i |a_(i) - b_(i)|^p``: each replica
is sorted once, not once a pair.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import squareform

from symbreak.errors import SymbreakError

Array = NDArray[np.float64]
Floats = NDArray[np.floating]
BLOCK_BYTES = 2**20  # of the columns that all pairs are taken of at a time: they stay in the second-level cache
LEAST_COLUMNS = 64  # of a block, however many replicas there are
LEAST_REPLICAS = 3  # leaving one out must leave a pair


def wasserstein(values: Floats | Sequence[Floats], p: float = 1.0) -> Array:
    """Return W_p of all pairs of one-dimensional samples, float64 ``[R, R]`` with a zero diagonal, exact to rounding.

    Args:
        values: Samples ``[R, n]`` in any order, of any floating type.
        p: Order of the distance, at least 1.

    Raises:
        SymbreakError: If samples differ in length, have NaN or infinite entries, or p is below 1.
    """
    return indexed(np.sort(_checked(values, p), axis=1), p)


def indexed(values: Floats | Sequence[Floats], p: float = 1.0) -> Array:
    """Return ``((1/n) sum_i |a_i - b_i|^p)^(1/p)`` of all pairs, entry by entry; arguments and errors as above."""
    rows = torch.from_numpy(_checked(values, p))
    count, length = rows.shape
    width = max(LEAST_COLUMNS, BLOCK_BYTES // (8 * count))
    total = torch.zeros(math.comb(count, 2), dtype=torch.float64)
    for block in rows.split(width, dim=1):
        norms = torch.pdist(block.to(torch.float64).contiguous(), p)
        total += norms if p == 1 else norms**p
    found: Array = squareform((total / length).numpy() ** (1 / p), checks=False).reshape(count, count)
    return found


def pair_means(distances: Array) -> tuple[Array, Array]:
    """Return the mean over pairs, ``[...]``, and the means without one replica, ``[..., R]``, of ``[..., R, R]``.

    Raises:
        SymbreakError: If there are fewer than three replicas.
    """
    count = distances.shape[-1]
    if count < LEAST_REPLICAS:
        raise SymbreakError(
            f"a mean over pairs needs at least {LEAST_REPLICAS} replicas for its error, found {count}: train more seeds"
        )
    of_replica = distances.sum(-1)
    total = of_replica.sum(-1) / 2
    return total / math.comb(count, 2), (total[..., None] - of_replica) / math.comb(count - 1, 2)


def jackknife(left_out: Array) -> Array:
    """Return the standard error ``sqrt((R-1)/R sum_r (t_r - mean t)^2)`` of estimates without one replica ``[..., R]``.

    Pairs share replicas, so the replica is what is left out. For means over pairs it is conservative: its square is
    never below the variance in expectation (Efron and Stein 1981, Annals of Statistics 9, 586).
    """
    count = left_out.shape[-1]
    found: Array = np.sqrt((count - 1) * left_out.var(axis=-1))
    return found


def _checked(values: Floats | Sequence[Floats], p: float) -> Floats:
    if not (math.isfinite(p) and p >= 1):
        raise SymbreakError(f"a Wasserstein distance has an order p of at least 1, found {p}: give p=1 or p=2")
    lengths = sorted({len(row) for row in values})
    if len(lengths) != 1 or lengths == [0]:
        raise SymbreakError(
            f"replicas must have equally many weights, at least one, found {lengths}: compare replicas of one model"
        )
    rows = np.asarray(values)
    if not np.isfinite(rows).all():
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1)).tolist()
        raise SymbreakError(f"the weights of the replicas {bad} have NaN or infinite entries: leave diverged runs out")
    return rows

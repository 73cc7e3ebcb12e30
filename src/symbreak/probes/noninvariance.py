"""How much of a correlator of the outputs is not invariant under SO(D), estimated without bias from batches of nets.

With A_b the part of batch b's tensor outside the invariant subspace, and independent batches, the mean over pairs
b != b' of <A_b, A_b'> has the mean |E A|^2 whatever the noise: 0 if the correlator is invariant (single values are then
of either sign).
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symbreak.theory.invariants import invariant_part

Array = NDArray[np.float64]


def batch_tensors(pieces: Iterable[Array], quadruples: Sequence[Sequence[int]]) -> dict[int, Array]:
    """Return one batch's G2_ij(x, y) ``[P, P, D, D]`` and G4_ijkl at quadruples of points, ``[Q, D, D, D, D]``.

    Args:
        pieces: Outputs ``[n, D, P]`` of the batch's nets, in any number of pieces.
        quadruples: Indices of four points each.
    """
    nets = 0
    totals: dict[int, Any] = {2: 0.0, 4: 0.0}
    for f in pieces:
        size, outputs, points = f.shape
        flat = f.reshape(size, -1)
        totals[2] += (flat.T @ flat).reshape(outputs, points, outputs, points).transpose(1, 3, 0, 2)
        totals[4] += np.stack([_four(f, chosen) for chosen in quadruples])
        nets += size
    return {order: np.asarray(total) / nets for order, total in totals.items()}


def squared_norms(batches: Array, order: int) -> tuple[float, float]:
    """Return the squared norms of what is not and of what is invariant of a tensor's mean over batches.

    Args:
        batches: ``[B, ..., D x order]``, independent batches of equal size.
        order: Number of output indices.

    Returns:
        |E A|^2, unbiased, and |P G|^2 of the mean over batches, both summed over all points.
    """
    invariant = invariant_part(batches, order)
    rest = (batches - invariant).reshape(len(batches), -1)
    count = len(batches)
    pairs = np.sum(rest.sum(axis=0) ** 2) - np.sum(rest**2)
    return float(pairs / (count * (count - 1))), float(np.sum(invariant.mean(axis=0) ** 2))


def _four(f: Array, chosen: Sequence[int]) -> Array:
    a, b, c, d = (f[:, :, at] for at in chosen)
    outputs = f.shape[1]
    left = (a[:, :, None] * b[:, None]).reshape(len(f), -1)
    right = (c[:, :, None] * d[:, None]).reshape(len(f), -1)
    return (left.T @ right).reshape((outputs,) * 4)

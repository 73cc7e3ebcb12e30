"""The part of a tensor of output indices that every rotation of SO(D) leaves as it is, and the rest.

Weyl's first fundamental theorem (The Classical Groups, 1939, II.9): invariant tensors of SO(D) are spanned by products
of Kronecker deltas over the pairings of the indices, and by the same with one epsilon where D indices are left for it.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from symbreak.errors import SymbreakError
from symbreak.theory.wick import pairings

Array = NDArray[np.float64]


def invariant_part(tensor: Array, order: int) -> Array:
    """Return the projection of ``tensor`` ``[..., D x order]`` on the tensors that SO(D) leaves invariant.

    Args:
        tensor: Tensors whose last ``order`` axes are output indices.
        order: Even number of indices.

    Raises:
        SymbreakError: SO(D) has invariants with epsilon at this order, such as D = order = 4.
    """
    dimension = tensor.shape[-1]
    if order % 2 or (dimension <= order and (order - dimension) % 2 == 0):
        raise SymbreakError(
            f"expected an even order whose invariants of SO(D) are made of deltas alone, found order {order} and "
            f"D = {dimension}; take D = 3 or D > {order}"
        )
    deltas = _deltas(dimension, order)
    flat = tensor.reshape(-1, dimension**order)
    found: Array = (flat @ np.linalg.pinv(deltas) @ deltas).reshape(tensor.shape)
    return found


@cache
def _deltas(dimension: int, order: int) -> Array:
    """Products of deltas, one a pairing of the indices, ``[(order - 1)!!, D^order]``."""
    indices = np.indices((dimension,) * order).reshape(order, -1)
    found = [np.prod([indices[a] == indices[b] for a, b in pairing], axis=0) for pairing in pairings(range(order))]
    return np.array(found, dtype=np.float64)


def rotated(tensor: Array, rotation: Array, order: int) -> Array:
    """Return ``tensor`` ``[..., D x order]`` with a matrix ``[D, D]`` applied to each of its last ``order`` axes."""
    for axis in range(tensor.ndim - order, tensor.ndim):
        tensor = np.moveaxis(np.tensordot(tensor, rotation, axes=(axis, 1)), -1, axis)
    return tensor

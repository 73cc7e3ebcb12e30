"""Adding gradients to parameters: small ones without a call of torch, those in bfloat16 in a third of its time."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True, fastmath={"contract"})
def add_bfloat16(target: NDArray[np.float32], bits: NDArray[np.uint16], keep: np.float32, scale: np.float32) -> None:
    """Set float32 ``target`` ``[N]`` to ``keep target + scale g``; where ``keep`` is 0 old values, even NaN, are gone.

    Args:
        target: Changed.
        bits: ``g`` in bfloat16, seen as uint16 ``[N]``: the upper halves of float32 numbers.
        keep: float32.
        scale: float32.
    """
    for i in range(len(target)):
        value = np.uint32(np.uint32(bits[i]) << np.uint32(16)).view(np.float32)
        target[i] = scale * value if keep == 0 else keep * target[i] + scale * value


@njit(cache=True, nogil=True, fastmath={"contract"})
def add(target: NDArray[Any], gradient: NDArray[Any], keep: float, scale: float) -> None:
    """Set ``target`` ``[N]`` to ``keep target + scale gradient``, in its type."""
    kept, scaled = target.dtype.type(keep), target.dtype.type(scale)
    for i in range(len(target)):
        target[i] = kept * target[i] + scaled * gradient[i]

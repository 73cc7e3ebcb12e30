"""Adding gradients in bfloat16 to parameters in float32, in one pass; torch's own takes three times as long."""

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

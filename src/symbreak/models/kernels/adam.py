"""Adam's step in one pass over parameters, gradients and what it remembers of them."""

import math
from typing import Any

from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


# Python's model of errors would test every divisor for 0, and nothing would be vectorised
@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def adam(
    q: Array,
    g: Array,
    mean: Array,
    square: Array,
    keep: Any,
    keep_square: Any,
    decay: Any,
    rate: Any,
    scale: Any,
    eps: Any,
) -> None:
    """Update ``q``, ``mean`` and ``square`` ``[N]`` in place (Kingma and Ba 2015, arXiv:1412.6980, algorithm 1).

    Args:
        q: The parameters.
        g: The gradient, left alone.
        mean: Running mean of the gradient, their m.
        square: Running mean of its square, their v.
        keep: Their beta_1; all numbers are of the type of ``q``.
        keep_square: Their beta_2.
        decay: Weight decay, coupled to the loss: ``g + decay q`` takes the place of ``g``.
        rate: The learning rate over ``1 - beta_1^t``.
        scale: ``(1 - beta_2^t)^(-1/2)``, by which roots of ``square`` are corrected.
        eps: Added to the corrected root.
    """
    new, new_square = q.dtype.type(1) - keep, q.dtype.type(1) - keep_square
    for i in range(len(q)):
        slope = g[i] + decay * q[i]
        first, second = keep * mean[i] + new * slope, keep_square * square[i] + new_square * slope * slope
        mean[i], square[i] = first, second
        q[i] -= rate * first / (q.dtype.type(math.sqrt(second)) * scale + eps)

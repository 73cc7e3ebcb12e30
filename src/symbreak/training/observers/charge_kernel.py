"""What ``charge_sums`` adds up of one layer, on the CPU in one pass over its weights, compiled by numba.

Sums are in float64. Along a row their order is left to the compiler, which adds as many partial sums side by side as
the vector unit is wide: the same bits on the same kind of processor, as with torch's own sums, and within rounding on
another.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]
Weights = NDArray[Any]  # float32 or float64


@njit(cache=True, nogil=True)
def follow(
    weight: Weights, bias: Weights, last_weight: Weights, last_bias: Weights, into: Array, out: Array, shift: Array
) -> None:
    """Add up a layer and what it moved, then make ``last_*`` its present values.

    Args:
        weight: ``[R, outputs, inputs]``, C-contiguous like all arrays here.
        bias: ``[R, outputs]``.
        last_weight: ``weight`` as it was; overwritten.
        last_bias: ``bias`` as it was; overwritten.
        into: ``[2, R, outputs]``, result: of the weights into each unit and its bias the squares, and those of
            their increments.
        out: ``[2, R, inputs]``, result: the same of the weights out of each input; not wanted if ``[2, R, 0]``.
        shift: ``[R, inputs + 1]``, result: sum of the weights out of each input and, last, of the biases; not
            wanted if ``[R, 0]``.
    """
    out[:] = 0.0
    shift[:] = 0.0
    if out.shape[2] and shift.shape[1]:
        _everything(weight, last_weight, into, out, shift)
    else:
        _some(weight, last_weight, into, out, shift)
    for r in range(bias.shape[0]):
        for unit in range(bias.shape[1]):
            value = np.float64(bias[r, unit])
            step = value - np.float64(last_bias[r, unit])
            into[0, r, unit] += value * value
            into[1, r, unit] += step * step
            if shift.shape[1]:
                shift[r, weight.shape[2]] += value
            last_bias[r, unit] = bias[r, unit]


# Loops over three axes written out: given rows of them, the compiler would not vectorise the five sums.
@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _everything(weight: Weights, last: Weights, into: Array, out: Array, shift: Array) -> None:
    """Write the sums of the weights over inputs and add those over outputs, see ``follow``; all are wanted."""
    for r in range(weight.shape[0]):
        for unit in range(weight.shape[1]):
            squares, moved = 0.0, 0.0
            for i in range(weight.shape[2]):
                value = np.float64(weight[r, unit, i])
                step = value - np.float64(last[r, unit, i])
                squares += value * value
                moved += step * step
                out[0, r, i] += value * value
                out[1, r, i] += step * step
                shift[r, i] += value
                last[r, unit, i] = weight[r, unit, i]
            into[0, r, unit], into[1, r, unit] = squares, moved


@njit(cache=True, nogil=True)
def _some(weight: Weights, last: Weights, into: Array, out: Array, shift: Array) -> None:
    """Do the same where ``out`` or ``shift`` is not wanted."""
    for r in range(weight.shape[0]):
        for unit in range(weight.shape[1]):
            new, old = weight[r, unit], last[r, unit]
            if out.shape[2]:
                _add_squares(new, old, out[0, r], out[1, r])
            if shift.shape[1]:
                _add(new, shift[r])
            into[0, r, unit], into[1, r, unit] = _row(new, old)


@njit(cache=True, nogil=True)
def _add_squares(new: Weights, old: Weights, squares: Array, moved: Array) -> None:
    """Add the squares of ``new`` and of ``new - old``, each ``[inputs]``."""
    for i in range(new.shape[0]):
        value = np.float64(new[i])
        step = value - np.float64(old[i])
        squares[i] += value * value
        moved[i] += step * step


@njit(cache=True, nogil=True)
def _add(new: Weights, total: Array) -> None:
    """Add ``new`` ``[inputs]`` to ``total``, which may be longer."""
    for i in range(new.shape[0]):
        total[i] += np.float64(new[i])


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _row(new: Weights, old: Weights) -> tuple[float, float]:
    """Return the sums of squares of ``new`` and of ``new - old``, each ``[inputs]``, and copy ``new`` to ``old``."""
    squares, moved = 0.0, 0.0
    for i in range(new.shape[0]):
        value = np.float64(new[i])
        step = value - np.float64(old[i])
        squares += value * value
        moved += step * step
        old[i] = new[i]
    return squares, moved

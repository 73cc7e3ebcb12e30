"""Outputs of Gauss-nets, a few nets at a time, whose neurons stay in a core's first cache.

All that the loop calls is in this file, as numba takes compiled code from its cache until the file of the function
itself changes.
"""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float32]
TILE = 2**10  # neurons at once: 24 kB with 6 points, beside 4 kB of W1 and of each direction of the normal numbers

# Sums may be taken in any order, so that a vector register holds partial ones; compiling fixes the order.
SUM = {"reassoc", "contract", "nsz"}

# e^x = 2^n e^r as in symbreak.models.kernels.head, where x is never above 0
SHIFT, PER_LN2 = np.float32(1.5 * 2**23), np.float32(1 / math.log(2))
HIGH, LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
TAYLOR = tuple(np.float32(1 / math.factorial(k)) for k in range(7, -1, -1))
# results below e^LEAST, near the least normal number, are 0; those near the largest one, up to MOST and on, infinite
LEAST, MOST = np.float32(-87.0), np.float32(88.5)


@njit(cache=True, nogil=True, fastmath={"contract"})
def gauss(factor: Array, offset: Array, normals: Array, w1: Array, b1: Array, f: Array) -> None:
    """Compute f_d(x_p) = b1_d + sum_j W1_dj exp(sum_r A_pr n_rj - offset_p) of every net.

    All are float32.

    Args:
        factor: A ``[P, r]``.
        offset: ``[P]``.
        normals: n ``[r, B N]``, neurons of a net together.
        w1: ``[B, D, N]``.
        b1: ``[B, D]``.
        f: Written, ``[B, D, P]``.
    """
    size, wide, width = w1.shape
    together = max(1, TILE // width)
    s = np.empty((len(factor), together * width), np.float32)
    for start in range(0, size, together):
        nets = min(together, size - start)
        for p in range(len(factor)):
            _neurons(factor[p], offset[p], normals, start * width, s[p, : nets * width])
        for b in range(nets):
            for d in range(wide):
                own, bias, found = w1[start + b, d], b1[start + b, d], f[start + b, d]
                for p in range(len(factor)):
                    found[p] = bias + _dot(own, s[p, b * width : (b + 1) * width])


@njit(cache=True, fastmath={"contract"})
def _neurons(row: Array, offset: Any, normals: Array, start: int, s: Array) -> None:
    for j in range(len(s)):
        s[j] = -offset
    for r in range(len(row)):
        weight, drawn = row[r], normals[r, start : start + len(s)]  # of a slice of all rows numba forgets the stride
        for j in range(len(s)):
            s[j] += weight * drawn[j]
    for j in range(len(s)):
        s[j] = _exp(s[j])


@njit(cache=True, fastmath=SUM)
def _dot(a: Array, b: Array) -> Any:
    found = np.float32(0)
    for j in range(len(a)):
        found += a[j] * b[j]
    return found


@njit(cache=True, fastmath={"contract"})
def _exp(x: Any) -> Any:
    x = MOST if x > MOST else x  # a NaN stays
    shifted = np.float32(x * PER_LN2 + SHIFT)
    n = shifted - SHIFT
    r = (x - n * HIGH) - n * LOW
    series = TAYLOR[0]
    for k in range(1, 8):
        series = series * r + TAYLOR[k]
    power = np.int32(np.int32(shifted.view(np.int32) + np.int32(127)) << np.int32(23))
    return np.float32(0) if x < LEAST else series * power.view(np.float32)

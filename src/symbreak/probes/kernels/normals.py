"""Normal numbers in single precision by Box and Muller (1958), in the place of the random bits they are made of."""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

ABOVE_ZERO = np.float32(0.5)  # stands for the one word that is 0
UNIT = np.float32(2.0**-31)
PER_WORD = np.float32(math.pi * 2.0**-31)  # radians
EIGHTH, QUARTER = np.int32(1 << 29), np.int32(30)  # of a turn: in words, and where whole ones start in a word's bits

# ln u = n ln 2 + ln(1 + f), 1 + f from sqrt(1/2) to sqrt(2), and sines and cosines up to pi/4: the polynomials of
# Moshier's Cephes (logf.c, sinf.c), good to a unit in the last place or two. ln 2 comes in two parts, n times the
# first being exact.
ROOT_HALF = np.int32(0x3F3504F3)  # the bits of sqrt(1/2)
HIGH, LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
LOGARITHM = tuple(
    np.float32(c)
    for c in (
        7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
        2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
    )
)  # fmt: skip
SINE = tuple(np.float32(c) for c in (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1))
COSINE = tuple(np.float32(c) for c in (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2))


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def box_muller(words: NDArray[np.int32]) -> None:
    """Put the bits of N(0, 1) float32 numbers in the place of random ``words`` ``[2 H]``.

    Numbers i and i + H are R cos t and R sin t: R = sqrt(-2 ln(u / 2^31)) with u the absolute value of word i,
    and t = pi / 2^31 times word i + H.
    """
    half = len(words) // 2
    first, second = words[:half], words[half:]
    for i in range(half):
        radius = np.float32(math.sqrt(np.float32(-2) * _log(max(abs(np.float32(first[i])), ABOVE_ZERO) * UNIT)))
        word = second[i]
        # word = 2^30 quarter + rest, and whole numbers of int32 wrap as angles do
        quarter = np.int32(np.int32(word + EIGHTH) >> QUARTER)
        angle = np.float32(np.int32(word - np.int32(quarter << QUARTER))) * PER_WORD
        sine, cosine = _sine(angle), _cosine(angle)
        x, y = (sine, cosine) if quarter & 1 else (cosine, sine)
        first[i] = np.float32(-radius * x if (quarter + 1) & 2 else radius * x).view(np.int32)
        second[i] = np.float32(-radius * y if quarter & 2 else radius * y).view(np.int32)


@njit(cache=True, fastmath={"contract"})
def _log(u: Any) -> Any:
    bits = np.float32(u).view(np.int32)
    exponent = np.int32(np.int32(bits - ROOT_HALF) >> np.int32(23))
    f = np.int32(bits - np.int32(exponent << np.int32(23))).view(np.float32) - np.float32(1)
    square, n, series = f * f, np.float32(exponent), LOGARITHM[0]
    for k in range(1, 9):
        series = series * f + LOGARITHM[k]
    return f + (series * f * square + n * LOW - np.float32(0.5) * square) + n * HIGH


@njit(cache=True, fastmath={"contract"})
def _sine(angle: Any) -> Any:
    square = angle * angle
    return ((SINE[0] * square + SINE[1]) * square + SINE[2]) * square * angle + angle


@njit(cache=True, fastmath={"contract"})
def _cosine(angle: Any) -> Any:
    square = angle * angle
    series = (COSINE[0] * square + COSINE[1]) * square + COSINE[2]
    return series * square * square - np.float32(0.5) * square + np.float32(1)

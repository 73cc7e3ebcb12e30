"""The last layer of every replica of an ensemble and its loss, there and back while a replica is in the cache.

All that the loop calls is in this file, as numba takes compiled code from its cache until the file of the function
itself changes. BLAS and vector mathematics libraries need larger matrices than these to pay.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload
from numpy.typing import NDArray

Array = NDArray[Any]
PER_LOG = 64  # totals of a softmax a logarithm: of each at most 60,000 classes, the product is below 1e308

# Sums may be taken in any order, so that a vector register holds partial ones; compiling fixes the order.
SUM = {"reassoc", "contract", "nsz"}

# e^x = 2^n e^r with n = round(x / ln 2) and |r| <= ln(2) / 2, where the Taylor series of e^r to degree 7 (13) has a
# remainder below a tenth of a unit in the last place. ln 2 comes in two parts, the first with so few bits that n times
# it is exact (Cody and Waite 1980; the parts are those of Moshier's Cephes, expf.c and exp.c). Adding SHIFT rounds to
# an integer and leaves it in the last bits of the sum.
SHIFT32, SHIFT64 = np.float32(1.5 * 2**23), np.float64(1.5 * 2**52)
PER_LN2_32, PER_LN2_64 = np.float32(1 / math.log(2)), np.float64(1 / math.log(2))
HIGH32, LOW32 = np.float32(0.693359375), np.float32(-2.12194440e-4)
HIGH64, LOW64 = np.float64(6.93145751953125e-1), np.float64(1.42860682030941723212e-6)
TAYLOR32 = tuple(np.float32(1 / math.factorial(k)) for k in range(7, -1, -1))
TAYLOR64 = tuple(np.float64(1 / math.factorial(k)) for k in range(13, -1, -1))
LEAST32, LEAST64 = np.float32(-87.0), np.float64(-708.0)  # below, results near the least normal number become 0


@njit(cache=True, nogil=True, fastmath={"contract"})
def head(
    h: Array,
    inner: Array,
    rectify: bool,
    weight: Array,
    bias: Array,
    labels: Array,
    entropy: bool,
    on: Any,
    off: Any,
    x: Array,
    back: Array,
    losses: Array,
    inner_slope: Array,
    slope: Array,
    bias_slope: Array,
) -> float:
    """Compute mean losses and all gradients of the last layer, and return the sum of two Euclidean norms.

    They are that of all that is written and that of ``x``. If a label is not the number of an output, nothing is
    computed and -1 returned.

    Args:
        h: Its inputs ``[R, H, B]``; with ``rectify`` what they are before ``inner`` is added and ReLU applied.
        inner: ``[R, H]``, used if ``rectify``.
        rectify: Whether the hidden layer is finished here, in the place of ``h``, and gone back through.
        weight: ``[R, C, H]``.
        bias: ``[R, C]``.
        labels: int64 ``[R or 1, B]``.
        entropy: Whether the loss is the cross-entropy of softmax, else it is the mean squared error to ``on`` at the
            label and ``off`` elsewhere.
        on: In the type of ``h``, as all that follows.
        off: See ``on``.
        x: ``[N]``; nothing but its norm is taken.
        back: ``[R, H, B]``: the losses' gradients by ``h`` as it was given are written there, or, with ``rectify``, in
            the place of ``h``.
        losses: Written, ``[R]``: means over the batch.
        inner_slope: Written if ``rectify``, ``[R, H]``: by ``inner``.
        slope: Written, ``[R, C, H]``: by ``weight``.
        bias_slope: Written, ``[R, C]``: by ``bias``.
    """
    if not _within(labels, weight.shape[1]):
        return -1.0
    size = 0.0
    outputs = np.empty((weight.shape[1], h.shape[2]), h.dtype)
    below = np.empty(h.shape[1:], h.dtype)
    for r in range(len(h)):
        if rectify:
            _rectify(h[r], inner[r])
        for c in range(len(outputs)):
            outputs[c] = bias[r, c]
        add_product(outputs, weight[r], h[r])
        own = labels[r if len(labels) > 1 else 0]
        losses[r] = _cross_entropy(outputs, own) if entropy else _squared_error(outputs, own, on, off)
        _sum_rows(outputs, bias_slope[r])
        outer(slope[r], outputs, h[r])
        below[:] = 0
        add_product(below, weight[r].T, outputs)
        if rectify:
            size += _cut(h[r], below, inner_slope[r]) + squares(inner_slope[r])
        else:
            _copy(below, back[r])
            size += squares(below.reshape(-1))
        size += losses[r] * losses[r] + squares(slope[r].reshape(-1)) + squares(bias_slope[r])
    return math.sqrt(size) + math.sqrt(squares(x))


@njit(cache=True)
def _within(labels: Array, classes: int) -> bool:
    least, largest = 0, 0
    for own in labels:
        for label in own:
            least, largest = min(least, label), max(largest, label)
    return least >= 0 and largest < classes


@njit(cache=True)
def _sum_rows(values: Array, sums: Array) -> None:
    for i in range(len(values)):
        sums[i] = total(values[i])


@njit(cache=True)
def _copy(values: Array, to: Array) -> None:
    for k in range(len(values)):  # row by row: an assignment of the whole takes four times as long
        row, copied = values[k], to[k]
        for b in range(len(row)):
            copied[b] = row[b]


@njit(cache=True)
def _rectify(z: Array, bias: Array) -> None:
    for k in range(len(z)):
        row, own, zero = z[k], bias[k], z.dtype.type(0)
        for b in range(len(row)):
            value = row[b] + own
            row[b] = zero if value <= zero else value  # a NaN stays


@njit(cache=True, fastmath=SUM)
def _cut(h: Array, delta: Array, sums: Array) -> Any:
    """Put ``delta`` ``[H, B]`` in the place of ReLU's output ``h`` where that is not 0, and return the sum of squares.

    ``sums`` ``[H]`` are written: those of what is now in the place of ``h``.
    """
    size = h.dtype.type(0)
    for k in range(len(h)):
        row, slopes, zero = h[k], delta[k], h.dtype.type(0)
        found = zero
        for b in range(len(row)):
            value = zero if row[b] <= zero else slopes[b]
            row[b] = value
            found += value
            size += value * value
        sums[k] = found
    return size


@njit(cache=True, fastmath={"contract"})
def _cross_entropy(outputs: Array, labels: Array) -> Any:
    """Return the mean cross-entropy of ``outputs`` ``[C, B]``, in whose place its gradient is written."""
    classes, samples = outputs.shape
    largest, of_label, sums = outputs[0].copy(), np.empty_like(outputs[0]), np.zeros_like(outputs[0])
    for c in range(1, classes):
        row = outputs[c]
        for b in range(samples):
            largest[b] = row[b] if row[b] > largest[b] else largest[b]
    for b in range(samples):
        of_label[b] = outputs[labels[b], b] - largest[b]
    for c in range(classes):
        row = outputs[c]
        for b in range(samples):
            row[b] = exponential(row[b] - largest[b])
            sums[b] += row[b]
    loss = (_sum_of_logs(sums) - total(of_label)) / samples
    share = outputs.dtype.type(1) / outputs.dtype.type(samples)
    sums[:] = share / sums
    for c in range(classes):
        row = outputs[c]
        for b in range(samples):
            row[b] *= sums[b]
    for b in range(samples):
        outputs[labels[b], b] -= share
    return loss


@njit(cache=True, fastmath=SUM)
def _sum_of_logs(values: Array) -> float:
    """Return the sum of the logarithms of numbers from 1 to 60,000 or NaN, in float64."""
    found = 0.0
    for start in range(0, len(values), PER_LOG):
        product = 1.0
        for b in range(start, min(start + PER_LOG, len(values))):
            product *= values[b]
        found += math.log(product)
    return found


@njit(cache=True, fastmath={"contract"})
def _squared_error(outputs: Array, labels: Array, on: Any, off: Any) -> Any:
    """Return the mean squared error of ``outputs`` ``[C, B]``, in whose place its gradient is written."""
    classes, samples = outputs.shape
    for b in range(samples):
        outputs[labels[b], b] += off - on  # then ``off`` is to be subtracted everywhere
    share = outputs.dtype.type(1) / outputs.dtype.type(classes * samples)
    loss = outputs.dtype.type(0)
    for c in range(classes):
        row = outputs[c]
        for b in range(samples):
            row[b] -= off
        loss += squares(row)
        for b in range(samples):
            row[b] *= 2 * share
    return loss * share


@njit(cache=True, fastmath=SUM)
def total(values: Array) -> Any:
    """Return the sum of a vector ``[B]``."""
    found = values.dtype.type(0)
    for b in range(len(values)):
        found += values[b]
    return found


@njit(cache=True, fastmath=SUM)
def squares(values: Array) -> Any:
    """Return the sum of the squares of a vector ``[B]``."""
    found = values.dtype.type(0)
    for b in range(len(values)):
        found += values[b] * values[b]
    return found


@njit(cache=True, fastmath={"contract"})
def add_product(out: Array, a: Array, x: Array) -> None:
    """Add ``a x`` to ``out`` ``[I, B]``, for ``a`` ``[I, J]`` and ``x`` ``[J, B]``."""
    rows, samples = out.shape
    inner = x.shape[0]
    blocked = inner - inner % 5
    for j in range(0, blocked, 5):  # five rows of x for one reading and writing of a row of out
        x0, x1, x2, x3, x4 = x[j], x[j + 1], x[j + 2], x[j + 3], x[j + 4]
        for i in range(rows):
            row, a0, a1, a2, a3, a4 = out[i], a[i, j], a[i, j + 1], a[i, j + 2], a[i, j + 3], a[i, j + 4]
            for b in range(samples):
                row[b] += a0 * x0[b] + a1 * x1[b] + a2 * x2[b] + a3 * x3[b] + a4 * x4[b]
    for j in range(blocked, inner):
        for i in range(rows):
            row, last, factor = out[i], x[j], a[i, j]
            for b in range(samples):
                row[b] += factor * last[b]


@njit(cache=True, fastmath=SUM)
def outer(out: Array, delta: Array, x: Array) -> None:
    """Set ``out`` ``[I, J]`` to ``delta x^T``, for ``delta`` ``[I, B]`` and ``x`` ``[J, B]``."""
    samples, columns = x.shape[1], x.shape[0]
    zero, blocked = out.dtype.type(0), columns - columns % 5
    for j in range(0, blocked, 5):  # five sums at once for one reading of a row of delta
        x0, x1, x2, x3, x4 = x[j], x[j + 1], x[j + 2], x[j + 3], x[j + 4]
        for i in range(len(delta)):
            row, s0, s1, s2, s3, s4 = delta[i], zero, zero, zero, zero, zero
            for b in range(samples):
                s0 += row[b] * x0[b]
                s1 += row[b] * x1[b]
                s2 += row[b] * x2[b]
                s3 += row[b] * x3[b]
                s4 += row[b] * x4[b]
            out[i, j], out[i, j + 1], out[i, j + 2], out[i, j + 3], out[i, j + 4] = s0, s1, s2, s3, s4
    for j in range(blocked, columns):
        for i in range(len(delta)):
            row, last, found = delta[i], x[j], zero
            for b in range(samples):
                found += row[b] * last[b]
            out[i, j] = found


@njit(cache=True, fastmath={"contract"})
def _exp32(x: np.float32) -> np.float32:
    shifted = np.float32(x * PER_LN2_32 + SHIFT32)
    n = shifted - SHIFT32
    r = (x - n * HIGH32) - n * LOW32
    series = TAYLOR32[0]
    for k in range(1, 8):
        series = series * r + TAYLOR32[k]
    power = np.int32(np.int32(shifted.view(np.int32) + np.int32(127)) << np.int32(23))
    return np.float32(0) if x < LEAST32 else series * power.view(np.float32)


@njit(cache=True, fastmath={"contract"})
def _exp64(x: np.float64) -> np.float64:
    shifted = np.float64(x * PER_LN2_64 + SHIFT64)
    n = shifted - SHIFT64
    r = (x - n * HIGH64) - n * LOW64
    series = TAYLOR64[0]
    for k in range(1, 14):
        series = series * r + TAYLOR64[k]
    power = np.int64((shifted.view(np.int64) + np.int64(1023)) << np.int64(52))
    return np.float64(0) if x < LEAST64 else series * power.view(np.float64)


def exponential(x: Any) -> Any:
    """Return ``e^x`` for one float32 or float64 ``x <= 0``, within one unit in the last place; for compiled code.

    NaN stays NaN. What would be about 1e-38 (1e-308 in float64) or less is 0.
    """
    raise NotImplementedError("this is what compiled code calls; elsewhere take numpy.exp")


@overload(exponential)
def _exponential(x: Any) -> Callable[[Any], Any]:
    def single(x: Any) -> Any:
        return _exp32(x)

    def double(x: Any) -> Any:
        return _exp64(x)

    return single if x == types.float32 else double

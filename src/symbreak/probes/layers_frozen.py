"""When the weights of each layer stop moving.

The relative change of a tensor over an interval is |w(t') - w(t)| / max(|w(t)|, |w(t')|). It is frozen out at the end
of the last interval in which this exceeds a tolerance, or at the first moment if it never does.
"""

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

Array = NDArray[np.float64]


def relative_changes(value: Tensor) -> Array:
    """Return the relative change of one tensor ``[T, ...]`` over each interval, ``[T - 1]``; 0 of what stays 0."""
    change = torch.stack([(b.double() - a.double()).norm() for a, b in pairwise(value)])
    norm = torch.stack([w.double().norm() for w in value])
    larger = torch.maximum(norm[:-1], norm[1:])
    return (change / torch.where(larger > 0, larger, 1)).cpu().numpy()


def freeze_out(changes: Array, times: ArrayLike, tolerance: float) -> tuple[Array, Array]:
    """Return the time at which each of ``changes`` ``[T - 1, W]`` is frozen out, and the interval in which it lies.

    It may have stopped anywhere in the last interval in which it moved; the second number, 0 for what never moved, is
    that interval's length.

    Args:
        changes: Relative changes of W tensors.
        times: Increasing, ``[T]``.
        tolerance: Of a change.
    """
    at, moves = np.asarray(times, dtype=np.float64), changes > tolerance
    last = np.where(moves.any(0), len(moves) - np.argmax(moves[::-1], axis=0), 0)
    return at[last], np.where(last > 0, at[last] - at[np.maximum(last - 1, 0)], 0.0)

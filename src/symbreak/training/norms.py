"""The size of a step's derivatives, from which it is known that the step cannot overflow."""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

TYPES = (torch.float32, torch.float64)  # of the compiled loop


def total(tensors: Sequence[Tensor], *, compiled: bool) -> float:
    """Return the sum of the tensors' Euclidean norms, in about their own precision.

    Args:
        tensors: Of any shapes.
        compiled: Whether they are on the CPU and compiled code is at hand, which has less to do for a call than torch.
    """
    if not tensors:
        return 0.0
    if compiled and all(tensor.dtype in TYPES and tensor.is_contiguous() for tensor in tensors):
        squares = _squares()
        return math.fsum(math.sqrt(squares(tensor.view(-1).numpy())) for tensor in tensors)
    norms: list[float] = torch.stack(torch._foreach_norm(list(tensors))).tolist()
    return sum(norms)


@cache
def _squares() -> Any:
    from symbreak.models.kernels.head import squares  # numba takes a second to import

    return squares

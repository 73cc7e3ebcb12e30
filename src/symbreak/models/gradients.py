"""Gradients of an ensemble's parameters, some as factors whose product is taken where it is needed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Whole:
    """A gradient as it is, ``value`` ``[R, ...]``."""

    value: Tensor

    def dense(self) -> Tensor:
        """Return the gradient."""
        return self.value

    def factors(self) -> tuple[Tensor, ...]:
        """Return tensors the product of whose Euclidean norms bounds the gradient's."""
        return (self.value,)

    def add_to(self, target: Tensor, *, keep: float, scale: float) -> None:
        """Set ``target`` to ``keep target + scale gradient``; with ``keep`` 0 the old values, even NaN, are gone."""
        if _mixed(target, self.value):
            _kernel()(_flat(target), _flat(self.value.view(torch.uint16)), np.float32(keep), np.float32(scale))
            return
        if keep == 0:
            target.copy_(self.value).mul_(scale)
            return
        if keep != 1:
            target.mul_(keep)
        target.add_(self.value, alpha=scale)


def _mixed(target: Tensor, value: Tensor) -> bool:
    """Whether bfloat16 is to be added to float32 where torch is slow at it."""
    types = (target.dtype, value.dtype) == (torch.float32, torch.bfloat16)
    return types and target.device.type == "cpu" and target.is_contiguous() and value.is_contiguous()


def _flat(value: Tensor) -> NDArray[Any]:
    return value.view(-1).numpy()


@cache
def _kernel() -> Any:
    from symbreak.models.kernels.narrow import add_bfloat16  # numba takes a second to import

    return add_bfloat16


@dataclass(frozen=True)
class Outer:
    """A weight's gradient ``sum_b delta[r, :, b] x[r, :, b]^T``.

    ``delta`` is ``[R, out, B]``, ``x`` is ``[R or 1, in, B]``.
    """

    delta: Tensor
    x: Tensor

    def dense(self) -> Tensor:
        """Return the gradient ``[R, out, in]``, in the factors' type."""
        replicas, out, _ = self.delta.shape
        if self.x.shape[0] < replicas:
            return torch.mm(self.delta.flatten(0, 1), self.x[0].t()).view(replicas, out, -1)
        return torch.bmm(self.delta, self.x.transpose(1, 2))

    def factors(self) -> tuple[Tensor, ...]:
        """Return tensors the product of whose Euclidean norms bounds that of every replica's gradient."""
        return (self.delta, self.x)

    def add_to(self, target: Tensor, *, keep: float, scale: float) -> None:
        """Set ``target`` ``[R, out, in]`` to ``keep target + scale gradient``, in one product if the types agree."""
        if target.dtype != self.delta.dtype:
            Whole(self.dense()).add_to(target, keep=keep, scale=scale)
        elif self.x.shape[0] < self.delta.shape[0]:
            target.view(-1, target.shape[2]).addmm_(self.delta.flatten(0, 1), self.x[0].t(), beta=keep, alpha=scale)
        else:
            target.baddbmm_(self.delta, self.x.transpose(1, 2), beta=keep, alpha=scale)


Gradient = Whole | Outer


class Dense(Mapping[str, Tensor]):
    """Gradients by name, each multiplied out when it is asked for, in ``dtype``."""

    def __init__(self, gradients: Mapping[str, Gradient], dtype: torch.dtype) -> None:
        self._gradients, self._dtype = gradients, dtype

    def __getitem__(self, name: str) -> Tensor:
        return self._gradients[name].dense().to(self._dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(self._gradients)

    def __len__(self) -> int:
        return len(self._gradients)

"""Gradients of an ensemble's parameters, some as factors whose product is taken where it is needed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Whole:
    """A gradient as it is, ``value`` ``[R, ...]``; ``flat`` ``[N]``, if given: the same memory, for compiled loops."""

    value: Tensor
    flat: NDArray[Any] | None = None

    def dense(self) -> Tensor:
        """Return the gradient."""
        return self.value

    def factors(self) -> tuple[Tensor, ...]:
        """Return tensors the product of whose Euclidean norms bounds the gradient's."""
        return (self.value,)

    def add_to(self, target: Tensor, *, keep: float, scale: float) -> None:
        """Set ``target`` to ``keep target + scale gradient``; with ``keep`` 0 the old values, even NaN, are gone."""
        if _mixed(target, self.value):
            bits = flat(self.value.view(torch.uint16))
            _accumulate().add_bfloat16(flat(target), bits, np.float32(keep), np.float32(scale))
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


def flat(value: Tensor) -> NDArray[Any]:
    """Return the memory of a contiguous tensor on the CPU."""
    return value.view(-1).numpy()


@cache
def _accumulate() -> Any:
    from symbreak.models.kernels import accumulate  # numba takes a second to import

    return accumulate


@dataclass(frozen=True)
class Outer:
    """A weight's gradient ``sum_b delta[r, :, b] x[r, :, b]^T``.

    ``delta`` is ``[R, out, B]``, ``x`` is ``[R or 1, in, B]``.
    """

    delta: Tensor
    x: Tensor

    def dense(self) -> Tensor:
        """Return the gradient ``[R, out, in]``, in the factors' type."""
        if self.x.shape[0] < self.delta.shape[0]:
            return self._shared().dense()
        return torch.bmm(self.delta, self.x.transpose(1, 2))

    def factors(self) -> tuple[Tensor, ...]:
        """Return tensors the product of whose Euclidean norms bounds that of every replica's gradient."""
        return (self.delta, self.x.transpose(1, 2))  # as it lies in memory

    def add_to(self, target: Tensor, *, keep: float, scale: float) -> None:
        """Set ``target`` ``[R, out, in]`` to ``keep target + scale gradient``, in one product if the types agree."""
        if target.dtype != self.delta.dtype:
            Whole(self.dense()).add_to(target, keep=keep, scale=scale)
        elif self.x.shape[0] < self.delta.shape[0]:
            self._shared().add_to(target, keep=keep, scale=scale)
        else:
            target.baddbmm_(self.delta, self.x.transpose(1, 2), beta=keep, alpha=scale)

    def _shared(self) -> "Shared":
        return Shared(self.delta.flatten(0, 1), self.x[0].t(), len(self.delta))


class Shared(NamedTuple):
    """The same of a batch that all replicas share, as the matrices that are multiplied.

    ``delta`` is ``[R * out, B]``, ``x`` is ``[B, in]``.
    """

    delta: Tensor
    x: Tensor
    replicas: int

    def dense(self) -> Tensor:
        """Return the gradient ``[R, out, in]``, in the factors' type."""
        return torch.mm(self.delta, self.x).view(self.replicas, -1, self.x.shape[1])

    def factors(self) -> tuple[Tensor, ...]:
        """Return tensors the product of whose Euclidean norms bounds that of every replica's gradient."""
        return (self.delta, self.x)

    def add_to(self, target: Tensor, *, keep: float, scale: float) -> None:
        """Set ``target`` ``[R, out, in]`` to ``keep target + scale gradient``, in one product if the types agree."""
        if target.dtype != self.delta.dtype:
            Whole(self.dense()).add_to(target, keep=keep, scale=scale)
        else:
            target.view(-1, self.x.shape[1]).addmm_(self.delta, self.x, beta=keep, alpha=scale)


Gradient = Whole | Outer | Shared


def add(
    gradients: Mapping[str, Gradient],
    targets: Mapping[str, Tensor],
    arrays: Mapping[str, NDArray[Any]],
    *,
    keep: float,
    scale: float,
) -> None:
    """Set every target to ``keep target + scale gradient``.

    Args:
        gradients: By name.
        targets: By name.
        arrays: The memory of targets, ``[N]``, by name, for gradients that have theirs at hand.
        keep: See above.
        scale: See above.
    """
    for name, target in targets.items():
        gradient = gradients[name]
        if isinstance(gradient, Whole) and gradient.flat is not None and name in arrays:
            _accumulate().add(arrays[name], gradient.flat, keep, scale)
        else:
            gradient.add_to(target, keep=keep, scale=scale)


class Derivatives(NamedTuple):
    """Losses ``[R]`` (means over the batch) and the gradient of each by every parameter.

    ``size``, if known: not less than the Euclidean norm of the losses, nor than that of any whole gradient, nor than
    the sum of those of both factors of any other.
    """

    losses: Tensor
    gradients: Mapping[str, Gradient]
    size: float | None = None


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

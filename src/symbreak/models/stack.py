"""Fully connected layers: what ``symbreak.models.backward`` can go through and back without autograd."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from symbreak.models.activations import Activation


@dataclass(frozen=True)
class Stack:
    """Layers ``layers.<l>.weight`` ``[R, out, in]`` and ``.bias`` ``[R, out]``, an activation between any two of them.

    ``shift``: what is subtracted from the first layer's output, ``[., in, B]`` -> ``[., 1, B]`` (Gauss-net's own).
    """

    depth: int
    activation: Activation
    shift: Callable[[Tensor], Tensor] | None = None

    @cached_property
    def names(self) -> tuple[tuple[str, str], ...]:
        """Names of each layer's weight and bias, from the input on."""
        return tuple((f"layers.{layer}.weight", f"layers.{layer}.bias") for layer in range(self.depth))

"""The way through a stack and back: no graph, and one matrix product a layer for the whole ensemble."""

import torch
from torch import Tensor

from symbreak.models.dense import flatten, linear
from symbreak.models.gradients import Gradient, Outer, Whole
from symbreak.models.stack import Stack

State = dict[str, Tensor]


class Pass:
    """One way through a stack and back.

    Args:
        stack: The layers.
        state: Their parameters.
        weights: The weights as they enter products: those of ``state``, or copies in bfloat16. Activations are kept in
            the state's type, in which slopes are taken of them, and enter products in the weights' type.
    """

    def __init__(self, stack: Stack, state: State, weights: State) -> None:
        self._stack, self._state, self._weights = stack, state, weights
        self._inputs: list[tuple[Tensor, Tensor]] = []  # of each layer, in the state's type and as a factor
        self._outputs: list[Tensor] = []  # of each layer that an activation follows, before it

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs ``[R, classes, B]`` for images ``[R or 1, B, C, H, W]``."""
        last = self._stack.depth - 1
        return self._finished(self.product(x, last), last)

    def product(self, x: Tensor, layer: int) -> Tensor:
        """Return ``layer``'s weights times its inputs ``[R, out, B]``, for images as above."""
        h = flatten(x)
        for below in range(layer):
            h = self.activated(self._product(h, below), below)
        return self._product(h, layer)

    def activated(self, z: Tensor, layer: int) -> Tensor:
        """Return the activations ``[R, out, B]`` of a layer whose product is ``z``, which becomes their argument."""
        self._outputs.append(self._finished(z, layer))
        return self._stack.activation.value_(z)

    def backward(self, delta: Tensor, layer: int | None = None, summed: Tensor | None = None) -> dict[str, Gradient]:
        """Return the gradient of every parameter up to a layer.

        Args:
            delta: That of the layer's outputs, ``[R, out, B]``.
            layer: Which; None is the last.
            summed: ``delta`` summed over the batch, ``[R, out]``, if that is known.
        """
        found: dict[str, Gradient] = {}
        for at in reversed(range(self._stack.depth if layer is None else layer + 1)):
            (name, bias), (h, x) = self._stack.names[at], self._inputs[at]
            weight = self._weights[name]
            factor = _as(weight, delta)
            found[name] = Outer(factor, x)
            if bias in self._state:
                found[bias] = Whole(delta.sum(2) if summed is None else summed)
            if at > 0:
                back = _as(delta, torch.bmm(weight.transpose(1, 2), factor))
                delta, summed = self._stack.activation.backward_(back, self._outputs[at - 1], h), None
        return found

    def _product(self, h: Tensor, layer: int) -> Tensor:
        weight = self._weights[self._stack.names[layer][0]]
        factor = _as(weight, h)
        self._inputs.append((h, factor))
        return _as(h, linear(weight, None, factor))

    def _finished(self, z: Tensor, layer: int) -> Tensor:
        bias = self._state.get(self._stack.names[layer][1])
        if bias is not None:
            z.add_(bias.unsqueeze(2))
        if layer == 0 and self._stack.shift is not None:
            z.sub_(self._stack.shift(self._inputs[0][0]))
        return z


def _as(like: Tensor, value: Tensor) -> Tensor:
    return value if value.dtype == like.dtype else value.to(like.dtype)  # a call of torch takes microseconds

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
        self._tape: list[tuple[Tensor, Tensor, Tensor]] = []  # a layer's input, the same as a factor, and its output

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs ``[R, classes, B]`` for images ``[R or 1, B, C, H, W]``."""
        h, last = flatten(x), self._stack.depth - 1
        for layer, (name, bias) in enumerate(self._stack.names):
            weight = self._weights[name]
            factor = h.to(weight.dtype)
            z = linear(weight, None, factor).to(h.dtype)
            if bias in self._state:
                z.add_(self._state[bias].unsqueeze(2))
            if layer == 0 and self._stack.shift is not None:
                z.sub_(self._stack.shift(h))
            self._tape.append((h, factor, z))
            h = self._stack.activation.value_(z) if layer < last else z
        return h

    def backward(self, delta: Tensor) -> dict[str, Gradient]:
        """Return every parameter's gradient for that of the outputs, ``delta`` ``[R, classes, B]``."""
        found: dict[str, Gradient] = {}
        for layer, (name, bias) in reversed(list(enumerate(self._stack.names))):
            weight, (h, x, _) = self._weights[name], self._tape[layer]
            factor = delta.to(weight.dtype)
            found[name] = Outer(factor, x)
            if bias in self._state:
                found[bias] = Whole(delta.sum(2))
            if layer > 0:
                back = torch.bmm(weight.transpose(1, 2), factor).to(delta.dtype)
                delta = self._stack.activation.backward_(back, self._tape[layer - 1][2], h)
        return found

"""The last layer of a stack, its loss and the way back in one compiled loop, where that is faster than torch.

It is for float32 and float64 on a CPU and for last layers of at most ``SMALL`` weights, for which torch spends more
time on calls and on fetching what they left behind than on computing. Importing numba takes a second; it is done when
the loop is needed for the first time.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from symbreak.errors import SymbreakError
from symbreak.models.activations import ACTIVATIONS
from symbreak.models.backward import Pass, State
from symbreak.models.gradients import Derivatives, Gradient, Shared, Whole, flat
from symbreak.models.stack import Stack

SMALL = 512  # weights of a replica's last layer
TYPES = (torch.float32, torch.float64)


class Target(NamedTuple):
    """What a loss compares outputs with: ``on`` at the label, ``off`` elsewhere; ``entropy``: by cross-entropy."""

    entropy: bool
    on: float
    off: float


TARGETS = {"cross_entropy": Target(True, 1, 0), "mse": Target(False, 1, 0), "mse_one_cold": Target(False, 0, 1)}


def applies(stack: Stack, state: State) -> bool:
    """Whether the loop is for this network, by the rule above."""
    weight = state[stack.names[-1][0]]
    fits = weight.device.type == "cpu" and weight.dtype in TYPES and all(v.is_contiguous() for v in state.values())
    return fits and stack.depth > 1 and weight.shape[1] * weight.shape[2] <= SMALL


class Fused:
    """Differentiates the losses of a network to which the loop :func:`applies`.

    All that a step shares with the next is made here, once: between two large products each call of torch has to be
    fetched into the cache again, which takes longer than what it does for a small network.

    Args:
        stack: The layers.
        state: Their parameters, which may change in place but not move.
        loss: A key of ``TARGETS``.
    """

    def __init__(self, stack: Stack, state: State, loss: str) -> None:
        self._stack, self._state = stack, state
        self._below, self._replicas = stack.depth - 2, len(state[stack.names[0][0]])
        self._last = LastLayer(stack, state, loss)
        self._first: tuple[Tensor, Tensor] | None = None  # the weights of the first layer and the same as a matrix

    def __call__(self, weights: State, x: Tensor, labels: Tensor) -> Derivatives:
        """Return mean losses ``[R]`` and every parameter's gradient, which the next call overwrites.

        Args:
            weights: The weights as they enter products; see ``Pass``.
            x: Images ``[R or 1, B, C, H, W]``.
            labels: int64 ``[R or 1, B]``.

        Raises:
            SymbreakError: If a label is not the number of an output.
        """
        name, _ = self._stack.names[0]
        if self._last.rectifies and self._below == 0 and x.shape[0] < self._replicas:
            return self._shared(weights[name], x, labels)
        way = Pass(self._stack, self._state, weights)
        z = way.product(x, self._below)
        h = z if self._last.rectifies else way.activated(z, self._below)
        head = self._last(h, labels)
        if self._last.rectifies:
            below = way.backward(head.delta, self._below, head.summed.value)
        else:
            below = way.backward(self._stack.activation.backward_(head.delta, z, h), self._below)
        return Derivatives(head.losses, head.gradients | below)

    def _shared(self, weight: Tensor, x: Tensor, labels: Tensor) -> Derivatives:
        """Differentiate a network of one hidden layer with ReLU on a batch that all replicas share."""
        (name, bias), rows = self._stack.names[0], x.reshape(x.shape[1], -1)
        if self._first is None or self._first[0] is not weight:
            self._first = weight, weight.view(-1, rows.shape[1])
        factor = rows if rows.dtype == weight.dtype else rows.to(weight.dtype)
        z = torch.mm(self._first[1], factor.t())
        z = z if rows.dtype == z.dtype else z.to(rows.dtype)
        head = self._last(z.view(self._replicas, -1, rows.shape[0]), labels, rows)
        delta = z if z.dtype == weight.dtype else z.to(weight.dtype)
        found = {name: Shared(delta, factor, self._replicas), **head.gradients}
        if bias in self._state:
            found[bias] = head.summed
        return Derivatives(head.losses, found, head.size)


class Head(NamedTuple):
    """Mean losses ``[R]``, their gradient ``[R, H, B]`` by what the loop was given, and those of the last layer.

    ``summed`` ``[R, H]`` is ``delta`` summed over the batch; it is written only if the loop rectified. ``size`` is the
    Euclidean norm of all of them together, plus that of the inputs if they were given.
    """

    losses: Tensor
    delta: Tensor
    summed: Whole
    gradients: dict[str, Gradient]
    size: float


class LastLayer:
    """Goes through the last layer and its loss, and back.

    Args:
        stack: The layers.
        state: The parameters of the last layer, and the bias of that below if the loop ``rectifies``.
        loss: A key of ``TARGETS``.

    Attributes:
        rectifies: Whether the loop adds the bias of the layer below and applies ReLU, because the stack does.
    """

    def __init__(self, stack: Stack, state: State, loss: str) -> None:
        (_, inner), (name, bias) = stack.names[-2:]
        self.rectifies = stack.activation is ACTIVATIONS["relu"] and stack.shift is None
        weight = state[name]
        replicas, self._classes, width = weight.shape
        shapes = ((replicas, width), weight.shape, weight.shape[:2])
        summed, slope, slope_of_bias = (weight.new_empty(shape) for shape in shapes)
        self._summed = Whole(summed, flat(summed))
        self._gradients: dict[str, Gradient] = {name: Whole(slope, flat(slope))}
        if bias in state:
            self._gradients[bias] = Whole(slope_of_bias, flat(slope_of_bias))
        first, last = state.get(inner), state.get(bias)
        self._first = np.zeros((replicas, width), _type(weight)) if first is None else first.numpy()
        self._weight = weight.numpy()
        self._last = np.zeros((replicas, self._classes), _type(weight)) if last is None else last.numpy()
        self._target = _target(loss, self._weight.dtype)
        self._written = [value.numpy() for value in (summed, slope, slope_of_bias)]
        self._no_inputs = np.empty(0, self._weight.dtype)

    def __call__(self, h: Tensor, labels: Tensor, inputs: Tensor | None = None) -> Head:
        """Return what :class:`Head` says; all but the losses is overwritten by the next call.

        Args:
            h: The last layer's inputs ``[R, H, B]``; if the loop ``rectifies`` the product of the layer below, which
                is overwritten by its gradient.
            labels: int64 ``[R or 1, B]``.
            inputs: Of the network, contiguous, if ``size`` is to include them.

        Raises:
            SymbreakError: If a label is not the number of an output.
        """
        given, losses = h.numpy(), np.empty(h.shape[0], self._weight.dtype)
        back = given if self.rectifies else np.empty_like(given)
        parameters = self._first, self.rectifies, self._weight, self._last
        numbers = np.ascontiguousarray(labels.numpy())
        x = self._no_inputs if inputs is None else flat(inputs)
        size = _kernel()(given, *parameters, numbers, *self._target, x, back, losses, *self._written)
        if size < 0:
            raise SymbreakError(
                f"labels go from {numbers.min()} to {numbers.max()}, but the network has {self._classes} outputs "
                "for labels from 0 on; give it an output for every label"
            )
        delta = h if self.rectifies else torch.from_numpy(back)
        return Head(torch.from_numpy(losses), delta, self._summed, self._gradients, size)


@cache
def _target(loss: str, dtype: np.dtype[Any]) -> tuple[bool, Any, Any]:
    target = TARGETS[loss]
    return target.entropy, dtype.type(target.on), dtype.type(target.off)


def _type(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


@cache
def _kernel() -> Any:
    from symbreak.models.kernels.head import head

    return head

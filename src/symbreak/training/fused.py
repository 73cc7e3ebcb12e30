"""The last layer of a stack, its loss and the way back in one compiled loop, where that is faster than torch.

It is for float32 and float64 on a CPU and for last layers of at most ``SMALL`` weights, for which torch spends more
time on calls and on fetching what they left behind than on computing. Importing numba takes a second; it is done when
the loop is needed for the first time.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from symbreak.errors import SymbreakError
from symbreak.models.activations import ACTIVATIONS
from symbreak.models.backward import Pass, State
from symbreak.models.gradients import Gradient, Whole
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
    fits = weight.device.type == "cpu" and weight.dtype in TYPES
    return fits and stack.depth > 1 and weight.shape[1] * weight.shape[2] <= SMALL


def differentiate(
    stack: Stack, state: State, weights: State, loss: str, x: Tensor, labels: Tensor
) -> tuple[Tensor, dict[str, Gradient]]:
    """Return mean losses ``[R]`` and every parameter's gradient for a network to which the loop :func:`applies`.

    Args:
        stack: The layers.
        state: Their parameters.
        weights: The weights as they enter products; see ``Pass``.
        loss: A key of ``TARGETS``.
        x: Images ``[R or 1, B, C, H, W]``.
        labels: int64 ``[R or 1, B]``.

    Raises:
        SymbreakError: If a label is not the number of an output.
    """
    way, below = Pass(stack, state, weights), stack.depth - 2
    z = way.product(x, below)
    rectify = stack.activation is ACTIVATIONS["relu"] and stack.shift is None
    h = z if rectify else way.activated(z, below)
    head = last_layer(stack, state, h, labels, loss, rectify=rectify)
    if rectify:
        return head.losses, head.gradients | way.backward(head.delta, below, head.summed)
    return head.losses, head.gradients | way.backward(stack.activation.backward_(head.delta, z, h), below)


class Head(NamedTuple):
    """Mean losses ``[R]``, their gradient ``[R, H, B]`` by what the loop was given, and those of the last layer.

    ``summed`` ``[R, H]`` is ``delta`` summed over the batch; it is written only if the loop rectified.
    """

    losses: Tensor
    delta: Tensor
    summed: Tensor
    gradients: dict[str, Gradient]


def last_layer(stack: Stack, state: State, h: Tensor, labels: Tensor, loss: str, *, rectify: bool) -> Head:
    """Go through the last layer and its loss, and back.

    Args:
        stack: The layers.
        state: The parameters of the last layer, and the bias of that below if ``rectify``.
        h: The last layer's inputs ``[R, H, B]``; if ``rectify`` the product of the layer below, to which the loop adds
            the bias and applies ReLU in its place.
        labels: int64 ``[R or 1, B]``.
        loss: A key of ``TARGETS``.
        rectify: See ``h``.

    Raises:
        SymbreakError: If a label is not the number of an output.
    """
    (_, inner), (name, bias) = stack.names[-2:]
    given, weight = _array(h), _array(state[name])
    back = given if rectify else np.empty_like(given)
    replicas, classes, width = weight.shape
    # numpy's own, as each torch function called between two large products has to be fetched into the cache again
    shapes = ((replicas,), (replicas, width), weight.shape, (replicas, classes))
    losses, summed, slope, bias_slope = written = [np.empty(shape, weight.dtype) for shape in shapes]
    first = _array(state[inner]) if inner in state else np.zeros_like(summed)
    last = _array(state[bias]) if bias in state else np.zeros_like(bias_slope)
    target = _target(loss, weight.dtype)
    if not _kernel()(given, first, rectify, weight, last, _array(labels), *target, back, *written):
        raise SymbreakError(
            f"labels go from {int(labels.min())} to {int(labels.max())}, but the network has {classes} outputs "
            "for labels from 0 on; give it an output for every label"
        )
    gradients: dict[str, Gradient] = {name: Whole(torch.from_numpy(slope))}
    if bias in state:
        gradients[bias] = Whole(torch.from_numpy(bias_slope))
    return Head(torch.from_numpy(losses), torch.from_numpy(back), torch.from_numpy(summed), gradients)


@cache
def _target(loss: str, dtype: np.dtype[Any]) -> tuple[bool, Any, Any]:
    target = TARGETS[loss]
    return target.entropy, dtype.type(target.on), dtype.type(target.off)


def _array(value: Tensor) -> NDArray[Any]:
    return value.contiguous().numpy()


@cache
def _kernel() -> Any:
    from symbreak.models.kernels.head import head

    return head

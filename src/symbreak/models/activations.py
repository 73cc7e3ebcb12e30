"""Activation functions and their derivatives, elementwise on tensors of any shape."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

aten = torch.ops.aten  # typed as Any


@dataclass(frozen=True)
class Activation:
    """An activation ``h = value(z)`` and its derivative, with which a backward pass is written out by hand.

    ``value`` leaves its argument alone (``linear`` returns the very tensor that it is given). ``value_`` gives the
    same and may overwrite ``z`` unless ``backward_`` reads it. ``backward_(dh, z, h)`` returns dL/dz for dh = dL/dh, as
    autograd would (ReLU's slope at 0 is 0), in the place of ``dh``.
    """

    value: Callable[[Tensor], Tensor]
    value_: Callable[[Tensor], Tensor]
    backward_: Callable[[Tensor, Tensor, Tensor], Tensor]


def _relu(dh: Tensor, z: Tensor, h: Tensor) -> Tensor:
    # the aten kernels make one pass where a product with the slope makes two or three
    found: Tensor = aten.threshold_backward.grad_input(dh, h, 0, grad_input=dh)
    return found


def _tanh(dh: Tensor, z: Tensor, h: Tensor) -> Tensor:
    found: Tensor = aten.tanh_backward.grad_input(dh, h, grad_input=dh)
    return found


def _sigmoid(dh: Tensor, z: Tensor, h: Tensor) -> Tensor:
    found: Tensor = aten.sigmoid_backward.grad_input(dh, h, grad_input=dh)
    return found


def _erf(dh: Tensor, z: Tensor, h: Tensor) -> Tensor:
    return dh.mul_(z.square().neg_().exp_()).mul_(2 / math.sqrt(math.pi))


def _exp(dh: Tensor, z: Tensor, h: Tensor) -> Tensor:
    return dh.mul_(h)


def _same(z: Tensor) -> Tensor:
    return z


EXPONENTIAL = Activation(torch.exp, torch.exp_, _exp)
ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation(torch.relu, torch.relu_, _relu),
    "tanh": Activation(torch.tanh, torch.tanh_, _tanh),
    "erf": Activation(torch.erf, torch.erf, _erf),
    "sigmoid": Activation(torch.sigmoid, torch.sigmoid_, _sigmoid),
    "linear": Activation(_same, _same, lambda dh, z, h: dh),
}

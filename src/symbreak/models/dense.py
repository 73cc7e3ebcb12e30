"""Fully connected layers of an ensemble, features before samples.

With ``[R, features, B]`` the samples are contiguous: biases, activations, BatchNorm and the softmax over
few classes run along them, and a batch that all replicas share is one matrix product for the whole ensemble.
"""

import math

import torch
from torch import Tensor


def flatten(x: Tensor) -> Tensor:
    """Turn images ``[R, B, C, H, W]`` into the transposed view ``[R, C*H*W, B]``."""
    return x.flatten(2).transpose(1, 2)


def linear(weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    """Apply ``W_r x + b_r``.

    Args:
        weight: ``[R, out, in]``.
        bias: ``[R, out]`` or None.
        x: ``[R, in, B]``, or ``[1, in, B]`` for a batch that all replicas share.

    Returns:
        ``[R, out, B]``, contiguous.
    """
    replicas, out, fan_in = weight.shape
    if x.shape[0] < replicas:
        z = torch.mm(weight.reshape(replicas * out, fan_in), x[0]).view(replicas, out, -1)
        return z if bias is None else z + bias.unsqueeze(2)
    return torch.bmm(weight, x) if bias is None else torch.baddbmm(bias.unsqueeze(2), weight, x)


def flat_size(in_shape: tuple[int, int, int]) -> int:
    """Return the number of inputs of a layer that sees the flattened image."""
    return math.prod(in_shape)

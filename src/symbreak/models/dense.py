"""Fully connected layers of an ensemble, features before samples.

With ``[R, features, B]`` the samples are contiguous: biases, activations, norms and the softmax over
few classes run along them, and a batch that all replicas share is one matrix product for the whole ensemble.
"""

import math

import torch
from torch import Tensor

from symbreak.errors import SymbreakError
from symbreak.models.model import NORM_MOMENTUM


def flat_size(in_shape: tuple[int, int, int]) -> int:
    """Return the number of inputs of a layer that sees the flattened image."""
    return math.prod(in_shape)


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
    replicas, out, _ = weight.shape
    if x.shape[0] < replicas:
        z = torch.mm(weight.flatten(0, 1), x[0]).view(replicas, out, -1)
        return z if bias is None else z + bias.unsqueeze(2)
    return torch.bmm(weight, x) if bias is None else torch.baddbmm(bias.unsqueeze(2), weight, x)


def batch_norm(
    z: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, *, train: bool, eps: float
) -> Tensor:
    """Normalise every unit over the batch (Ioffe and Szegedy 2015, arXiv:1502.03167, algorithm 1).

    ``torch.batch_norm`` and not ``torch.nn.functional``'s, which refuses eps 0; a unit without variance is
    then mapped to its bias.

    Args:
        z: ``[R, out, B]``; replicas and units together are the channels.
        weight: ``[R, out]``.
        bias: ``[R, out]``.
        mean: Running mean, ``[R, out]``; used if not ``train``, else updated in place.
        var: Running variance, likewise.
        train: Whether the batch's own statistics are used.
        eps: Added to the variance.

    Raises:
        SymbreakError: If a training batch has one sample, which has no variance.
    """
    if train and z.shape[2] == 1:
        raise SymbreakError("BatchNorm cannot train on a batch of one sample; choose another 'batch' or 'drop_last'")
    channels = z.reshape(1, -1, z.shape[2])
    weight, bias, mean, var = (value.view(-1) for value in (weight, bias, mean, var))
    normed = torch.batch_norm(
        channels, weight, bias, mean, var, train, NORM_MOMENTUM, eps, torch.backends.cudnn.enabled
    )
    return normed.view(z.shape)


def layer_norm(z: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Normalise every sample over the units of a layer (Ba et al. 2016, arXiv:1607.06450, eq. 3 and 4).

    With eps 0, a sample whose units are all equal is mapped to the biases, as BatchNorm does it with a unit.

    Args:
        z: ``[R, out, B]``.
        weight: ``[R, out]``.
        bias: ``[R, out]``.
        eps: Added to the variance.
    """
    replicas, out, samples = z.shape
    # BatchNorm's kernel with samples as channels: faster here than layer_norm's, whose units would have to be the last
    # axis; in the weights' precision, as bfloat16 would round the differences between units
    columns = z.to(weight.dtype).transpose(0, 1).reshape(out, replicas * samples)
    normed = torch.batch_norm(columns, None, None, None, None, True, 0.0, eps, torch.backends.cudnn.enabled)
    return torch.addcmul(bias.unsqueeze(2), normed.view(out, replicas, samples).transpose(0, 1), weight.unsqueeze(2))

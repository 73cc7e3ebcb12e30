"""Losses of single examples, and their gradients written out."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import one_hot


def cross_entropy(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return ``-log softmax(outputs)[label]`` in nats, ``[R, B]``; outputs ``[R, B, C]``, labels ``[R or 1, B]``."""
    logs = torch.log_softmax(outputs.transpose(1, 2), dim=1)  # along a last axis of ten it is many times slower
    return _of_label(logs, labels).neg()


def mse(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return the squared error to the one-hot label, averaged over the classes, ``[R, B]``; arguments as above."""
    targets = one_hot(labels, outputs.shape[2]).to(outputs.dtype)
    return (outputs - targets).square().mean(2)


def mse_one_cold(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return the squared error to 1 - one-hot (arXiv:2106.00694), averaged over the classes; see :func:`mse`."""
    return mse(1 - outputs, labels)


def cross_entropy_gradient(outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the losses and the gradient of their mean over the batch, which takes the place of the outputs.

    Args:
        outputs: ``[R, C, B]``, classes before samples; overwritten.
        labels: ``[R or 1, B]``.

    Returns:
        Losses ``[R, B]`` and gradient ``(softmax(outputs) - one_hot) / B``, ``[R, C, B]``.
    """
    shifted = outputs.sub_(outputs.amax(1, keepdim=True))  # in place: what is freshly written is still in the cache
    of_label = _of_label(shifted, labels)
    total = shifted.exp_().sum(1, keepdim=True)
    losses = total.squeeze(1).log() - of_label
    scale = 1 / outputs.shape[2]
    return losses, shifted.mul_(scale / total).sub_(_one_hot(labels, outputs, scale))


def mse_gradient(outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the losses and the gradient ``2 (outputs - one_hot) / (C B)`` of their mean; arguments as above."""
    error = outputs.sub_(_one_hot(labels, outputs, 1.0))
    return error.square().mean(1), error.mul_(2 / (outputs.shape[1] * outputs.shape[2]))


def mse_one_cold_gradient(outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the losses and the gradient of their mean; see :func:`mse_gradient`."""
    losses, delta = mse_gradient(outputs.neg_().add_(1), labels)
    return losses, delta.neg_()


def predictions(loss: str, outputs: Tensor) -> Tensor:
    """Return the class that each of ``outputs`` ``[..., classes]`` names, ``[...]``.

    The largest output's; the smallest's where training wants it smallest (``mse_one_cold``).
    """
    return outputs.argmin(-1) if loss == "mse_one_cold" else outputs.argmax(-1)


def _of_label(logs: Tensor, labels: Tensor) -> Tensor:
    """The entry of each sample's label, ``[R, B]`` of ``[R, C, B]``."""
    return logs.gather(1, labels.unsqueeze(1).expand(logs.shape[0], 1, -1)).squeeze(1)


def _one_hot(labels: Tensor, outputs: Tensor, value: float) -> Tensor:
    """``value`` at the label and zero elsewhere, ``[R or 1, C, B]`` in the type of outputs ``[R, C, B]``."""
    zeros = outputs.new_zeros(labels.shape[0], outputs.shape[1], labels.shape[1])
    return zeros.scatter_(1, labels.unsqueeze(1), value)


Loss = Callable[[Tensor, Tensor], Tensor]
LossGradient = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
LOSSES: dict[str, Loss] = {"cross_entropy": cross_entropy, "mse": mse, "mse_one_cold": mse_one_cold}
GRADIENTS: dict[str, LossGradient] = {
    "cross_entropy": cross_entropy_gradient,
    "mse": mse_gradient,
    "mse_one_cold": mse_one_cold_gradient,
}

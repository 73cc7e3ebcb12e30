"""Losses and hits of every sample, and the standard errors of their means."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from symbreak.errors import SymbreakError
from symbreak.training.losses import Loss, mse_one_cold

Array = NDArray[np.float64]
LARGEST = 1e150  # whose square is finite in float64; not a number is not below it either


def score(outputs: Tensor, labels: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
    """Return losses in the outputs' type and hits (bool), both ``[R, B]``; a hit is a label that is the
    ``argmax`` (of networks trained to make its output the smallest, ``mse_one_cold``, the ``argmin``).

    Args:
        outputs: ``[R, B, C]``.
        labels: ``[B]``.
        loss: Of single samples.

    Raises:
        SymbreakError: If a loss is not finite, or so large that its variance is not.
    """
    losses = loss(outputs, labels.unsqueeze(0))
    if not bool((losses.abs() < LARGEST).all()):
        raise SymbreakError("a loss is NaN or infinite: the network's outputs overflow; probe other weights")
    return losses, _hits(outputs.neg() if loss is mse_one_cold else outputs, labels)


def _hits(outputs: Tensor, labels: Tensor) -> Tensor:
    largest = outputs.transpose(1, 2).amax(1)
    tied = int((outputs == largest.unsqueeze(2)).count_nonzero()) > largest.numel()
    if tied:  # argmax takes the first
        return outputs.argmax(2) == labels
    places = labels.view(1, -1, 1).expand(len(outputs), -1, 1)
    return outputs.gather(2, places).squeeze(2) == largest  # argmax along few classes is slower than all the rest


def mean_error(values: ArrayLike) -> Array:
    """Return the standard error of the mean over the last axis, ``[...]`` of ``[..., N]``."""
    found = np.asarray(values, dtype=np.float64)
    return np.asarray(found.std(-1, ddof=1) / np.sqrt(found.shape[-1]))


def share_error(hits: ArrayLike, count: int) -> Array:
    """Return the binomial standard error of a share ``hits / count``.

    It is the standard deviation of the share's Jeffreys posterior, Beta(hits + 1/2, misses + 1/2): sqrt(p(1-p)/n) but
    for 1/n corrections, by which it is not 0 where every sample or none is a hit (Brown, Cai, DasGupta 2001).
    """
    p = (np.asarray(hits, dtype=np.float64) + 0.5) / (count + 1)
    return np.asarray(np.sqrt(p * (1 - p) / (count + 2)))

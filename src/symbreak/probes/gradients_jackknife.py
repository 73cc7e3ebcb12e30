"""Norms of mean and standard deviation of many gradients, and their jackknife, from two numbers a gradient."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

ROUNDING = 64.0  # epsilons of the mean squared norm below which a variance is rounding
KEYS = ("mean", "std", "snr")

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Signal:
    """Norms of one tensor's mean and standard deviation and their ratio, ``[R]``, with jackknife standard errors.

    ``values`` and ``errors`` go by ``mean``, ``std``, ``snr``. The ratio is NaN where the gradients do not differ, and
    its error where they would not without one of them.
    """

    values: dict[str, Array]
    errors: dict[str, Array]


class Jackknife:
    """Leaves each item out once, given the mean ``[R, ...]``, the sum ``lengths`` of |g_i|^2 ``[R]`` and n.

    ``epsilon`` is that of the type in which the gradients were found.
    """

    def __init__(self, mean: Tensor, lengths: Tensor, count: int, epsilon: float) -> None:
        self._n, self._lengths = count, lengths.numpy(force=True)[:, None]
        self._signal = mean.double().reshape(len(mean), -1).square().sum(1).numpy(force=True)[:, None]
        self._least = ROUNDING * epsilon * self._lengths / count
        self._values = self._statistics(self._signal, self._lengths, count)
        self._first, self._second = np.zeros((2, 3, len(mean)))

    def add(self, lengths: Array, along: Array) -> None:
        """Take in items' |g_i|^2 and m . g_i, ``[R, n]``."""
        n = self._n
        signal = np.maximum(n**2 * self._signal - 2 * n * along + lengths, 0) / (n - 1) ** 2
        moved = self._statistics(signal, self._lengths - lengths, n - 1) - self._values
        self._first += moved.sum(2)
        self._second += np.square(moved).sum(2)

    def _statistics(self, signal: Array, lengths: Array, count: int) -> Array:
        """|m|, |s| and their ratio, ``[3, R, n]``, of |m|^2 and the sum of |g_i|^2."""
        variance = np.maximum(lengths - count * signal, 0) / (count - 1)
        mean, std = np.sqrt(signal), np.sqrt(variance)
        ratio = np.divide(mean, std, out=np.full_like(mean, np.nan), where=variance > self._least)
        return np.stack([mean, std, ratio])

    def signal(self) -> Signal:
        """Return values and errors after all items."""
        n = self._n
        errors = np.sqrt((n - 1) / n * np.maximum(self._second - np.square(self._first) / n, 0))
        return Signal(dict(zip(KEYS, self._values[:, :, 0], strict=True)), dict(zip(KEYS, errors, strict=True)))


def joined(found: Sequence[Signal]) -> Signal:
    """Join the sets of several parts."""
    values, errors = (
        {key: np.concatenate([part[key] for part in parts]) for key in KEYS}
        for parts in ([one.values for one in found], [one.errors for one in found])
    )
    return Signal(values, errors)

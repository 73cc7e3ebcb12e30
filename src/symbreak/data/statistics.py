"""Mean and standard deviation of a set's pixels, exact up to one rounding."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

WHITE = 255  # the value of p/255 = 1
CHUNK = 4096  # images at a time: bounds the memory of the squares


@dataclass(frozen=True)
class Statistics:
    """Per channel, of p/255: ``mean`` and ``std`` (of the population), each ``[C]``."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def measure(images: npt.NDArray[np.uint8]) -> Statistics:
    """Return the statistics of images uint8 ``[N, C, H, W]``, from exact integer sums of p and p^2."""
    channels, count = images.shape[1], images[:, 0].size
    first = np.zeros(channels, np.int64)
    second = np.zeros(channels, np.int64)
    squares = np.arange(WHITE + 1, dtype=np.uint16) ** 2
    for start in range(0, len(images), CHUNK):
        chunk = images[start : start + CHUNK]
        first += chunk.sum(axis=(0, 2, 3), dtype=np.int64)
        second += squares[chunk].sum(axis=(0, 2, 3), dtype=np.int64)
    pairs = [(int(a), int(b)) for a, b in zip(first, second, strict=True)]
    mean = tuple(a / (count * WHITE) for a, _ in pairs)
    std = tuple((count * b - a * a) ** 0.5 / (count * WHITE) for a, b in pairs)  # Python integers: no cancellation
    return Statistics(mean, std)

"""Images and labels of an ensemble, resident in memory and cut into batches there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

RESIDENT_BYTES = 512 * 2**20  # a float copy up to this size is kept; larger sets are converted batch by batch
CHUNK = 512  # images converted or evaluated at once


@dataclass(frozen=True)
class Examples:
    """Images ``[K, N, ...]`` with labels int64 ``[L, N]``; K and L are 1 (shared) or R.

    ``convert`` makes model inputs ``[K, B, C, H, W]`` of stored images.
    """

    images: Tensor
    labels: Tensor
    convert: Callable[[Tensor], Tensor]

    @cached_property
    def _shared(self) -> bool:
        return len(self.images) == len(self.labels) == 1

    @property
    def count(self) -> int:
        """Examples a replica."""
        return self.images.shape[1]

    def of(self, seeds: Sequence[int]) -> "Examples":
        """Return the examples of some of the seeds, given by their numbers."""
        images, labels = (a if a.shape[0] == 1 else _chosen(a, seeds) for a in (self.images, self.labels))
        return replace(self, images=images, labels=labels)

    def span(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Return inputs and labels of consecutive examples."""
        return self.convert(self.images[:, start:stop]), self.labels[:, start:stop]

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return the inputs ``[., B, C, H, W]`` and labels ``[., B]`` of examples ``index``, ``[R or 1, B]``."""
        if self._shared and len(index) == 1:
            rows = index[0]
            return self.convert(self.images.index_select(1, rows)), self.labels.index_select(1, rows)
        return self.convert(_rows(self.images, index)), _rows(self.labels, index)


def _chosen(values: Tensor, seeds: Sequence[int]) -> Tensor:
    """Return ``values[seeds]``, a view where the seeds are neighbours."""
    if list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return values[seeds[0] : seeds[-1] + 1]
    return values[list(seeds)]


def _rows(values: Tensor, index: Tensor) -> Tensor:
    """Return ``values[r, index[r]]``, ``[R or 1, B, ...]``, for values ``[K, N, ...]``."""
    copies, count = values.shape[:2]
    if copies > 1:
        index = index + count * torch.arange(copies, device=index.device).unsqueeze(1)
    return values.flatten(0, 1).index_select(0, index.flatten()).view(*index.shape, *values.shape[2:])


def converted(examples: Examples) -> Examples:
    """Convert all images now if their float form fits in ``RESIDENT_BYTES``, else leave it to the batches."""
    sample = examples.convert(examples.images[:1, :1])
    copies, count = examples.images.shape[:2]
    if sample.nbytes * copies * count > RESIDENT_BYTES:
        return examples
    images = sample.new_empty(copies, count, *sample.shape[2:])
    for start in range(0, count, CHUNK):
        images[:, start : start + CHUNK] = examples.convert(examples.images[:, start : start + CHUNK])
    return replace(examples, images=images, convert=_already)


def _already(images: Tensor) -> Tensor:
    return images

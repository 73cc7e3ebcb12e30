"""Images and labels of an ensemble, resident in memory and cut into batches there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from symbreak.data.tensors import Affine
from symbreak.errors import SymbreakError

RESIDENT_BYTES = 512 * 2**20  # a float copy up to this size is kept; larger sets are converted batch by batch
CHUNK = 512  # images converted or evaluated at once


@dataclass(frozen=True)
class Examples:
    """Images ``[K, N, ...]`` with labels int64 ``[L, N]``; K and L are 1 (shared) or R.

    ``convert`` makes model inputs ``[K, B, C, H, W]`` of stored images. ``compiled``: the same map of uint8
    images ``[K, N, C, H, W]`` on the CPU, from which batches are then cut by a compiled loop; it changes no bit.
    """

    images: Tensor
    labels: Tensor
    convert: Callable[[Tensor], Tensor]
    compiled: Affine | None = None

    @property
    def count(self) -> int:
        """Examples a replica."""
        return self.images.shape[1]

    @property
    def keeps_zero(self) -> bool:
        """Whether an input is sure to be 0 where the stored number is: it is that number itself or a multiple of it."""
        return self.convert is _already or (isinstance(self.convert, Affine) and self.convert.keeps_zero)

    def of(self, seeds: Sequence[int]) -> "Examples":
        """Return the examples of some of the seeds, given by their numbers."""
        images, labels = (a if a.shape[0] == 1 else _chosen(a, seeds) for a in (self.images, self.labels))
        return replace(self, images=images, labels=labels)

    def span(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Return inputs and labels of consecutive examples."""
        return self.convert(self.images[:, start:stop]), self.labels[:, start:stop]

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return the inputs ``[., B, C, H, W]`` and labels ``[., B]`` of examples ``index``, ``[R or 1, B]``."""
        if self.compiled:
            return self._taken(index, self.compiled.constants)
        of_images, of_labels = _rows(index, *self.images.shape[:2]), _rows(index, *self.labels.shape)
        x = self.convert(self.images.flatten(0, 1).index_select(0, of_images.flatten()))
        labels = self.labels.flatten().index_select(0, of_labels.flatten())
        return x.view(*of_images.shape, *x.shape[1:]), labels.view(of_labels.shape)

    def _taken(self, index: Tensor, constants: list[NDArray[Any]]) -> tuple[Tensor, Tensor]:
        images, labels = self._arrays
        rows = np.ascontiguousarray(index.numpy())
        orders, batch = rows.shape
        copies, _, channels, pixels = images.shape
        x = np.empty((max(orders, copies), batch, channels, pixels), constants[0].dtype)
        y = np.empty((max(orders, labels.shape[0]), batch), np.int64)
        if _take()(images, labels, rows, *constants, x, y) < 0:
            raise SymbreakError(
                f"examples {rows.min()} to {rows.max()} were asked for, but there are only {self.count}, counted from "
                "0; ask for some of these"
            )
        return torch.from_numpy(x.reshape(*x.shape[:2], *self._shape)), torch.from_numpy(y)

    @cached_property
    def _shape(self) -> tuple[int, ...]:
        return tuple(self.images.shape[2:])

    @cached_property
    def _arrays(self) -> tuple[NDArray[Any], NDArray[Any]]:
        channels = len(self.compiled.constants[0]) if self.compiled else 1
        return self.images.reshape(*self.images.shape[:2], channels, -1).numpy(), self.labels.contiguous().numpy()


@cache
def _take() -> Any:
    from symbreak.data.kernels.take import take  # numba takes a second to import

    return take


def _chosen(values: Tensor, seeds: Sequence[int]) -> Tensor:
    """Return ``values[seeds]``, a view where the seeds are neighbours."""
    if list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return values[seeds[0] : seeds[-1] + 1]
    return values[list(seeds)]


def _rows(index: Tensor, copies: int, count: int) -> Tensor:
    """Return the examples ``index`` ``[R or 1, B]`` of ``copies`` sets of ``count`` as rows of all sets together."""
    if copies == 1:
        return index
    return index + count * torch.arange(copies, device=index.device).unsqueeze(1)


def converted(examples: Examples) -> Examples:
    """Convert all images now if their float form fits in ``RESIDENT_BYTES``, else leave it to the batches."""
    sample = examples.convert(examples.images[:1, :1])
    copies, count = examples.images.shape[:2]
    if sample.nbytes * copies * count > RESIDENT_BYTES:
        return examples
    images = sample.new_empty(copies, count, *sample.shape[2:])
    for start in range(0, count, CHUNK):
        images[:, start : start + CHUNK] = examples.convert(examples.images[:, start : start + CHUNK])
    return replace(examples, images=images, convert=_already, compiled=None)


def _already(images: Tensor) -> Tensor:
    return images

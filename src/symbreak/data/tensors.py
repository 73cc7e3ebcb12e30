"""From stored pixels to the numbers that a network sees."""

import math

import numpy as np
import torch
from torch import Tensor

from symbreak.config.specs import DataSpec, StandardiseSpec
from symbreak.data.expansion import expand
from symbreak.data.statistics import WHITE, Statistics


def to_input(batch: Tensor, spec: DataSpec, statistics: Statistics, dtype: torch.dtype = torch.float32) -> Tensor:
    """Standardise and expand a batch; the crop and the image variant are already in a training set's images.

    Args:
        batch: ``[..., C, H, W]``, uint8 or float in units of the pixel value (0 to 255); it is not changed.
        spec: ``standardise`` and ``expand`` are used. An ``expand.value`` filled in ``before`` standardisation is in
            units of p/255, and ``per_image`` then takes the filled pixels into its mean and deviation.
        statistics: Of the whole training set, for ``standardise: {kind: dataset}``.
        dtype: Floating dtype in which everything is computed.

    Returns:
        ``[..., C, H K, W K]`` of ``dtype``, on the batch's device.
    """
    if spec.expand is None:
        return _standardise(batch, spec.standardise, statistics, dtype)
    if spec.expand.when == "after":
        return expand(_standardise(batch, spec.standardise, statistics, dtype), spec.expand)
    value = spec.expand.value
    in_pixels = spec.expand.model_copy(update={"value": None if value is None else value * WHITE})
    return _standardise(expand(batch.to(dtype), in_pixels), spec.standardise, statistics, dtype)


class Affine:
    """A standardisation that is an affine map of each pixel, ``scale pixel + shift``, in one pass over a batch.

    Args:
        spec: Any kind but ``per_image``.
        statistics: Of the whole training set.
        shape: (C, H, W).
        dtype: Of the result.
        device: Of the batches.

    Attributes:
        constants: Scales and shifts in ``dtype``, each one number or one a channel.
    """

    def __init__(
        self,
        spec: StandardiseSpec,
        statistics: Statistics,
        shape: tuple[int, ...],
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        constants = [(0.0, 1.0)]
        if spec.mean is not None and spec.std is not None:
            constants = [(spec.mean, spec.std)]
        elif spec.kind == "dataset":
            constants = list(zip(statistics.mean, statistics.std, strict=True))
        scales, shifts = [1 / (WHITE * std) for _, std in constants], [-mean / std for mean, std in constants]
        self._dtype, self._scale = dtype, scales[0]
        self.constants = [np.array(values, str(dtype).removeprefix("torch.")) for values in (scales, shifts)]
        self._shift = torch.tensor(shifts[0], dtype=dtype, device=device)
        self._planes: list[Tensor] = []
        if len(constants) > 1:  # whole planes: along a plane of one number torch would not vectorise
            columns = (torch.tensor(values, dtype=dtype, device=device)[:, None, None] for values in (scales, shifts))
            self._planes = [column.expand(shape).contiguous() for column in columns]

    @property
    def keeps_zero(self) -> bool:
        """Whether the map is one number times each pixel."""
        scales, shifts = self.constants
        return len(scales) == 1 and bool(shifts[0] == 0)

    def __call__(self, batch: Tensor) -> Tensor:
        """Return the standardised batch ``[..., C, H, W]``; the given one is not changed."""
        pixels = batch.to(self._dtype)
        out = None if pixels is batch else pixels  # in place, where that is not the caller's
        if self._planes:
            scale, shift = self._planes
            return torch.addcmul(shift, pixels, scale, out=out)
        return torch.add(self._shift, pixels, alpha=self._scale, out=out)


def is_affine(spec: DataSpec) -> bool:
    """Whether ``to_input`` is one affine map of each pixel, and so hardly dearer than reading it."""
    return spec.expand is None and spec.standardise.kind != "per_image"


def _standardise(pixels: Tensor, spec: StandardiseSpec, statistics: Statistics, dtype: torch.dtype) -> Tensor:
    shape = tuple(pixels.shape[-3:])
    if spec.kind != "per_image":
        return Affine(spec, statistics, shape, dtype, pixels.device)(pixels)
    axes = (-3, -2, -1)
    fractions = pixels.to(dtype) / WHITE
    floor = math.prod(shape) ** -0.5  # as TensorFlow's per_image_standardization
    std = fractions.std(axes, correction=0, keepdim=True).clamp(min=floor)
    return (fractions - fractions.mean(axes, keepdim=True)) / std

"""From stored pixels to the numbers that a network sees."""

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
    pixels = batch.to(dtype) / WHITE
    if spec.expand is not None and spec.expand.when == "before":
        pixels = expand(pixels, spec.expand)
    pixels = _standardise(pixels, spec.standardise, statistics)
    if spec.expand is not None and spec.expand.when == "after":
        pixels = expand(pixels, spec.expand)
    return pixels


def _standardise(pixels: Tensor, spec: StandardiseSpec, statistics: Statistics) -> Tensor:
    if spec.kind == "unit":
        return pixels
    if spec.kind == "per_image":
        axes = (-3, -2, -1)
        floor = pixels.shape[-3:].numel() ** -0.5  # as TensorFlow's per_image_standardization
        std = pixels.std(axes, correction=0, keepdim=True).clamp(min=floor)
        return (pixels - pixels.mean(axes, keepdim=True)) / std
    if spec.mean is not None and spec.std is not None:
        return (pixels - spec.mean) / spec.std
    mean, std = (pixels.new_tensor(value)[:, None, None] for value in (statistics.mean, statistics.std))
    return (pixels - mean) / std

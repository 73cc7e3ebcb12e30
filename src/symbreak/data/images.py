"""Image variants (Zhang et al. 2017, arXiv:1611.03530, section 2) and the centre crop."""

from typing import Any

import numpy as np
import numpy.typing as npt

from symbreak.config.specs import ImageSpec
from symbreak.data.statistics import WHITE, Statistics
from symbreak.errors import SymbreakError
from symbreak.seeding import derive

Images = npt.NDArray[Any]

CHUNK = 1000  # images at a time: bounds the memory of their permutations


def crop(images: Images, side: int | None) -> Images:
    """Return a view of the centre ``side`` x ``side`` pixels of ``[..., H, W]`` (None: all of it).

    Where an odd number of rows or columns falls away, the lower and right border loses one more.

    Raises:
        SymbreakError: If the images are smaller.
    """
    if side is None:
        return images
    height, width = images.shape[-2:]
    if side > min(height, width):
        raise SymbreakError(f"'crop' is {side}, but the images have {height} x {width} pixels; crop to at most those")
    top, left = (height - side) // 2, (width - side) // 2
    return images[..., top : top + side, left : left + side]


def vary(images: Images, spec: ImageSpec, statistics: Statistics, seed: int, part: str) -> Images:
    """Return the image variant of ``images``.

    Args:
        images: uint8 ``[N, C, H, W]``, already cropped.
        spec: ``plain``; ``shuffled_pixels``: one permutation of the positions for all images, training and test, and
            all channels; ``random_pixels``: a permutation per image, the same for its channels; ``gaussian``:
            independent normal pixels with the set's mean and variance per channel, not clipped.
        statistics: Of the whole training set.
        seed: Seed of the draw.
        part: ``train`` or ``test``, whose draws of ``random_pixels`` and ``gaussian`` are independent.

    Returns:
        ``[N, C, H, W]``, uint8, or for ``gaussian`` float32 in units of the pixel value (0 to 255); ``plain`` is the
        input itself.
    """
    if spec.kind == "plain":
        return images
    if spec.kind == "shuffled_pixels":
        return _shuffled(images, _generator(seed))
    rng = _generator(derive(seed, part))
    return _random(images, rng) if spec.kind == "random_pixels" else _gaussian(images.shape, statistics, rng)


def _generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def _shuffled(images: Images, rng: np.random.Generator) -> Images:
    flat = images.reshape(*images.shape[:2], -1)
    return flat[..., rng.permutation(flat.shape[-1])].reshape(images.shape)


def _random(images: Images, rng: np.random.Generator) -> Images:
    flat = images.reshape(*images.shape[:2], -1)
    result = np.empty(flat.shape, flat.dtype)
    positions = np.tile(np.arange(flat.shape[-1]), (CHUNK, 1))
    for start in range(0, len(flat), CHUNK):
        chunk = flat[start : start + CHUNK]
        order = rng.permuted(positions[: len(chunk)], axis=1)
        result[start : start + CHUNK] = np.take_along_axis(chunk, order[:, None], axis=2)
    return result.reshape(images.shape)


def _gaussian(shape: tuple[int, ...], statistics: Statistics, rng: np.random.Generator) -> Images:
    mean, std = (np.array(value, np.float32)[:, None, None] * WHITE for value in (statistics.mean, statistics.std))
    noise = rng.standard_normal(shape, np.float32)
    noise *= std
    noise += mean
    return noise

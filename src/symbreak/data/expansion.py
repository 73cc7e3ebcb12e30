"""Input dimension expansion (Zhang et al., arXiv:2409.06402): N x N pixels become NK x NK."""

from torch import Tensor

from symbreak.config.specs import ExpandSpec


def expand(images: Tensor, spec: ExpandSpec) -> Tensor:
    """Expand images by the factor K of ``spec``.

    Args:
        images: ``[..., H, W]``, any dtype.
        spec: ``constant``: the pixels at ``[offset::K, offset::K]``, ``value`` elsewhere (in the unit of ``images``);
            ``nearest``: each pixel as a block of K x K. ``when`` is the caller's business.

    Returns:
        ``[..., H K, W K]``, same dtype and device.
    """
    factor = spec.factor
    if spec.value is None:
        return images.repeat_interleave(factor, -2).repeat_interleave(factor, -1)
    *leading, height, width = images.shape
    result = images.new_full((*leading, height * factor, width * factor), spec.value)
    result[..., spec.offset :: factor, spec.offset :: factor] = images
    return result


def contract(images: Tensor, spec: ExpandSpec) -> Tensor:
    """Undo `expand`: return a view of the original pixels ``[..., H, W]`` of ``[..., H K, W K]``."""
    return images[..., spec.offset :: spec.factor, spec.offset :: spec.factor]

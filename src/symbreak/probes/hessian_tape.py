"""What all of a Hessian's products with vectors share, for fully connected networks, and its copy in bfloat16.

Where the processor multiplies matrices in bfloat16 (Intel's AMX), products of the copy take a third of the time and are
right to about 1 in 300: enough for a search whose result exact products then check.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tape:
    """A pass over B samples; entries run from the first layer on.

    Attributes:
        x: Folded inputs ``[B, m]``.
        hidden: h_l, l >= 1, ``[R, in, B]``.
        slopes: phi'(z_l), l < last, ``[R, out, B]``; in a narrow copy, if all are 0 or 1, as masks (int16, 0 or -1).
        bends: phi''(z_l) (W_{l+1}' d_{l+1}), likewise, or None where phi'' is zero.
        deltas: d_l, ``[R, out, B]``.
        shares: softmax of the outputs, ``[R, C, B]``.
    """

    x: Tensor
    hidden: list[Tensor]
    slopes: list[Tensor]
    bends: list[Tensor | None]
    deltas: list[Tensor]
    shares: Tensor


def narrowed(tape: Tape, x: Tensor) -> Tape:
    """Return a pass over inputs ``x``, in bfloat16 but for the softmax, in which rounding would not cancel."""
    return Tape(
        x,
        [part.bfloat16() for part in tape.hidden],
        [_mask(part) for part in tape.slopes],
        [None if part is None else part.bfloat16() for part in tape.bends],
        [part.bfloat16() for part in tape.deltas],
        tape.shares,
    )


def sloped(values: Tensor, slopes: Tensor) -> Tensor:
    """Return ``values`` times a tape's slopes, in their place.

    A masked infinity becomes 0, not NaN.
    """
    if slopes.dtype != torch.int16:
        return values.mul_(slopes)
    values.view(torch.int16).bitwise_and_(slopes)  # a fifth of the time of a product in bfloat16
    return values


def _mask(slopes: Tensor) -> Tensor:
    """Return slopes in bfloat16 or, if all are 0 or 1, masks of such numbers."""
    ones = slopes == 1
    return ones.to(torch.int16).neg_() if bool((ones | (slopes == 0)).all()) else slopes.bfloat16()


def fast_bfloat16(like: Tensor) -> bool:
    """Whether matrices in bfloat16 are multiplied several times as fast as those of the type and device of ``like``."""
    return like.device.type == "cpu" and bool(torch.cpu.get_capabilities().get("amx_bf16", False))

"""The inputs of a first layer without what is the same in every sample: exact zero modes of a Hessian left out.

A column of x that is constant, value c_j, acts as the bias does: W x + b = W_live x_live + (W_dead c + b) 1. Of the
weights of the constant columns and the bias only the direction (c, 1) / s, s^2 = |c|^2 + 1, is seen by the loss, all
others are zero modes. With a column of value s in their place the map between both sets of coordinates is orthonormal,
so that eigenvalues are those of the whole network.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Folded:
    """What a first layer sees.

    Attributes:
        x: ``[N, m]``: the columns that vary and, if there is a bias or a constant that is not 0, a last one of value s.
        live: Numbers of the columns that vary.
        dead: Numbers of the others.
        constants: Their values c.
        length: s, or 0 if there is no such column.
        width: The number of columns before.
    """

    x: Tensor
    live: Tensor
    dead: Tensor
    constants: Tensor
    length: float
    width: int

    @cached_property
    def narrow(self) -> Tensor:
        """``x`` in bfloat16."""
        return self.x.bfloat16()

    def weight(self, v: Tensor) -> Tensor:
        """Return ``[..., out, m]`` as weights ``[..., out, width]``."""
        found = v.new_zeros(*v.shape[:-1], self.width)
        found[..., self.live] = v[..., : len(self.live)]
        if self.length > 0:
            found[..., self.dead] = self.bias(v).unsqueeze(-1) * self.constants
        return found

    def bias(self, v: Tensor) -> Tensor:
        """Return the part of ``[..., out, m]`` that belongs to a bias, ``[..., out]``."""
        return v[..., -1] / self.length


def fold(x: Tensor, *, bias: bool) -> Folded:
    """Fold inputs ``[N, width]``; ``bias``: whether the layer has one."""
    constant = x.amin(0) == x.amax(0)
    live, dead = (~constant).nonzero().squeeze(1), constant.nonzero().squeeze(1)
    constants = x[0, dead]
    length = float((constants.double().square().sum() + bias).sqrt())
    if length == 0:
        return Folded(x.index_select(1, live), live, dead, constants, length, x.shape[1])
    folded = x.index_select(1, torch.cat([live, live.new_zeros(1)]))  # its last column any one: joining one is a copy
    folded[:, -1] = length
    return Folded(folded, live, dead, constants, length, x.shape[1])

"""Our ResNets as chains of blocks, in eval mode; see ``symbreak.models.resnet`` for what the blocks are."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from symbreak.models import resnet
from symbreak.models.convolution import images
from symbreak.models.resnet import Resnet
from symbreak.probes.blocks_part import Step, column
from symbreak.probes.network import State


class ResnetBlock:
    """A block of a ResNet; see ``blocks_part.Block``."""

    def __init__(self, model: Resnet, state: State, block: resnet.Block) -> None:
        self._model, self._state, self._block = model, state, block
        self.name = block.name
        self.residual = model.spec.shortcut.kind != "none"

    def full(self, h: Tensor) -> Tensor:
        """Return the block's output."""
        return self._model.block(self._state, self._block, h, train=False)

    def shortcut(self, h: Tensor) -> Tensor:
        """Return the output without the branch; of a plain block h."""
        return self._model.after(self.terms(h)[0]) if self.residual else h

    def weighted(self, h: Tensor, keep: Tensor, take: Tensor) -> Tensor:
        """Return the output, of whose gradient the terms pass the shares ``keep`` and ``take`` ``[B]``."""
        s, t = self.terms(h)
        value = (s + t).detach()
        parts = column(keep, s) * (s - s.detach()) + column(take, t) * (t - t.detach())
        return self._model.after(value + parts)

    def terms(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return the shortcut's and the branch's term, the gates' and scales' factors in them.

        T is the difference of the block with and without its branch (in which every kind of shortcut is affine), so
        that it is exact up to the rounding of S + T.
        """
        start, branch = self._model.paths(self._state, self._block, h, train=False)
        s = self._joined(start, torch.zeros_like(branch))
        return s, self._joined(start, branch) - s

    def _joined(self, start: Tensor, branch: Tensor) -> Tensor:
        return self._model.join(self._state, self._block, start, branch, train=False)


class ResnetChain:
    """One set of parameters of a ResNet; see ``blocks_part.Chain``."""

    def __init__(self, model: Resnet, state: State) -> None:
        self._model, self._state = model, state
        self.blocks = [ResnetBlock(model, state, block) for block in model.blocks]

    def run(self, x: Tensor, steps: Mapping[int, Step], before: Sequence[Tensor] = ()) -> Tensor:
        """Return the outputs ``[B, C]`` with some blocks replaced and the outputs of the first ones known."""
        h = before[-1] if before else self._model.stem(self._state, images(x[None]), train=False)
        for place in range(len(before), len(self.blocks)):
            h = steps.get(place, self.blocks[place].full)(h)
        return self._model.head(self._state, h, train=False)[0]

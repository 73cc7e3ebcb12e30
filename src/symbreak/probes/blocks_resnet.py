"""Our ResNets as chains of blocks, in eval mode; see ``symbreak.models.resnet`` for what the blocks are."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from symbreak.models import resnet
from symbreak.models.convolution import convolve, images
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
        block = self._model._pre_block if self._model.pre else self._model._post_block
        return block(self._state, self._block, h, False, None)

    def shortcut(self, h: Tensor) -> Tensor:
        """Return the output without the branch; of a plain block h."""
        return self._after(self.terms(h)[0]) if self.residual else h

    def weighted(self, h: Tensor, keep: Tensor, take: Tensor) -> Tensor:
        """Return the output, of whose gradient the terms pass the shares ``keep`` and ``take`` ``[B]``."""
        s, t = self.terms(h)
        value = (s + t).detach()
        parts = column(keep, s) * (s - s.detach()) + column(take, t) * (t - t.detach())
        return self._after(value + parts)

    def terms(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return the shortcut's and the branch's term, the gates' and scales' factors in them.

        T is the difference of the block with and without its branch (in which every kind of shortcut is affine), so
        that it is exact up to the rounding of S + T.
        """
        start, branch = self._paths(h)
        s = self._joined(start, torch.zeros_like(branch))
        return s, self._joined(start, branch) - s

    def _paths(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """What the shortcut starts from, and the branch."""
        model, state, at = self._model, self._state, self._block.name
        if model.pre:
            active = model._activated(state, f"{at}.norm1", h, False)
            branch = convolve(state, f"{at}.conv1", active, self._block.stride)
            branch = convolve(state, f"{at}.conv2", model._activated(state, f"{at}.norm2", branch, False))
            return active if self._block.first or self._block.reshapes else h, branch
        branch = model._activated(state, f"{at}.norm1", convolve(state, f"{at}.conv1", h, self._block.stride), False)
        return h, model._norm(state, f"{at}.norm2", convolve(state, f"{at}.conv2", branch), False)

    def _joined(self, start: Tensor, branch: Tensor) -> Tensor:
        return self._model._join(self._state, self._block, start, branch, False, None)

    def _after(self, z: Tensor) -> Tensor:
        return z if self._model.pre else torch.relu(z)


class ResnetChain:
    """One set of parameters of a ResNet; see ``blocks_part.Chain``."""

    def __init__(self, model: Resnet, state: State) -> None:
        self._model, self._state = model, state
        self.blocks = [ResnetBlock(model, state, block) for block in model.blocks]

    def run(self, x: Tensor, steps: Mapping[int, Step], before: Sequence[Tensor] = ()) -> Tensor:
        """Return the outputs ``[B, C]`` with some blocks replaced and the outputs of the first ones known."""
        h = before[-1] if before else self._stem(x)
        for place in range(len(before), len(self.blocks)):
            h = steps.get(place, self.blocks[place].full)(h)
        if self._model.pre:
            h = self._model._activated(self._state, "head.norm", h, False)
        return self._model.classifier.forward(self._state, h.mean((2, 3)), None)[0]

    def _stem(self, x: Tensor) -> Tensor:
        model = self._model
        h = convolve(self._state, "stem.conv", images(x[None]), model.stem_stride)
        if not model.pre:
            h = model._activated(self._state, "stem.norm", h, False)
        return max_pool2d(h, 3, stride=2, padding=1) if model.spec.stem == "imagenet" else h

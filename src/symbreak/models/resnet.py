"""Residual networks (He et al. 2016, arXiv:1512.03385), pre-activation and other shortcuts (arXiv:1603.05027)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from symbreak.config.models import ResnetSpec
from symbreak.models.convolution import (
    Classifier,
    batch_norm,
    batch_norm_values,
    buffers,
    convolution_values,
    convolve,
    images,
    one_replica,
)
from symbreak.models.initial import Initial, check_names
from symbreak.models.model import Noise, State, dropped
from symbreak.models.stack import Stack


@dataclass(frozen=True)
class Block:
    """One residual block: where its parameters are, its channels and its stride, and whether it follows the stem."""

    name: str
    fan_in: int
    out: int
    stride: int
    first: bool

    @property
    def reshapes(self) -> bool:
        """Whether input and output differ in shape."""
        return self.stride != 1 or self.fan_in != self.out


class Resnet:
    """A ResNet; see ``ResnetSpec``.

    Parameters: ``stem.conv.weight``, ``stem.norm.*`` (order ``post``); in ``stages.<s>.<b>``: ``conv1.weight``,
    ``norm1.*``, ``conv2.weight``, ``norm2.*``, where shapes change ``shortcut.conv.weight`` and (``post``)
    ``shortcut.norm.*``, and with a gate ``gate.weight``, ``gate.bias``; (``pre``) ``head.norm.*``; ``head.weight``,
    ``head.bias``. Convolutions are ``[1, out, in, k, k]``; without norm each has a bias, for instance ``conv1.bias``.
    ``*.running_mean`` and ``*.running_var`` are buffers.

    The shortcut's kinds act on h as it is after its projection where shapes change; gates are computed from the same h.
    The 1x1 convolution of kind ``conv`` is that projection, in every block. With ``pre``, the first block and those
    that change shapes activate before the paths part, projections have no norm, and the stem is its convolution (and
    pooling) alone: He et al., arXiv:1603.05027, appendix, and their code (KaimingHe/resnet-1k-layers).
    """

    max_group: int | None = 1
    stack: Stack | None = None

    def __init__(self, spec: ResnetSpec, in_shape: tuple[int, int, int], classes: int, dtype: torch.dtype) -> None:
        self.spec, self.channels, self.dtype = spec, in_shape[0], dtype
        self.pre, self.normed = spec.order == "pre", spec.norm == "batch"
        self.blocks = _blocks(spec)
        self.kernel, self.stem_stride = (7, 2) if spec.stem == "imagenet" else (3, 1)
        self.classifier = Classifier(spec.widths[-1], classes)
        state = self.init(0)
        self.buffers = buffers(state)
        check_names(spec.initial, state, self.buffers)

    def init(self, seed: int) -> State:
        """Return one replica at initialisation.

        Convolutions by the scheme (default N(0, 2/(out k^2)): He et al. 2015, arXiv:1502.01852, fan-out), head
        N(0, 1/fan_in), biases 0 but for the gates', BatchNorm the identity.
        """
        draw, widths = Initial(seed, self.dtype, self.spec.initial), self.spec.widths
        state = self._convolution(draw, "stem.conv", self.channels, widths[0], self.kernel)
        if not self.pre:
            state |= self._identity(draw, "stem.norm", widths[0])
        for block in self.blocks:
            state |= self._block_values(draw, block)
        if self.pre:
            state |= self._identity(draw, "head.norm", widths[-1])
        return state | self.classifier.init(draw, self.spec.init)

    def forward(self, state: State, x: Tensor, *, train: bool, noise: Noise | None = None) -> Tensor:
        """Return outputs ``[1, B, classes]`` of the one replica in ``state``; see ``Model.forward``.

        Dropout on a shortcut takes the numbers ``<block>.shortcut`` of ``noise``, ``[1, B, C, H, W]``.
        """
        replica, masks = one_replica(state), noise if train else None
        h = self.stem(replica, images(x), train=train)
        for block in self.blocks:
            h = self.block(replica, block, h, train=train, noise=masks)
        return self.head(replica, h, train=train)

    def stem(self, replica: State, x: Tensor, *, train: bool) -> Tensor:
        """Return what enters the first block, ``[B, C, H, W]``, for ``images`` ``[B, in, H, W]``."""
        h = convolve(replica, "stem.conv", x, self.stem_stride)
        if not self.pre:
            h = self._activated(replica, "stem.norm", h, train)
        return max_pool2d(h, 3, stride=2, padding=1) if self.spec.stem == "imagenet" else h

    def block(self, replica: State, block: Block, h: Tensor, *, train: bool, noise: Noise | None = None) -> Tensor:
        """Return a block's output: its paths joined, and what is after them."""
        start, branch = self.paths(replica, block, h, train=train)
        return self.after(self.join(replica, block, start, branch, train=train, noise=noise))

    def paths(self, replica: State, block: Block, h: Tensor, *, train: bool) -> tuple[Tensor, Tensor]:
        """Return what a block's shortcut starts from, and its branch, of its input ``h``."""
        at = block.name
        if self.pre:
            active = self._activated(replica, f"{at}.norm1", h, train)
            branch = convolve(replica, f"{at}.conv1", active, block.stride)
            branch = convolve(replica, f"{at}.conv2", self._activated(replica, f"{at}.norm2", branch, train))
            return active if block.first or block.reshapes else h, branch
        branch = self._activated(replica, f"{at}.norm1", convolve(replica, f"{at}.conv1", h, block.stride), train)
        return h, self._norm(replica, f"{at}.norm2", convolve(replica, f"{at}.conv2", branch), train)

    def join(
        self, replica: State, block: Block, h: Tensor, branch: Tensor, *, train: bool, noise: Noise | None = None
    ) -> Tensor:
        """Return the sum of the shortcut that starts from ``h`` and the branch; see ``ShortcutSpec``."""
        at, shortcut = block.name, self.spec.shortcut
        if self._projects(block):
            h = convolve(replica, f"{at}.shortcut.conv", h, block.stride)
            h = h if self.pre else self._norm(replica, f"{at}.shortcut.norm", h, train)
        match shortcut.kind:
            case "none":
                return branch
            case "scaling":
                return shortcut.scale * h + shortcut.branch_scale * branch
            case "dropout":
                return branch + dropped(h.unsqueeze(0), shortcut.dropout, noise, f"{at}.shortcut").squeeze(0)
            case "exclusive_gate":
                return torch.lerp(h, branch, _gate(replica, at, h))
            case "shortcut_gate":
                return branch + (1 - _gate(replica, at, h)) * h
            case _:
                return branch + h

    def after(self, z: Tensor) -> Tensor:
        """Return a block's output of its joined paths: their ReLU, or (``pre``) themselves."""
        return z if self.pre else torch.relu(z)

    def head(self, replica: State, h: Tensor, *, train: bool) -> Tensor:
        """Return outputs ``[1, B, classes]`` for the last block's."""
        if self.pre:
            h = self._activated(replica, "head.norm", h, train)
        return self.classifier.forward(replica, h.mean((2, 3)), None)

    def _projects(self, block: Block) -> bool:
        kind = self.spec.shortcut.kind
        return kind == "conv" or (block.reshapes and kind != "none")

    def _activated(self, replica: State, at: str, z: Tensor, train: bool) -> Tensor:
        return torch.relu(self._norm(replica, at, z, train))

    def _norm(self, replica: State, at: str, z: Tensor, train: bool) -> Tensor:
        return batch_norm(replica, at, z, train=train, eps=self.spec.norm_eps) if self.normed else z

    def _block_values(self, draw: Initial, block: Block) -> State:
        at, shortcut = block.name, self.spec.shortcut
        state = self._convolution(draw, f"{at}.conv1", block.fan_in, block.out, 3)
        state |= self._identity(draw, f"{at}.norm1", block.fan_in if self.pre else block.out)
        state |= self._convolution(draw, f"{at}.conv2", block.out, block.out, 3)
        state |= self._identity(draw, f"{at}.norm2", block.out)
        if self._projects(block):
            state |= self._convolution(draw, f"{at}.shortcut.conv", block.fan_in, block.out, 1)
            if not self.pre:
                state |= self._identity(draw, f"{at}.shortcut.norm", block.out)
        if shortcut.kind in ("exclusive_gate", "shortcut_gate"):
            bias = shortcut.gate_bias
            state |= convolution_values(draw, f"{at}.gate", block.out, block.out, 1, self.spec.init, bias=bias)
        return state

    def _convolution(self, draw: Initial, name: str, fan_in: int, out: int, kernel: int) -> State:
        bias = None if self.normed else 0.0
        return convolution_values(draw, name, fan_in, out, kernel, self.spec.init, bias=bias)

    def _identity(self, draw: Initial, name: str, channels: int) -> State:
        return batch_norm_values(draw, name, channels) if self.normed else {}


def _gate(replica: State, at: str, h: Tensor) -> Tensor:
    return torch.sigmoid(convolve(replica, f"{at}.gate", h))


def _blocks(spec: ResnetSpec) -> list[Block]:
    blocks: list[Block] = []
    fan_in = spec.widths[0]
    for s, width in enumerate(spec.widths):
        for b in range(spec.blocks):
            stride = 2 if s > 0 and b == 0 else 1
            blocks.append(Block(f"stages.{s}.{b}", fan_in, width, stride, first=not blocks))
            fan_in = width
    return blocks


def build(spec: ResnetSpec, in_shape: tuple[int, int, int], classes: int, dtype: torch.dtype) -> Resnet:
    """Build the ResNet for images of ``in_shape`` (C, H, W).

    Raises:
        SymbreakError: If ``initial`` names an unknown parameter.
    """
    return Resnet(spec, in_shape, classes, dtype)

"""Residual networks with BatchNorm (He et al. 2016, arXiv:1512.03385)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d

from symbreak.config.specs import ResnetSpec
from symbreak.models.model import NORM_MOMENTUM, State, normal


@dataclass(frozen=True)
class Block:
    """One residual block: where its parameters are, its channels and its stride."""

    name: str
    fan_in: int
    out: int
    stride: int

    @property
    def projects(self) -> bool:
        """Whether the shortcut is a 1x1 convolution because shapes change."""
        return self.stride != 1 or self.fan_in != self.out


class Resnet:
    """A ResNet; see ``ResnetSpec``.

    Parameters: ``stem.conv.weight``, ``stem.norm.*``; in ``stages.<s>.<b>``: ``conv1.weight``, ``norm1.*``,
    ``conv2.weight``, ``norm2.*`` and, where shapes change, ``shortcut.conv.weight``, ``shortcut.norm.*``;
    ``head.weight``, ``head.bias``.
    Convolutions ``[R, out, in, k, k]`` have no bias. ``*.running_mean`` and ``*.running_var`` are buffers.
    """

    max_group: int | None = 1

    def __init__(self, spec: ResnetSpec, in_shape: tuple[int, int, int], classes: int, dtype: torch.dtype) -> None:
        self.spec, self.channels, self.classes, self.dtype = spec, in_shape[0], classes, dtype
        self.blocks = _blocks(spec)
        self.kernel, self.stem_stride = (7, 2) if spec.stem == "imagenet" else (3, 1)
        self.buffers = frozenset(n for n in self.init(0) if n.endswith((".running_mean", ".running_var")))

    def init(self, seed: int) -> State:
        """Return one replica at initialisation.

        Convolutions N(0, 2/(out k^2)) (He et al. 2015, arXiv:1502.01852, fan-out), head N(0, 1/fan_in) with bias 0,
        BatchNorm the identity.
        """
        state = self._convolution(seed, "stem.conv", "stem.norm", self.channels, self.spec.widths[0], self.kernel)
        for block in self.blocks:
            at = block.name
            state |= self._convolution(seed, f"{at}.conv1", f"{at}.norm1", block.fan_in, block.out, 3)
            state |= self._convolution(seed, f"{at}.conv2", f"{at}.norm2", block.out, block.out, 3)
            if block.projects:
                conv, norm = f"{at}.shortcut.conv", f"{at}.shortcut.norm"
                state |= self._convolution(seed, conv, norm, block.fan_in, block.out, 1)
        features = self.spec.widths[-1]
        state["head.weight"] = normal(seed, "head.weight", (self.classes, features), features**-0.5, self.dtype)
        state["head.bias"] = torch.zeros(self.classes, dtype=self.dtype)
        return state

    def forward(self, state: State, x: Tensor, *, train: bool) -> Tensor:
        """Return outputs ``[1, B, classes]`` of the one replica in ``state``; see ``Model.forward``."""
        replica = {name: value[0] for name, value in state.items()}
        h = x[0].contiguous(memory_format=torch.channels_last)
        h = conv2d(h, replica["stem.conv.weight"], None, self.stem_stride, self.kernel // 2)
        h = torch.relu(self._norm(replica, "stem.norm", h, train))
        if self.spec.stem == "imagenet":
            h = max_pool2d(h, 3, stride=2, padding=1)
        for block in self.blocks:
            h = self._block(replica, block, h, train)
        return torch.addmm(replica["head.bias"], h.mean((2, 3)), replica["head.weight"].t()).unsqueeze(0)

    def _block(self, replica: State, block: Block, x: Tensor, train: bool) -> Tensor:
        at = block.name
        h = conv2d(x, replica[f"{at}.conv1.weight"], None, block.stride, 1)
        h = torch.relu(self._norm(replica, f"{at}.norm1", h, train))
        h = self._norm(replica, f"{at}.norm2", conv2d(h, replica[f"{at}.conv2.weight"], None, 1, 1), train)
        if block.projects:
            x = conv2d(x, replica[f"{at}.shortcut.conv.weight"], None, block.stride)
            x = self._norm(replica, f"{at}.shortcut.norm", x, train)
        return torch.relu(h + x)

    def _convolution(self, seed: int, conv: str, norm: str, fan_in: int, out: int, kernel: int) -> State:
        name, std = f"{conv}.weight", math.sqrt(2.0 / (out * kernel**2))
        return {
            name: normal(seed, name, (out, fan_in, kernel, kernel), std, self.dtype),
            f"{norm}.weight": torch.ones(out, dtype=self.dtype),
            f"{norm}.bias": torch.zeros(out, dtype=self.dtype),
            f"{norm}.running_mean": torch.zeros(out, dtype=self.dtype),
            f"{norm}.running_var": torch.ones(out, dtype=self.dtype),
        }

    def _norm(self, replica: State, at: str, z: Tensor, train: bool) -> Tensor:
        names = ("weight", "bias", "running_mean", "running_var")
        weight, bias, mean, var = (replica[f"{at}.{name}"] for name in names)
        # torch.nn.functional.batch_norm refuses eps 0
        return torch.batch_norm(
            z, weight, bias, mean, var, train, NORM_MOMENTUM, self.spec.norm_eps, torch.backends.cudnn.enabled
        )


def _blocks(spec: ResnetSpec) -> list[Block]:
    blocks, fan_in = [], spec.widths[0]
    for s, width in enumerate(spec.widths):
        for b in range(spec.blocks):
            stride = 2 if s > 0 and b == 0 else 1
            blocks.append(Block(f"stages.{s}.{b}", fan_in, width, stride))
            fan_in = width
    return blocks


def build(spec: ResnetSpec, in_shape: tuple[int, int, int], classes: int, dtype: torch.dtype) -> Resnet:
    """Build the ResNet for images of ``in_shape`` (C, H, W)."""
    return Resnet(spec, in_shape, classes, dtype)

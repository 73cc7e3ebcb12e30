"""A CIFAR ResNet as one writes it in PyTorch, and its training; the peer of ``benchmarks.resnet``."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

COUNTER = "num_batches_tracked"  # of nn.BatchNorm2d; it counts steps and enters no number


class Block(nn.Module):
    """Two 3x3 convolutions with BatchNorm and the identity, or a 1x1 convolution where shapes change, around them."""

    def __init__(self, fan_in: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(fan_in, out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out)
        self.shortcut = _normed(fan_in, out, 1, stride) if stride != 1 or fan_in != out else nn.Sequential()

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, C, H, W]`` to ``[B, out, H/stride, W/stride]``."""
        h = torch.relu(self.norm1(self.conv1(x)))
        h = self.norm2(self.conv2(h))
        return torch.relu(h + self.shortcut(x))


class ResNet(nn.Module):
    """Stem, stages of ``blocks`` blocks and head (He et al. 2016, arXiv:1512.03385, section 4.2)."""

    def __init__(self, widths: Sequence[int], blocks: int, classes: int) -> None:
        super().__init__()
        self.stem = _normed(3, widths[0], 3, 1)
        stages, fan_in = [], widths[0]
        for number, width in enumerate(widths):
            first = Block(fan_in, width, 2 if number else 1)
            stages.append(nn.Sequential(first, *(Block(width, width, 1) for _ in range(blocks - 1))))
            fan_in = width
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(fan_in, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``[B, 3, H, W]`` to outputs ``[B, classes]``."""
        h: Tensor = self.stages(torch.relu(self.stem(x)))
        outputs: Tensor = self.head(h.mean((2, 3)))
        return outputs


def train(net: nn.Module, optimiser: torch.optim.Optimizer, batches: Iterable[Sequence[Tensor]]) -> list[float]:
    """Update the network on every batch of images and labels; return the losses before each update."""
    losses = []
    net.train()
    for x, y in batches:
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


def set_values(net: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Give the network the parameters and buffers of one of symbreak's, whose names are the same."""
    counters = {name: value for name, value in net.state_dict().items() if name.endswith(COUNTER)}
    net.load_state_dict(counters | dict(values))


def values(net: nn.Module) -> dict[str, Tensor]:
    """Return the network's parameters and buffers."""
    return {name: value.detach() for name, value in net.state_dict().items() if not name.endswith(COUNTER)}


def _normed(fan_in: int, out: int, kernel: int, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(fan_in, out, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm2d(out)))

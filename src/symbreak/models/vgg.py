"""VGG-style networks (Simonyan and Zisserman 2015, arXiv:1409.1556), with or without BatchNorm."""

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from symbreak.config.models import VggSpec
from symbreak.models.convolution import (
    Classifier,
    batch_norm,
    batch_norm_values,
    buffers,
    convolution_values,
    convolve,
    images,
    one_replica,
    pooled,
)
from symbreak.models.initial import Initial, check_names
from symbreak.models.model import Noise, State
from symbreak.models.stack import Stack


class Vgg:
    """A VGG; see ``VggSpec``.

    Parameters, in ``stages.<s>.<c>`` (stage, convolution): ``conv.weight`` ``[1, out, in, 3, 3]`` and ``norm.*``, or
    ``conv.bias`` without norm; then those of ``Classifier``, whose features are channels, rows and columns of the last
    pooling, in this order. ``*.running_mean`` and ``*.running_var`` are buffers.
    """

    max_group: int | None = 1
    stack: Stack | None = None

    def __init__(self, spec: VggSpec, in_shape: tuple[int, int, int], classes: int, dtype: torch.dtype) -> None:
        self.spec, self.dtype = spec, dtype
        height, width = pooled(in_shape, len(spec.stages), 2, "stages")[-1]
        channels = [in_shape[0], *(out for stage in spec.stages for out in stage)]
        self.convolutions = dict(zip(_names(spec), pairwise(channels), strict=True))
        self.classifier = Classifier(channels[-1] * height * width, classes, spec.hidden, dropout=spec.dropout)
        state = self.init(0)
        self.buffers = buffers(state)
        check_names(spec.initial, state, self.buffers)

    def init(self, seed: int) -> State:
        """Return one replica at initialisation: the scheme's weights, but for the head (``Classifier.init``)."""
        draw, normed = Initial(seed, self.dtype, self.spec.initial), self.spec.norm == "batch"
        state, bias = State(), None if normed else 0.0
        for at, (fan_in, out) in self.convolutions.items():
            state |= convolution_values(draw, f"{at}.conv", fan_in, out, 3, self.spec.init, bias=bias)
            if normed:
                state |= batch_norm_values(draw, f"{at}.norm", out)
        return state | self.classifier.init(draw, self.spec.init)

    def forward(self, state: State, x: Tensor, *, train: bool, noise: Noise | None = None) -> Tensor:
        """Return outputs ``[1, B, classes]`` of the one replica in ``state``; see ``Model.forward``."""
        replica, h = one_replica(state), images(x)
        for s, stage in enumerate(self.spec.stages):
            for c in range(len(stage)):
                h = self._layer(replica, f"stages.{s}.{c}", h, train)
            h = max_pool2d(h, 2)
        return self.classifier.forward(replica, h.flatten(1), noise if train else None)

    def _layer(self, replica: State, at: str, h: Tensor, train: bool) -> Tensor:
        z = convolve(replica, f"{at}.conv", h)
        if self.spec.norm == "batch":
            z = batch_norm(replica, f"{at}.norm", z, train=train, eps=self.spec.norm_eps)
        return torch.relu(z)


def _names(spec: VggSpec) -> list[str]:
    return [f"stages.{s}.{c}" for s, stage in enumerate(spec.stages) for c in range(len(stage))]


def build(spec: VggSpec, in_shape: tuple[int, int, int], classes: int, dtype: torch.dtype) -> Vgg:
    """Build the VGG for images of ``in_shape`` (C, H, W).

    Raises:
        SymbreakError: If the image is too small for the poolings, or ``initial`` names an unknown parameter.
    """
    return Vgg(spec, in_shape, classes, dtype)

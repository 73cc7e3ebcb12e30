"""Small convolutional networks, with or without normalisation and dropout."""

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, max_pool2d

from symbreak.config.models import CnnSpec
from symbreak.models.activations import ACTIVATIONS
from symbreak.models.convolution import (
    Classifier,
    batch_norm,
    batch_norm_values,
    buffers,
    convolution_values,
    convolve,
    images,
    norm_values,
    one_replica,
    pooled,
)
from symbreak.models.initial import Initial, check_names
from symbreak.models.model import Noise, State
from symbreak.models.stack import Stack


class Cnn:
    """A small CNN; see ``CnnSpec``.

    Parameters: ``convs.<l>.weight`` ``[1, out, in, k, k]`` and, except with BatchNorm, which would subtract it again,
    ``convs.<l>.bias``; with a norm ``norms.<l>.weight`` and ``norms.<l>.bias``, ``[1, out]`` for BatchNorm, whose
    ``norms.<l>.running_mean`` and ``norms.<l>.running_var`` are buffers, or ``[1, out, H, W]`` for LayerNorm (Ba et al.
    2016, arXiv:1607.06450: a gain and a bias a neuron); then those of ``Classifier``, whose features are channels,
    rows and columns after the last pooling, in this order.
    """

    max_group: int | None = 1
    stack: Stack | None = None

    def __init__(self, spec: CnnSpec, in_shape: tuple[int, int, int], classes: int, dtype: torch.dtype) -> None:
        self.spec, self.dtype = spec, dtype
        self.activation = ACTIVATIONS[spec.activation].value
        self.sizes = pooled(in_shape, len(spec.channels), spec.pool, "channels")
        self.channels = list(pairwise([in_shape[0], *spec.channels]))
        height, width = self.sizes[-1]
        features = [in_shape[0], *spec.channels][-1] * height * width
        self.classifier = Classifier(features, classes, spec.hidden, self.activation, spec.dropout)
        state = self.init(0)
        self.buffers = buffers(state)
        check_names(spec.initial, state, self.buffers)

    def init(self, seed: int) -> State:
        """Return one replica at initialisation: the scheme's weights, but for the head (``Classifier.init``)."""
        draw, spec, state = Initial(seed, self.dtype, self.spec.initial), self.spec, State()
        bias = None if spec.norm == "batch" else 0.0
        for layer, (fan_in, out) in enumerate(self.channels):
            state |= convolution_values(draw, f"convs.{layer}", fan_in, out, spec.kernel, spec.init, bias=bias)
            if spec.norm == "batch":
                state |= batch_norm_values(draw, f"norms.{layer}", out)
            if spec.norm == "layer":
                state |= norm_values(draw, f"norms.{layer}", (out, *self.sizes[layer]))
        return state | self.classifier.init(draw, spec.init)

    def forward(self, state: State, x: Tensor, *, train: bool, noise: Noise | None = None) -> Tensor:
        """Return outputs ``[1, B, classes]`` of the one replica in ``state``; see ``Model.forward``."""
        replica, h = one_replica(state), images(x)
        for layer in range(len(self.channels)):
            h = self._norm(replica, f"norms.{layer}", convolve(replica, f"convs.{layer}", h), train)
            h = self.activation(h)
            if self.spec.pool > 1:
                h = max_pool2d(h, self.spec.pool)
        return self.classifier.forward(replica, h.flatten(1), noise if train else None)

    def _norm(self, replica: State, at: str, z: Tensor, train: bool) -> Tensor:
        match self.spec.norm:
            case "batch":
                return batch_norm(replica, at, z, train=train, eps=self.spec.norm_eps)
            case "layer":
                return _layer_norm(z, replica[f"{at}.weight"], replica[f"{at}.bias"], self.spec.norm_eps)
            case _:
                return z


def _layer_norm(z: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Normalise every image over channels and positions (Ba et al. 2016, eq. 3), without leaving channels-last memory.

    Args:
        z: ``[B, C, H, W]``.
        weight: ``[C, H, W]``.
        bias: ``[C, H, W]``.
        eps: Added to the variance; 0 makes an image whose numbers are all equal NaN, as it does in torch.
    """
    rows, gain, shift = z.permute(0, 2, 3, 1), weight.permute(1, 2, 0), bias.permute(1, 2, 0)
    return layer_norm(rows, gain.shape, gain, shift, eps).permute(0, 3, 1, 2)


def build(spec: CnnSpec, in_shape: tuple[int, int, int], classes: int, dtype: torch.dtype) -> Cnn:
    """Build the CNN for images of ``in_shape`` (C, H, W).

    Raises:
        SymbreakError: If the image is too small for the poolings, or ``initial`` names an unknown parameter.
    """
    return Cnn(spec, in_shape, classes, dtype)

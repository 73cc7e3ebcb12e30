"""Fully connected networks, with or without normalisation and dropout."""

from itertools import pairwise

import torch
from torch import Tensor

from symbreak.config.models import MlpSpec
from symbreak.models.activations import ACTIVATIONS
from symbreak.models.dense import batch_norm, flat_size, flatten, layer_norm, linear
from symbreak.models.initial import Initial, check_names, deviation
from symbreak.models.model import Noise, State, dropped
from symbreak.models.stack import Stack


class Mlp:
    """An MLP; see ``MlpSpec``.

    Parameters: ``layers.<l>.weight`` ``[R, out, in]`` and ``layers.<l>.bias`` ``[R, out]``; with a norm, for each
    hidden layer, ``norms.<l>.weight`` and ``norms.<l>.bias``, and with BatchNorm the buffers ``norms.<l>.running_mean``
    and ``norms.<l>.running_var``, all ``[R, out]``. The normalised quantity is ``layers.<l>``'s output; dropout takes
    the numbers ``layers.<l>`` of its noise, ``[R, out, B]``.
    """

    max_group: int | None = None

    def __init__(self, spec: MlpSpec, in_shape: tuple[int, int, int], classes: int, dtype: torch.dtype) -> None:
        self.spec = spec
        self.dtype = dtype
        self.activation = ACTIVATIONS[spec.activation]
        plain = spec.norm == "none" and spec.dropout == 0
        self.stack = Stack(len(spec.hidden) + 1, self.activation) if plain else None
        self.shapes = [(out, fan_in) for fan_in, out in pairwise([flat_size(in_shape), *spec.hidden, classes])]
        normed = range(len(spec.hidden)) if spec.norm == "batch" else range(0)
        self.buffers = frozenset(
            f"norms.{layer}.{name}" for layer in normed for name in ("running_mean", "running_var")
        )

    def init(self, seed: int) -> State:
        """Return one replica at initialisation; see ``ModelBase``."""
        draw, state = Initial(seed, self.dtype, self.spec.initial), State()
        for layer, (out, fan_in) in enumerate(self.shapes):
            at, std = f"layers.{layer}", deviation(self.spec.init, fan_in, out)
            state[f"{at}.weight"] = draw.normal(f"{at}.weight", (out, fan_in), std)
            if self.spec.bias:
                state[f"{at}.bias"] = draw.constant(f"{at}.bias", (out,), 0.0)
            if self._normed(layer):
                state |= self._identity(f"norms.{layer}", out, draw)
        return state

    def forward(self, state: State, x: Tensor, *, train: bool, noise: Noise | None = None) -> Tensor:
        """Return outputs ``[R, B, classes]``; see ``Model.forward``."""
        h = flatten(x)
        for layer in range(len(self.shapes)):
            h = linear(state[f"layers.{layer}.weight"], state.get(f"layers.{layer}.bias"), h)
            if self._normed(layer):
                h = self._norm(state, f"norms.{layer}", h, train)
            if self._hidden(layer):
                h = self.activation.value(h)
                h = dropped(h, self.spec.dropout, noise if train else None, f"layers.{layer}")
        return h.transpose(1, 2)

    def _hidden(self, layer: int) -> bool:
        return layer + 1 < len(self.shapes)

    def _normed(self, layer: int) -> bool:
        return self.spec.norm != "none" and self._hidden(layer)

    def _identity(self, at: str, out: int, draw: Initial) -> State:
        state = {
            f"{at}.weight": draw.constant(f"{at}.weight", (out,), 1.0),
            f"{at}.bias": draw.constant(f"{at}.bias", (out,), 0.0),
        }
        if self.spec.norm == "batch":
            state[f"{at}.running_mean"] = torch.zeros(out, dtype=self.dtype)
            state[f"{at}.running_var"] = torch.ones(out, dtype=self.dtype)
        return state

    def _norm(self, state: State, at: str, z: Tensor, train: bool) -> Tensor:
        weight, bias = state[f"{at}.weight"], state[f"{at}.bias"]
        if self.spec.norm == "layer":
            return layer_norm(z, weight, bias, self.spec.norm_eps)
        mean, var = state[f"{at}.running_mean"], state[f"{at}.running_var"]
        return batch_norm(z, weight, bias, mean, var, train=train, eps=self.spec.norm_eps)


def build(spec: MlpSpec, in_shape: tuple[int, int, int], classes: int, dtype: torch.dtype) -> Mlp:
    """Build the MLP for images of ``in_shape`` (C, H, W).

    Raises:
        SymbreakError: If ``initial`` names a parameter that the MLP does not have.
    """
    model = Mlp(spec, in_shape, classes, dtype)
    check_names(spec.initial, model.init(0), model.buffers)
    return model

"""Fully connected networks, with or without BatchNorm."""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from symbreak.config.specs import MlpSpec
from symbreak.errors import SymbreakError
from symbreak.models.dense import flat_size, flatten, linear
from symbreak.models.model import NORM_MOMENTUM, State, normal

GAIN = {"he": math.sqrt(2.0), "lecun": 1.0}
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "erf": torch.erf,
    "sigmoid": torch.sigmoid,
    "linear": lambda z: z,
}


class Mlp:
    """An MLP; see ``MlpSpec``.

    Parameters: ``layers.<l>.weight`` ``[R, out, in]`` and ``layers.<l>.bias`` ``[R, out]``; with BatchNorm, for each
    hidden layer, ``norms.<l>.weight``, ``norms.<l>.bias`` and the buffers ``norms.<l>.running_mean`` and
    ``norms.<l>.running_var``, all ``[R, out]``. The normalised quantity is ``layers.<l>``'s output.
    """

    max_group: int | None = None

    def __init__(self, spec: MlpSpec, in_shape: tuple[int, int, int], classes: int, dtype: torch.dtype) -> None:
        self.spec = spec
        self.dtype = dtype
        self.shapes = [(out, fan_in) for fan_in, out in pairwise([flat_size(in_shape), *spec.hidden, classes])]
        normed = range(len(spec.hidden)) if spec.norm == "batch" else range(0)
        self.buffers = frozenset(
            f"norms.{layer}.{name}" for layer in normed for name in ("running_mean", "running_var")
        )

    def init(self, seed: int) -> State:
        """Return one replica at initialisation: weights N(0, gain^2/fan_in), biases 0, BatchNorm the identity."""
        state: State = {}
        for layer, (out, fan_in) in enumerate(self.shapes):
            name, std = f"layers.{layer}.weight", GAIN[self.spec.init] / math.sqrt(fan_in)
            state[name] = normal(seed, name, (out, fan_in), std, self.dtype)
            if self.spec.bias:
                state[f"layers.{layer}.bias"] = torch.zeros(out, dtype=self.dtype)
            if self._normed(layer):
                state |= {f"norms.{layer}.{k}": torch.ones(out, dtype=self.dtype) for k in ("weight", "running_var")}
                state |= {f"norms.{layer}.{k}": torch.zeros(out, dtype=self.dtype) for k in ("bias", "running_mean")}
        return state

    def forward(self, state: State, x: Tensor, *, train: bool) -> Tensor:
        """Return outputs ``[R, B, classes]``; see ``Model.forward``."""
        h = flatten(x)
        for layer in range(len(self.shapes)):
            h = linear(state[f"layers.{layer}.weight"], state.get(f"layers.{layer}.bias"), h)
            if self._normed(layer):
                h = self._norm(state, layer, h, train)
            if layer + 1 < len(self.shapes):
                h = ACTIVATIONS[self.spec.activation](h)
        return h.transpose(1, 2)

    def _normed(self, layer: int) -> bool:
        return self.spec.norm == "batch" and layer + 1 < len(self.shapes)

    def _norm(self, state: State, layer: int, z: Tensor, train: bool) -> Tensor:
        """Normalise ``[R, out, B]`` over the batch, replicas and units together as channels.

        ``torch.batch_norm`` and not ``torch.nn.functional``'s, which refuses eps 0; a unit without variance is
        then mapped to its bias.

        Raises:
            SymbreakError: If a training batch has one sample, which has no variance.
        """
        if train and z.shape[2] == 1:
            raise SymbreakError(
                "BatchNorm cannot train on a batch of one sample; choose another 'batch' or 'drop_last'"
            )
        weight, bias, mean, var = (
            state[f"norms.{layer}.{name}"].view(-1) for name in ("weight", "bias", "running_mean", "running_var")
        )
        channels = z.reshape(1, -1, z.shape[2])
        normed = torch.batch_norm(
            channels, weight, bias, mean, var, train, NORM_MOMENTUM, self.spec.norm_eps, torch.backends.cudnn.enabled
        )
        return normed.view(z.shape)


def build(spec: MlpSpec, in_shape: tuple[int, int, int], classes: int, dtype: torch.dtype) -> Mlp:
    """Build the MLP for images of ``in_shape`` (C, H, W)."""
    return Mlp(spec, in_shape, classes, dtype)

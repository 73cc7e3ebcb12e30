"""Gauss-net, whose kernel is a Gaussian at every width (arXiv:2008.08601), and its kin Erf-net and ReLU-net."""

import math

import numpy as np
import torch
from torch import Tensor

from symbreak.config.models import GaussnetSpec
from symbreak.errors import SymbreakError
from symbreak.models.activations import ACTIVATIONS, EXPONENTIAL
from symbreak.models.dense import flat_size, flatten, linear
from symbreak.models.initial import Initial, check_names
from symbreak.models.model import Noise, State
from symbreak.models.stack import Stack
from symbreak.seeding import derive

NEURONS = {
    "gauss": EXPONENTIAL,
    "erf": ACTIVATIONS["erf"],
    "relu": ACTIVATIONS["relu"],
}


class Gaussnet:
    """A Gauss-net, Erf-net or ReLU-net; see ``GaussnetSpec``.

    Parameters: ``layers.0.weight`` ``[R, N, d]``, ``layers.0.bias`` ``[R, N]``, ``layers.1.weight`` ``[R, D, N]``,
    ``layers.1.bias`` ``[R, D]`` (if the spec has biases). Variances: sigma_w^2/d, sigma_b^2, sigma_w^2/N, sigma_b^2.
    """

    buffers: frozenset[str] = frozenset()
    max_group: int | None = None

    def __init__(self, spec: GaussnetSpec, in_shape: tuple[int, int, int], classes: int, dtype: torch.dtype) -> None:
        self.spec = spec
        self.neuron = NEURONS[spec.neuron]
        self.stack = Stack(2, self.neuron, self._normaliser if spec.neuron == "gauss" else None)
        self.inputs, self.classes, self.dtype = flat_size(in_shape), classes, dtype
        self.shifted = classes if spec.shifted is None else spec.shifted
        if self.shifted > classes:
            raise SymbreakError(
                f"'shifted' is {self.shifted}, but there are only {classes} outputs; make it at most that"
            )
        if spec.mean_w1 != 0 and "layers.1.weight" in spec.initial:
            raise SymbreakError(
                f"'mean_w1' is {spec.mean_w1}, but 'initial' gives 'layers.1.weight' a mean too; remove one of them"
            )

    def init(self, seed: int) -> State:
        """Return one replica at initialisation; the last layer's mean is added to its weights."""
        width, w, b = self.spec.width, self.spec.sigma_w, self.spec.sigma_b
        shapes = {
            "layers.0.weight": ((width, self.inputs), w / math.sqrt(self.inputs)),
            "layers.0.bias": ((width,), b),
            "layers.1.weight": ((self.classes, width), w / math.sqrt(width)),
            "layers.1.bias": ((self.classes,), b),
        }
        draw = Initial(seed, self.dtype, self.spec.initial)
        wanted = {name: value for name, value in shapes.items() if self.spec.bias or not name.endswith("bias")}
        state = {name: draw.normal(name, shape, std) for name, (shape, std) in wanted.items()}
        state["layers.1.weight"] += self._mean(seed).unsqueeze(1)
        return state

    def _mean(self, seed: int) -> Tensor:
        """Return the mean of each output's weights, v ``[D]``."""
        axes = torch.zeros(self.classes, dtype=self.dtype)
        axes[: self.shifted] = self.spec.mean_w1
        if self.spec.direction == "axes":
            return axes
        drawn = torch.from_numpy(np.random.default_rng(derive(seed, "init", "direction")).standard_normal(self.classes))
        mean: Tensor = (drawn / drawn.norm()).to(self.dtype) * axes.norm()
        return mean

    def forward(self, state: State, x: Tensor, *, train: bool, noise: Noise | None = None) -> Tensor:
        """Return outputs ``[R, B, classes]``; see ``Model.forward``."""
        s = self.neuron.value(self.exponent(state, x))
        return linear(state["layers.1.weight"], state.get("layers.1.bias"), s).transpose(1, 2)

    def exponent(self, state: State, x: Tensor) -> Tensor:
        """Return what the neurons are applied to, ``[R, N, B]``: z = W0 x + b0, for Gauss-net less its normaliser.

        Its neuron, ``exp(z) / sqrt(exp(2 (sigma_b^2 + sigma_w^2 |x|^2 / d)))``, is then one exponential; the
        normaliser has no parameters, so that derivatives by them are those of z.
        """
        inputs = flatten(x)
        z = linear(state["layers.0.weight"], state.get("layers.0.bias"), inputs)
        return z if self.stack.shift is None else z - self.stack.shift(inputs)

    def _normaliser(self, inputs: Tensor) -> Tensor:
        length: Tensor = torch.linalg.vector_norm(inputs, dim=1, keepdim=True)
        return self.spec.sigma_b**2 + self.spec.sigma_w**2 / self.inputs * length.square()


def build(spec: GaussnetSpec, in_shape: tuple[int, int, int], classes: int, dtype: torch.dtype) -> Gaussnet:
    """Build the network for images of ``in_shape`` (C, H, W); d is the number of their pixels and channels.

    Raises:
        SymbreakError: If ``shifted`` exceeds the outputs, ``initial`` names an unknown parameter, or ``mean_w1`` and
            ``initial`` both give the last layer's mean.
    """
    model = Gaussnet(spec, in_shape, classes, dtype)
    check_names(spec.initial, model.init(0), model.buffers)
    return model

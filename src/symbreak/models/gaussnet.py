"""Gauss-net: the one-hidden-layer network whose kernel is a Gaussian at every width (arXiv:2008.08601)."""

import math

import torch
from torch import Tensor

from symbreak.config.specs import GaussnetSpec
from symbreak.errors import SymbreakError
from symbreak.models.dense import flat_size, flatten, linear
from symbreak.models.model import State, normal


class Gaussnet:
    """A Gauss-net; see ``GaussnetSpec``.

    Parameters: ``layers.0.weight`` ``[R, N, d]``, ``layers.0.bias`` ``[R, N]``, ``layers.1.weight`` ``[R, D, N]``,
    ``layers.1.bias`` ``[R, D]``. Variances: sigma_w^2/d, sigma_b^2, sigma_w^2/N, sigma_b^2.
    """

    buffers: frozenset[str] = frozenset()
    max_group: int | None = None

    def __init__(self, spec: GaussnetSpec, in_shape: tuple[int, int, int], classes: int, dtype: torch.dtype) -> None:
        self.spec = spec
        self.inputs, self.classes, self.dtype = flat_size(in_shape), classes, dtype
        self.shifted = classes if spec.shifted is None else spec.shifted
        if self.shifted > classes:
            raise SymbreakError(
                f"'shifted' is {self.shifted}, but there are only {classes} outputs; make it at most that"
            )

    def init(self, seed: int) -> State:
        """Return one replica at initialisation; ``mean_w1`` is added to the first ``shifted`` outputs' weights."""
        width, w, b = self.spec.width, self.spec.sigma_w, self.spec.sigma_b
        shapes = {
            "layers.0.weight": ((width, self.inputs), w / math.sqrt(self.inputs)),
            "layers.0.bias": ((width,), b),
            "layers.1.weight": ((self.classes, width), w / math.sqrt(width)),
            "layers.1.bias": ((self.classes,), b),
        }
        state = {name: normal(seed, name, shape, std, self.dtype) for name, (shape, std) in shapes.items()}
        state["layers.1.weight"][: self.shifted] += self.spec.mean_w1
        return state

    def forward(self, state: State, x: Tensor, *, train: bool) -> Tensor:
        """Return outputs ``[R, B, classes]``; see ``Model.forward``.

        The neuron is ``exp(z) / sqrt(exp(2 (sigma_b^2 + sigma_w^2 |x|^2 / d)))``, computed as one exponential.
        """
        z = linear(state["layers.0.weight"], state["layers.0.bias"], flatten(x))
        length = torch.linalg.vector_norm(x.flatten(2), dim=2).unsqueeze(1)
        s = torch.exp(z - (self.spec.sigma_b**2 + self.spec.sigma_w**2 / self.inputs * length.square()))
        return linear(state["layers.1.weight"], state["layers.1.bias"], s).transpose(1, 2)


def build(spec: GaussnetSpec, in_shape: tuple[int, int, int], classes: int, dtype: torch.dtype) -> Gaussnet:
    """Build the Gauss-net for images of ``in_shape`` (C, H, W); d is the number of their pixels and channels."""
    return Gaussnet(spec, in_shape, classes, dtype)

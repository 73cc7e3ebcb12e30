"""Recurrent networks that read an image row by row, with additive or multiplicative integration."""

import torch
from torch import Tensor

from symbreak.config.models import RnnSpec
from symbreak.models.activations import ACTIVATIONS
from symbreak.models.dense import linear
from symbreak.models.initial import Initial, check_names, deviation
from symbreak.models.model import Noise, State
from symbreak.models.stack import Stack


class Rnn:
    """A recurrent network; see ``RnnSpec``.

    Parameters: ``input.weight`` W ``[R, width, C*W]``, ``recurrent.weight`` U ``[R, width, width]``, ``bias``
    ``[R, width]``, with multiplicative integration ``alpha``, ``beta1`` and ``beta2`` ``[R, width]``; ``head.weight``
    ``[R, classes, width]``, ``head.bias`` ``[R, classes]``. The first state, before the top row, is zero.
    """

    buffers: frozenset[str] = frozenset()
    max_group: int | None = None
    stack: Stack | None = None

    def __init__(self, spec: RnnSpec, in_shape: tuple[int, int, int], classes: int, dtype: torch.dtype) -> None:
        self.spec, self.classes, self.dtype = spec, classes, dtype
        self.activation = ACTIVATIONS[spec.activation]
        self.inputs = in_shape[0] * in_shape[2]

    def init(self, seed: int) -> State:
        """Return one replica at initialisation; see ``ModelBase``."""
        draw, width = Initial(seed, self.dtype, self.spec.initial), self.spec.width
        weights = {
            "input.weight": (width, self.inputs),
            "recurrent.weight": (width, width),
            "head.weight": (self.classes, width),
        }
        vectors = {"bias": (width, 0.0), "head.bias": (self.classes, 0.0)}
        if self.spec.integration == "multiplicative":
            vectors |= {name: (width, getattr(self.spec, name)) for name in ("alpha", "beta1", "beta2")}
        state = {
            name: draw.normal(name, (out, fan_in), deviation(self.spec.init, fan_in, out))
            for name, (out, fan_in) in weights.items()
        }
        return state | {name: draw.constant(name, (size,), value) for name, (size, value) in vectors.items()}

    def forward(self, state: State, x: Tensor, *, train: bool, noise: Noise | None = None) -> Tensor:
        """Return outputs ``[R, B, classes]``; see ``Model.forward``."""
        read = self._additive if self.spec.integration == "additive" else self._multiplicative
        return linear(state["head.weight"], state["head.bias"], read(state, x)).transpose(1, 2)

    def _additive(self, state: State, x: Tensor) -> Tensor:
        """Return the last state ``[R, width, B]`` of ``h <- act(W x + U h + b)``."""
        recurrent = state["recurrent.weight"]
        driven = linear(state["input.weight"], state["bias"], _rows(x))
        h = _zeros(driven, x)
        for drive in _steps(driven, x):
            h = self.activation.value(torch.baddbmm(drive, recurrent, h))
        return h

    def _multiplicative(self, state: State, x: Tensor) -> Tensor:
        """Return the last state ``[R, width, B]`` of ``h <- act(alpha * Wx * Uh + beta1 * Uh + beta2 * Wx + b)``.

        The general form of Wu et al. 2016, arXiv:1606.06630; the factor of Uh, ``alpha * Wx + beta1``, and the rest,
        ``beta2 * Wx + b``, are computed for all rows at once.
        """
        alpha, beta1, beta2, bias = (state[name].unsqueeze(2) for name in ("alpha", "beta1", "beta2", "bias"))
        projected = linear(state["input.weight"], None, _rows(x))
        factors, driven = torch.addcmul(beta1, alpha, projected), torch.addcmul(bias, beta2, projected)
        h = _zeros(driven, x)
        for factor, drive in zip(_steps(factors, x), _steps(driven, x), strict=True):
            h = self.activation.value(torch.addcmul(drive, factor, torch.bmm(state["recurrent.weight"], h)))
        return h


def _rows(x: Tensor) -> Tensor:
    """Turn images ``[K, B, C, H, W]`` into ``[K, C*W, H*B]``: the columns are rows of images, samples innermost."""
    return x.permute(0, 2, 4, 3, 1).reshape(x.shape[0], x.shape[2] * x.shape[4], -1)


def _steps(z: Tensor, x: Tensor) -> tuple[Tensor, ...]:
    """Cut ``[R, width, H*B]`` into H tensors ``[R, width, B]``."""
    # unbind and not indexing, whose backward pass would fill a tensor of z's size with zeros at every step
    return z.view(z.shape[0], z.shape[1], x.shape[3], x.shape[1]).unbind(2)


def _zeros(z: Tensor, x: Tensor) -> Tensor:
    return z.new_zeros(z.shape[0], z.shape[1], x.shape[1])


def build(spec: RnnSpec, in_shape: tuple[int, int, int], classes: int, dtype: torch.dtype) -> Rnn:
    """Build the network for images of ``in_shape`` (C, H, W), which it reads in H steps.

    Raises:
        SymbreakError: If ``initial`` names a parameter that the network does not have.
    """
    model = Rnn(spec, in_shape, classes, dtype)
    check_names(spec.initial, model.init(0), model.buffers)
    return model

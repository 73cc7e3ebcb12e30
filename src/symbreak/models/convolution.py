"""What the convolutional families share: convolutions, BatchNorm, the dense layers behind them, their initial values.

One replica at a time: ``replica`` has the state's entries without the replica axis. Images and activations are
``[B, C, H, W]`` in channels-last memory, which oneDNN's kernels read without reordering.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from symbreak.config.models import Scheme
from symbreak.errors import SymbreakError
from symbreak.models.initial import Initial, deviation
from symbreak.models.model import NORM_MOMENTUM, Noise, State, dropped

RUNNING = ("running_mean", "running_var")


def one_replica(state: State) -> State:
    """Return the entries of a state ``[1, ...]`` without the replica axis; views, so buffers are updated in place."""
    # indexing makes gradients contiguous; squeezed ones would be channels last, which torch's fused optimisers misread
    return {name: value[0] for name, value in state.items()}


def images(x: Tensor) -> Tensor:
    """Return the batch ``[1, B, C, H, W]`` as ``[B, C, H, W]`` with the strides of channels-last memory."""
    h = x.squeeze(0)
    count, channels, height, width = h.shape
    # with one channel both layouts are the same memory, and by the strides of a permuted one torch would go on
    # channels-first; vmap knows no memory formats, but it knows these
    last = h.reshape(count, height, width, 1) if channels == 1 else h.permute(0, 2, 3, 1).contiguous()
    return last.permute(0, 3, 1, 2)


def convolve(replica: State, name: str, h: Tensor, stride: int = 1) -> Tensor:
    """Apply the convolution ``name`` of odd size k, padded by (k-1)/2 zeros on each side."""
    weight = replica[f"{name}.weight"]
    return conv2d(h, weight, replica.get(f"{name}.bias"), stride, weight.shape[2] // 2)


def batch_norm(replica: State, name: str, z: Tensor, *, train: bool, eps: float) -> Tensor:
    """Normalise each channel over batch and positions (Ioffe and Szegedy 2015, arXiv:1502.03167, algorithm 2).

    With ``train`` the batch's statistics are used and the running ones updated in place; these and the affine
    parameters stay float32 where ``z`` is bfloat16. With eps 0 a channel without variance is mapped to its bias.

    Raises:
        SymbreakError: If a training batch has one number a channel, which has no variance.
    """
    if train and z.shape[0] * z.shape[2] * z.shape[3] == 1:
        raise SymbreakError(
            f"BatchNorm '{name}' cannot train on one image of one pixel; choose another 'batch' or 'drop_last'"
        )
    weight, bias, mean, var = (replica[f"{name}.{key}"] for key in ("weight", "bias", *RUNNING))
    # torch.nn.functional.batch_norm refuses eps 0
    return torch.batch_norm(z, weight, bias, mean, var, train, NORM_MOMENTUM, eps, torch.backends.cudnn.enabled)


def convolution_values(
    draw: Initial, name: str, fan_in: int, out: int, kernel: int, scheme: Scheme, *, bias: float | None = None
) -> State:
    """Return initial values of a convolution, ``[out, in, k, k]``; its fans are in k^2 and out k^2.

    Args:
        draw: Where values come from.
        name: Of the convolution.
        fan_in: Channels of its input.
        out: Channels of its output.
        kernel: Its size k.
        scheme: Of the weights.
        bias: What every bias starts at; None: it has none.
    """
    std = deviation(scheme, fan_in * kernel**2, out * kernel**2)
    state = {f"{name}.weight": draw.normal(f"{name}.weight", (out, fan_in, kernel, kernel), std)}
    if bias is not None:
        state[f"{name}.bias"] = draw.constant(f"{name}.bias", (out,), bias)
    return state


def norm_values(draw: Initial, name: str, shape: tuple[int, ...]) -> State:
    """Return initial values of a norm's affine parameters: the identity."""
    return {
        f"{name}.weight": draw.constant(f"{name}.weight", shape, 1.0),
        f"{name}.bias": draw.constant(f"{name}.bias", shape, 0.0),
    }


def batch_norm_values(draw: Initial, name: str, channels: int) -> State:
    """Return initial values of a BatchNorm: the identity, running mean 0 and variance 1."""
    running = {f"{name}.running_mean": torch.zeros, f"{name}.running_var": torch.ones}
    return norm_values(draw, name, (channels,)) | {
        key: make(channels, dtype=draw.dtype) for key, make in running.items()
    }


def buffers(state: State) -> frozenset[str]:
    """Return the names of the running statistics."""
    return frozenset(name for name in state if name.endswith(RUNNING))


@dataclass(frozen=True)
class Classifier:
    """Dense layers behind the convolutions: ``hidden.<l>`` with an activation and dropout, then ``head``.

    Parameters: ``hidden.<l>.weight`` ``[out, in]``, ``hidden.<l>.bias``, ``head.weight`` ``[classes, in]``,
    ``head.bias``. Dropout takes the numbers ``hidden.<l>`` of its noise, ``[1, B, out]``.
    """

    features: int
    classes: int
    hidden: tuple[int, ...] = ()
    activation: Callable[[Tensor], Tensor] = torch.relu
    dropout: float = 0.0

    def init(self, draw: Initial, scheme: Scheme) -> State:
        """Return initial values: hidden weights by ``scheme``, the head's N(0, 1/fan_in), biases 0.

        The head has a scheme of its own because no activation follows it, and its fan-out is the number of classes.
        """
        sizes = [(f"hidden.{n}", *size) for n, size in enumerate(pairwise([self.features, *self.hidden]))]
        state = State()
        for name, fan_in, out in [*sizes, ("head", [self.features, *self.hidden][-1], self.classes)]:
            std = deviation("lecun" if name == "head" else scheme, fan_in, out)
            state[f"{name}.weight"] = draw.normal(f"{name}.weight", (out, fan_in), std)
            state[f"{name}.bias"] = draw.constant(f"{name}.bias", (out,), 0.0)
        return state

    def forward(self, replica: State, h: Tensor, noise: Noise | None) -> Tensor:
        """Return outputs ``[1, B, classes]`` for features ``[B, in]``."""
        for layer in range(len(self.hidden)):
            name = f"hidden.{layer}"
            h = self.activation(_dense(replica, name, h))
            h = dropped(h.unsqueeze(0), self.dropout, noise, name).squeeze(0)
        return _dense(replica, "head", h).unsqueeze(0)


def _dense(replica: State, name: str, h: Tensor) -> Tensor:
    return torch.addmm(replica[f"{name}.bias"], h, replica[f"{name}.weight"].t())


def pooled(in_shape: tuple[int, int, int], layers: int, factor: int, what: str) -> list[tuple[int, int]]:
    """Return height and width of an image before and after each of ``layers`` max-poolings by ``factor``.

    Raises:
        SymbreakError: If nothing is left of it; ``what`` is the key whose entries pool.
    """
    height, width = in_shape[1:]
    sizes = [(height // factor**n, width // factor**n) for n in range(layers + 1)]
    allowed = sum(min(size) > 0 for size in sizes) - 1
    if allowed < layers:
        raise SymbreakError(
            f"'{what}' has {layers} entries, each with a max-pooling by {factor}, but images of {height}x{width} "
            f"allow {allowed}; give at most {allowed}, or larger images"
        )
    return sizes

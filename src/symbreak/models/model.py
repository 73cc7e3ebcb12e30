"""What every family of models promises the engine and the probes."""

import importlib
from typing import Protocol, cast

import torch
from torch import Tensor

from symbreak.config.models import ModelSpec
from symbreak.models.stack import Stack

State = dict[str, Tensor]
NORM_MOMENTUM = 0.1  # PyTorch's default share of the batch in BatchNorm's running statistics


class Noise(Protocol):
    """Random numbers of one step; each replica's come from its own seed, so they do not depend on its companions."""

    def uniform(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Return numbers in [0, 1), ``[R, *shape]``, the same whenever ``name`` is asked for again in this step."""


class Model(Protocol):
    """A family's architecture without its numbers; these are in a ``State``, every entry with a leading replica axis.

    Attributes:
        buffers: Names of the entries that are not trained.
        max_group: 1 if replicas must be trained one by one, else None.
        stack: The same network as layers whose gradient is written out, else None: it is left to autograd. Images may
            come flat and without inputs that are 0 in all of them; how many there are, the spec says and not ``x``.
    """

    buffers: frozenset[str]
    max_group: int | None
    stack: Stack | None

    def init(self, seed: int) -> State:
        """Return one replica's parameters and buffers, without the replica axis, on the CPU."""

    def forward(self, state: State, x: Tensor, *, train: bool, noise: Noise | None = None) -> Tensor:
        """Return outputs ``[R, B, classes]`` for inputs ``[R, B, C, H, W]`` or ``[1, B, C, H, W]`` (a shared batch).

        ``train``: BatchNorm uses the batch and updates its running statistics in place; dropout takes its masks from
        ``noise`` and does nothing without it.
        """


def build(spec: ModelSpec, in_shape: tuple[int, int, int], classes: int, dtype: torch.dtype) -> Model:
    """Build the model that ``spec`` describes, by the ``build`` function of ``symbreak.models.<family>``.

    Raises:
        SymbreakError: If the image is too small for the model, or ``initial`` names an unknown parameter.
    """
    family = importlib.import_module(f"symbreak.models.{spec.family}")
    return cast(Model, family.build(spec, in_shape, classes, dtype))


def dropped(h: Tensor, probability: float, noise: Noise | None, name: str) -> Tensor:
    """Drop entries of ``h`` ``[R, ...]`` and scale the others by 1/(1 - probability) (Srivastava et al. 2014)."""
    if probability == 0 or noise is None:
        return h
    keep = noise.uniform(name, tuple(h.shape[1:])) >= probability
    return h * keep.to(h.dtype) / (1 - probability)

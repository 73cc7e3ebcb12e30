"""What every family of models promises the engine and the probes."""

import importlib
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor

from symbreak.config.specs import ModelSpec
from symbreak.seeding import derive

State = dict[str, Tensor]
NORM_MOMENTUM = 0.1  # PyTorch's default share of the batch in BatchNorm's running statistics


class Model(Protocol):
    """A family's architecture without its numbers; these are in a ``State``, every entry with a leading replica axis.

    Attributes:
        buffers: Names of the entries that are not trained.
        max_group: 1 if replicas must be trained one by one, else None.
    """

    buffers: frozenset[str]
    max_group: int | None

    def init(self, seed: int) -> State:
        """Return one replica's parameters and buffers, without the replica axis, on the CPU."""

    def forward(self, state: State, x: Tensor, *, train: bool) -> Tensor:
        """Return outputs ``[R, B, classes]`` for inputs ``[R, B, C, H, W]`` or ``[1, B, C, H, W]`` (a shared batch)."""


def build(spec: ModelSpec, in_shape: tuple[int, int, int], classes: int, dtype: torch.dtype) -> Model:
    """Build the model that ``spec`` describes, by the ``build`` function of ``symbreak.models.<family>``."""
    family = importlib.import_module(f"symbreak.models.{spec.family}")
    return cast(Model, family.build(spec, in_shape, classes, dtype))


def normal(seed: int, name: str, shape: tuple[int, ...], std: float, dtype: torch.dtype) -> Tensor:
    """Draw a parameter from N(0, std^2) with the generator of its own stream ``("init", name)``.

    Drawn in float64 with numpy, whose streams are the same on every machine, and then rounded to ``dtype``.
    """
    drawn = np.random.default_rng(derive(seed, "init", name)).standard_normal(shape)
    return torch.from_numpy(std * drawn).to(dtype)

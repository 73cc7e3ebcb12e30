"""Initial values of parameters: a named scheme, and what a specification says otherwise."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from symbreak.config.models import NormalSpec, Scheme
from symbreak.errors import SymbreakError
from symbreak.seeding import derive


@dataclass(frozen=True)
class Initial:
    """One replica's initial values, each parameter from the stream ``("init", name)`` of its seed.

    Drawn in float64 with numpy, whose streams are the same on every machine, and then rounded to ``dtype``.
    """

    seed: int
    dtype: torch.dtype
    given: Mapping[str, NormalSpec]

    def normal(self, name: str, shape: tuple[int, ...], std: float, mean: float = 0.0) -> Tensor:
        """Return N(mean, std^2), or the distribution that is given for ``name``."""
        if name in self.given:
            given = self.given[name]
            mean, std = given.mean, std if given.std is None else given.std
        if std == 0:
            return torch.full(shape, mean, dtype=self.dtype)
        drawn = np.random.default_rng(derive(self.seed, "init", name)).standard_normal(shape)
        return torch.from_numpy(mean + std * drawn).to(self.dtype)

    def constant(self, name: str, shape: tuple[int, ...], value: float) -> Tensor:
        """Return ``value`` everywhere, or the distribution that is given for ``name``."""
        return self.normal(name, shape, 0.0, value)


def deviation(scheme: Scheme, fan_in: int, fan_out: int) -> float:
    """Return the standard deviation of a weight.

    ``he`` sqrt(2/fan_in) and ``he_fan_out`` sqrt(2/fan_out) (He et al. 2015, arXiv:1502.01852, eq. 10 and 14),
    ``lecun`` sqrt(1/fan_in) (LeCun et al. 1998), ``glorot`` sqrt(2/(fan_in + fan_out)) (Glorot and Bengio 2010, eq.
    12).
    """
    variances = {"he": 2 / fan_in, "he_fan_out": 2 / fan_out, "lecun": 1 / fan_in, "glorot": 2 / (fan_in + fan_out)}
    return math.sqrt(variances[scheme])


def check_names(given: Mapping[str, NormalSpec], known: Mapping[str, Tensor], buffers: frozenset[str]) -> None:
    """Refuse initial values of parameters that a model does not have.

    Raises:
        SymbreakError: A name is unknown.
    """
    parameters = sorted(known.keys() - buffers)
    if unknown := sorted(given.keys() - set(parameters)):
        raise SymbreakError(f"'initial' names {unknown}, but the model's parameters are {parameters}")

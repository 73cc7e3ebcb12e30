"""The optimiser of an ensemble: torch's own, which work element by element and so replica by replica."""

from collections.abc import Iterable

import torch
from torch import Tensor

from symbreak.config.specs import OptimiserSpec


def build(spec: OptimiserSpec, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
    """Build SGD (heavy ball, dampening 0) or Adam, with decay added to the gradient; see ``OptimiserSpec``."""
    if spec.name == "adam":
        return torch.optim.Adam(
            parameters, lr=spec.lr, betas=spec.betas, eps=spec.eps, weight_decay=spec.weight_decay, fused=True
        )
    return torch.optim.SGD(parameters, lr=spec.lr, momentum=spec.momentum, weight_decay=spec.weight_decay, fused=True)

"""The optimiser of an ensemble: torch's own, which work element by element and so replica by replica."""

from collections.abc import Iterable

import torch
from torch import Tensor

from symbreak.config.specs import OptimiserSpec
from symbreak.errors import SymbreakError


def build(spec: OptimiserSpec, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
    """Build SGD (heavy ball), RMSProp or Adam, with decay added to the gradient; see ``OptimiserSpec``.

    Adam after Kingma and Ba 2015 (arXiv:1412.6980, algorithm 1), RMSProp after Tieleman and Hinton 2012, not centred.
    The rate of a step is ``optimiser.param_groups[0]["lr"]``; ``optimiser.state`` holds tensors only.

    Args:
        spec: Name and constants.
        parameters: Leaves ``[R, ...]`` in one parameter group.

    Raises:
        SymbreakError: If the spec is not that of an optimiser but of the gradient flow.
    """
    match spec.name:
        case "sgd":
            return torch.optim.SGD(
                parameters,
                lr=spec.lr,
                momentum=spec.momentum,
                dampening=spec.dampening,
                weight_decay=spec.weight_decay,
                fused=True,
            )
        case "rmsprop":
            return torch.optim.RMSprop(
                parameters, lr=spec.lr, alpha=spec.rho, eps=spec.eps, weight_decay=spec.weight_decay
            )
        case "adam":
            return torch.optim.Adam(
                parameters, lr=spec.lr, betas=spec.betas, eps=spec.eps, weight_decay=spec.weight_decay, fused=True
            )
        case "flow":
            raise SymbreakError("'flow' is integrated by symbreak.training.flow; torch has no optimiser of that name")

"""States at which no parameter has a value that hides its effect."""

import torch

from symbreak.models.model import Model, State


def disturbed(model: Model, dtype: torch.dtype = torch.float64) -> State:
    """An initial state in which no bias is zero and no norm the identity, with gradients switched on."""
    generator, state = torch.Generator().manual_seed(1), {}
    for name, value in model.init(0).items():
        shift = 0.1 * torch.rand(value.shape, generator=generator, dtype=torch.float64)
        state[name] = (value + shift).to(dtype).unsqueeze(0).requires_grad_(name not in model.buffers)
    return state

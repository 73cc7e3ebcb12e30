"""Gradients of a network's outputs by its inputs, a chunk of inputs at a time."""

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from symbreak.probes.network import Network

Outputs = Literal["sum", "each"]
SAMPLES = 512  # inputs of a chunk
MEMORY = 2**26  # bytes that the gradients of a chunk may take; those of one input may take more


def input_gradients(network: Network, r: int, x: Tensor, outputs: Outputs) -> Iterator[Tensor]:
    """Yield the gradients ``[C or 1, n, ...]`` of set ``r`` at consecutive chunks of inputs ``x`` ``[N, ...]``.

    One pass back for the sum over all inputs of a chunk gives each input its own gradient, as nothing couples them
    (``usable.check_inputs`` refuses networks that do).

    Args:
        network: Sets of parameters.
        r: Which of them.
        x: Inputs.
        outputs: Of the ``sum`` of all outputs (1), or of ``each`` (C, one pass back for each).
    """
    state = network.one(r) | network.held(r)
    number = 1 if outputs == "sum" else network.call(state, x[:1]).shape[1]
    size = max(1, min(SAMPLES, MEMORY // (number * x[0].numel() * x.element_size())))
    for part in x.split(size):
        with torch.enable_grad():
            inputs = part.detach().requires_grad_()
            found = network.call(state, inputs).sum(0)
            wanted = [found.sum()] if outputs == "sum" else list(found)
            gradients = [torch.autograd.grad(one, inputs, retain_graph=True)[0] for one in wanted]
        yield torch.stack(gradients)

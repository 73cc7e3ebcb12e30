"""Gradients of single samples, all at once and one by one."""

import torch
from torch import Tensor
from torch.func import grad, vmap

from symbreak.probes.network import Network


def assert_as_in_a_loop(network: Network, x: Tensor) -> None:
    """Compare ``vmap`` over samples ``x`` ``[N, 1, C, H, W]`` with a loop of autograd, for the first replica."""
    parameters, held = network.one(0), network.held(0)

    def loss(state: dict[str, Tensor], row: Tensor) -> Tensor:
        return network.call(state | held, row).square().sum()

    found = vmap(grad(loss), in_dims=(None, 0))(parameters, x)
    for name, value in parameters.items():
        leaf = value.clone().requires_grad_()
        expected = [torch.autograd.grad(loss(parameters | {name: leaf}, row), leaf)[0] for row in x]
        torch.testing.assert_close(found[name], torch.stack(expected), rtol=1e-9, atol=1e-12)

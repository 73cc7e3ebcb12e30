import math

import pytest
import torch

from symbreak.models.activations import ACTIVATIONS
from symbreak.models.gaussnet import NEURONS

FUNCTIONS = ACTIVATIONS | {f"neuron {name}": neuron for name, neuron in NEURONS.items()}


def erf(z: torch.Tensor) -> torch.Tensor:
    return torch.tensor([math.erf(value) for value in z.flatten()], dtype=z.dtype).view(z.shape)


VALUES = {
    "relu": lambda z: z.clamp(min=0),
    "tanh": lambda z: 1 - 2 / (torch.exp(2 * z) + 1),
    "erf": erf,
    "sigmoid": lambda z: 1 / (1 + torch.exp(-z)),
    "linear": lambda z: z,
    "neuron gauss": torch.exp,
    "neuron erf": erf,
    "neuron relu": lambda z: z.clamp(min=0),
}


def arguments() -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    z, dh = (torch.randn(3, 5, 40, generator=draw, dtype=torch.float64) for _ in range(2))
    z[0, 0, :4] = torch.tensor([0.0, -0.0, 7.0, -7.0])
    return z, dh


def test_every_function_has_a_case() -> None:
    assert FUNCTIONS.keys() == VALUES.keys()
    assert set(ACTIVATIONS) == {"relu", "tanh", "erf", "sigmoid", "linear"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_are_the_functions(name: str) -> None:
    z, _ = arguments()
    torch.testing.assert_close(FUNCTIONS[name].value(z), VALUES[name](z), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_backward_is_autograds_in_the_place_of_its_argument(name: str) -> None:
    z, dh = arguments()
    leaf = z.clone().requires_grad_()
    h = FUNCTIONS[name].value(leaf)
    (expected,) = torch.autograd.grad(h, leaf, dh)
    summed, place = z.clone(), dh.clone()
    value = FUNCTIONS[name].value_(summed)  # may have overwritten ``summed``, which backward_ then must not read
    torch.testing.assert_close(value, h.detach(), rtol=1e-14, atol=0)
    found = FUNCTIONS[name].backward_(place, summed, value)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert found is place or found.data_ptr() == place.data_ptr()
    assert torch.equal(value, FUNCTIONS[name].value(z))

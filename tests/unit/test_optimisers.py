"""Torch's optimisers as they are built here, against their formulae written out in numpy."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from symbreak.config.specs import OptimiserSpec
from symbreak.errors import SymbreakError
from symbreak.training import optimisers

Array = NDArray[np.float64]
SHAPES = ((2, 5, 7), (2, 3))  # two replicas of a weight and a bias
RATES = (0.1, 0.05, 0.2, 0.01, 0.01, 0.03)  # of each step, as a schedule sets them


def sgd(spec: OptimiserSpec, gradients: Iterator[Array]) -> Iterator[Array]:
    velocity = None
    for gradient in gradients:
        kept = 0.0 if velocity is None else spec.momentum * velocity
        velocity = kept + (1.0 if velocity is None else 1 - spec.dampening) * gradient
        yield velocity


def rmsprop(spec: OptimiserSpec, gradients: Iterator[Array]) -> Iterator[Array]:
    square = 0.0
    for gradient in gradients:
        square = spec.rho * square + (1 - spec.rho) * gradient**2
        yield gradient / (np.sqrt(square) + spec.eps)


def adam(spec: OptimiserSpec, gradients: Iterator[Array]) -> Iterator[Array]:
    mean, square, (first, second) = 0.0, 0.0, spec.betas
    for step, gradient in enumerate(gradients, start=1):
        mean, square = first * mean + (1 - first) * gradient, second * square + (1 - second) * gradient**2
        yield mean / (1 - first**step) / (np.sqrt(square / (1 - second**step)) + spec.eps)


CASES: dict[str, tuple[Callable[[OptimiserSpec, Iterator[Array]], Iterator[Array]], dict[str, object]]] = {
    "plain gradient descent": (sgd, {"name": "sgd"}),
    "decay": (sgd, {"name": "sgd", "weight_decay": 0.3}),
    "heavy ball": (sgd, {"name": "sgd", "momentum": 0.9}),
    "dampened, with decay": (sgd, {"name": "sgd", "momentum": 0.8, "dampening": 0.8, "weight_decay": 0.3}),
    "rmsprop": (rmsprop, {"name": "rmsprop", "eps": 1e-2}),
    "rmsprop, short memory and decay": (rmsprop, {"name": "rmsprop", "rho": 0.5, "weight_decay": 0.3}),
    "adam": (adam, {"name": "adam"}),
    "adam, other constants and decay": (
        adam,
        {"name": "adam", "betas": (0.6, 0.9), "eps": 1e-2, "weight_decay": 0.3},
    ),
}


def made(settings: dict[str, object], dtype: torch.dtype) -> tuple[OptimiserSpec, list[Tensor], list[list[Tensor]]]:
    """The specification, parameters, and their gradients at every step."""
    draw = torch.Generator().manual_seed(3)
    parameters = [torch.randn(shape, generator=draw, dtype=torch.float64).to(dtype) for shape in SHAPES]
    gradients = [[torch.randn(shape, generator=draw, dtype=torch.float64).to(dtype) for shape in SHAPES] for _ in RATES]
    return OptimiserSpec.model_validate({"lr": 1.0, **settings}), parameters, gradients


def step(optimiser: torch.optim.Optimizer, parameters: list[Tensor], gradients: list[Tensor], rate: float) -> None:
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.clone()
    optimiser.param_groups[0]["lr"] = rate
    optimiser.step()


@pytest.mark.parametrize(("dtype", "precision"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("case", CASES)
def test_updates_are_those_of_the_formula(case: str, dtype: torch.dtype, precision: float) -> None:
    formula, settings = CASES[case]
    spec, parameters, gradients = made(settings, dtype)
    points = [parameter.double().numpy().copy() for parameter in parameters]
    optimiser = optimisers.build(spec, parameters)
    slopes: list[Array] = [np.empty(0)] * len(SHAPES)  # what the formulae below are fed with, one a step

    def feed(place: int) -> Iterator[Array]:
        while True:
            yield slopes[place]

    directions = [formula(spec, feed(place)) for place in range(len(SHAPES))]
    for given, rate in zip(gradients, RATES, strict=True):
        step(optimiser, parameters, given, rate)
        for place, direction in enumerate(directions):
            slopes[place] = given[place].double().numpy() + spec.weight_decay * points[place]
            points[place] = points[place] - rate * next(direction)
            np.testing.assert_allclose(
                parameters[place].double().numpy(), points[place], rtol=precision, atol=precision
            )


def test_the_first_velocity_is_the_undampened_gradient() -> None:
    spec, parameters, gradients = made({"name": "sgd", "momentum": 0.9, "dampening": 0.5}, torch.float64)
    step(optimisers.build(spec, parameters), parameters, gradients[0], 0.25)
    start = made({"name": "sgd"}, torch.float64)[1]
    torch.testing.assert_close(parameters[0], start[0] - 0.25 * gradients[0][0], rtol=1e-15, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("case", CASES)
def test_a_state_put_into_a_new_optimiser_goes_on_to_the_same_bits(case: str, dtype: torch.dtype) -> None:
    spec, parameters, gradients = made(CASES[case][1], dtype)
    optimiser = optimisers.build(spec, parameters)
    for given, rate in zip(gradients[:3], RATES[:3], strict=True):
        step(optimiser, parameters, given, rate)
    copies = [parameter.clone() for parameter in parameters]
    resumed = optimisers.build(spec, copies)
    for parameter, copy in zip(parameters, copies, strict=True):
        assert all(isinstance(value, Tensor) for value in optimiser.state[parameter].values())
        resumed.state[copy] = {name: value.clone() for name, value in optimiser.state[parameter].items()}
    for given, rate in zip(gradients[3:], RATES[3:], strict=True):
        step(optimiser, parameters, given, rate)
        step(resumed, copies, given, rate)
    assert all(torch.equal(parameter, copy) for parameter, copy in zip(parameters, copies, strict=True))


@pytest.mark.parametrize("case", CASES)
def test_a_replica_does_not_see_its_companions(case: str) -> None:
    spec, parameters, gradients = made(CASES[case][1], torch.float32)
    spoilt = [parameter.clone() for parameter in parameters]
    optimiser, other = optimisers.build(spec, parameters), optimisers.build(spec, spoilt)
    for given, rate in zip(gradients, RATES, strict=True):
        step(optimiser, parameters, given, rate)
        step(other, spoilt, [torch.stack([g[0], g[1] * torch.nan]) for g in given], rate)
    for parameter, copy in zip(parameters, spoilt, strict=True):
        assert torch.equal(parameter[0], copy[0])
        assert copy[1].isnan().all()


def test_the_gradient_flow_is_no_optimiser() -> None:
    with pytest.raises(SymbreakError, match=r"training\.flow"):
        optimisers.build(OptimiserSpec(name="flow", lr=0.1), [torch.zeros(1)])

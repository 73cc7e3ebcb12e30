"""The folded update of SGD against torch's on the gradients multiplied out, and what optimisers remember."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from symbreak.config.specs import OptimiserSpec
from symbreak.models.gradients import Gradient, Outer, Whole
from symbreak.models.model import State
from symbreak.training import updates
from symbreak.training.updates import Adam, HeavyBall, Torch, update

RATES = (0.1, 0.05, 0.2, 0.01, 0.01, 0.03)  # of each step, as a schedule sets them
SGD: dict[str, dict[str, Any]] = {
    "plain": {},
    "decay": {"weight_decay": 0.3},
    "heavy ball": {"momentum": 0.9},
    "heavy ball with decay": {"momentum": 0.9, "weight_decay": 0.3},
    "dampened": {"momentum": 0.9, "dampening": 0.9},
    "dampened a little, with decay": {"momentum": 0.8, "dampening": 0.3, "weight_decay": 0.3},
}
OTHERS: dict[str, dict[str, Any]] = {
    "rmsprop": {"name": "rmsprop", "rho": 0.9, "weight_decay": 0.1},
    "adam": {"name": "adam", "betas": (0.8, 0.9), "weight_decay": 0.1},
}


def spec(settings: dict[str, Any]) -> OptimiserSpec:
    return OptimiserSpec.model_validate({"name": "sgd", "lr": 1.0} | settings)


def parameters(dtype: torch.dtype = torch.float64) -> State:
    draw = torch.Generator().manual_seed(1)
    shapes = {"layers.0.weight": (3, 4, 6), "layers.0.bias": (3, 4), "layers.1.weight": (3, 2, 4)}
    return {name: torch.randn(shape, generator=draw, dtype=torch.float64).to(dtype) for name, shape in shapes.items()}


def gradients(step: int, dtype: torch.dtype = torch.float64) -> dict[str, Gradient]:
    """Of a shared batch in the first layer and own activations in the second."""
    draw = torch.Generator().manual_seed(100 + step)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw, dtype=torch.float64).to(dtype)

    return {
        "layers.0.weight": Outer(random(3, 4, 5), random(1, 6, 5)),
        "layers.0.bias": Whole(random(3, 4)),
        "layers.1.weight": Outer(random(3, 2, 5), random(3, 4, 5)),
    }


def by_torch(settings: OptimiserSpec, start: State, rates: tuple[float, ...]) -> State:
    leaves = {name: value.clone() for name, value in start.items()}
    optimiser: torch.optim.Optimizer
    if settings.name == "adam":
        constants = {"betas": settings.betas, "eps": settings.eps, "weight_decay": settings.weight_decay}
        optimiser = torch.optim.Adam(leaves.values(), **constants, foreach=False, fused=False)
    else:
        optimiser = torch.optim.SGD(
            leaves.values(),
            lr=1.0,
            momentum=settings.momentum,
            dampening=settings.dampening,
            weight_decay=settings.weight_decay,
            foreach=False,
        )
    for step, rate in enumerate(rates):
        for name, gradient in gradients(step).items():
            leaves[name].grad = gradient.dense().clone()
        optimiser.param_groups[0]["lr"] = rate
        optimiser.step()
    return leaves


@pytest.mark.parametrize("folded", [True, False])
@pytest.mark.parametrize("case", SGD)
def test_every_step_is_that_of_torch(case: str, folded: bool) -> None:
    settings, state = spec(SGD[case]), parameters()
    moved = update(settings, state, folded=folded)
    assert isinstance(moved, HeavyBall if folded else Torch)
    tensors = dict(state)
    for step, rate in enumerate(RATES):
        moved.step(gradients(step), rate)
        expected = by_torch(settings, parameters(), RATES[: step + 1])
        for name, value in state.items():
            assert value is tensors[name]
            torch.testing.assert_close(value, expected[name], rtol=1e-13, atol=1e-13)


ADAM: dict[str, dict[str, Any]] = {
    "plain": {},
    "betas": {"betas": (0.5, 0.8)},
    "decay": {"weight_decay": 0.3},
    "large eps": {"eps": 0.1},
    "no memory": {"betas": (0.0, 0.0)},
}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-5)])
@pytest.mark.parametrize("case", ADAM)
def test_compiled_adam_makes_the_steps_of_torch(case: str, dtype: torch.dtype, tolerance: float) -> None:
    settings, state = spec({"name": "adam"} | ADAM[case]), parameters(dtype)
    moved = update(settings, state, folded=True)
    assert isinstance(moved, Adam)
    for step, rate in enumerate(RATES):
        moved.step(gradients(step, dtype), rate)
        expected = by_torch(settings, parameters(), RATES[: step + 1])
        for name, value in state.items():
            torch.testing.assert_close(value.double(), expected[name], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("place", ["gradient", "parameter"])
def test_what_is_not_finite_stays_in_its_replica(place: str) -> None:
    states = parameters(torch.float32), parameters(torch.float32)
    for state, bad in zip(states, (False, True), strict=True):
        moved, given = update(spec({"name": "adam"}), state, folded=True), gradients(0, torch.float32)
        if bad and place == "parameter":
            state["layers.0.bias"][1] = math.nan
        if bad and place == "gradient":
            whole = given["layers.0.bias"]
            assert isinstance(whole, Whole)
            whole.value[1] = math.inf
        moved.step(given, 0.1)
    calm, wild = (state["layers.0.bias"] for state in states)
    assert torch.equal(calm[::2], wild[::2])
    assert not wild[1].isfinite().any()


def test_what_is_compiled() -> None:
    """Adam of networks whose gradients come as factors, in memory that compiled loops can have."""
    gaps = {name: value.repeat_interleave(2, dim=-1)[..., ::2] for name, value in parameters().items()}
    for name, settings in OTHERS.items():
        assert isinstance(update(spec(settings), parameters(), folded=True), Adam if "adam" in name else Torch)
        assert isinstance(update(spec(settings), parameters(), folded=False), Torch)
        assert isinstance(update(spec(settings), gaps, folded=True), Torch)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(
    ("settings", "folded"), [(s, f) for s in SGD.values() for f in (True, False)] + [(s, True) for s in OTHERS.values()]
)
@pytest.mark.parametrize("pause", [0, 1, 3])
def test_what_is_remembered_goes_on_to_the_same_bits(
    settings: dict[str, Any], folded: bool, dtype: torch.dtype, pause: int
) -> None:
    state = parameters(dtype)
    moved = update(spec(settings), state, folded=folded)
    for step, rate in enumerate(RATES[:pause]):
        moved.step(gradients(step, dtype), rate)
    kept = {name: value.clone() for name, value in moved.memory().items()}
    assert all(name.startswith(tuple(state)) for name in kept)
    copy = {name: value.clone() for name, value in state.items()}
    resumed = update(spec(settings), copy, folded=folded)
    resumed.remember(kept)
    for value in kept.values():
        value.fill_(math.nan)  # what was handed over is not what is worked on
    for step, rate in enumerate(RATES[pause:], start=pause):
        moved.step(gradients(step, dtype), rate)
        resumed.step(gradients(step, dtype), rate)
    assert all(torch.equal(value, copy[name]) for name, value in state.items())
    assert moved.memory().keys() == resumed.memory().keys()
    assert all(torch.equal(value, resumed.memory()[name]) for name, value in moved.memory().items())


def test_a_memory_replaces_what_was_remembered_before() -> None:
    """Of one that had made steps, as when a training that went on is set back."""
    state = parameters()
    moved = HeavyBall(spec(SGD["heavy ball"]), state)
    moved.step(gradients(0), 0.1)
    moved.remember({})
    middle = {name: value.clone() for name, value in state.items()}
    moved.step(gradients(1), 0.1)
    for name, gradient in gradients(1).items():
        torch.testing.assert_close(state[name], middle[name] - 0.1 * gradient.dense(), rtol=1e-14, atol=1e-14)


def test_without_momentum_nothing_is_remembered() -> None:
    moved = HeavyBall(spec({"weight_decay": 0.1}), parameters())
    moved.step(gradients(0), 0.1)
    assert moved.memory() == {}


def test_the_memory_is_the_velocity_itself() -> None:
    moved = HeavyBall(spec({"momentum": 0.9, "dampening": 0.5}), parameters())
    moved.step(gradients(0), 0.1)
    memory = moved.memory()
    assert memory.keys() == parameters().keys()
    first = {name: gradient.dense() for name, gradient in gradients(0).items()}
    for name, value in memory.items():
        torch.testing.assert_close(value, first[name], rtol=1e-14, atol=1e-14)  # undampened
    moved.step(gradients(1), 0.1)
    for name, gradient in gradients(1).items():
        assert moved.memory()[name] is memory[name]
        torch.testing.assert_close(memory[name], 0.9 * first[name] + 0.5 * gradient.dense(), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("case", SGD)
def test_uninitialised_memory_does_not_enter_the_first_velocity(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updates.torch, "empty_like", lambda value: torch.full_like(value, math.nan))
    state = parameters()
    HeavyBall(spec(SGD[case]), state).step(gradients(0), 0.1)
    assert all(value.isfinite().all() for value in state.values())


@pytest.mark.parametrize("case", SGD)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_replica_does_not_see_its_companions_gradients(case: str, bad: float) -> None:
    states = parameters(torch.float32), parameters(torch.float32)
    for state, poison in zip(states, (None, bad), strict=True):
        moved = HeavyBall(spec(SGD[case]), state)
        for step, rate in enumerate(RATES):
            given = gradients(step, torch.float32)
            if poison is not None and step == 2:
                for gradient in given.values():
                    (gradient.delta if isinstance(gradient, Outer) else gradient.value)[1] = poison
            moved.step(given, rate)
    healthy, sick = states
    for name, value in healthy.items():
        assert torch.equal(value[::2], sick[name][::2])
        assert not sick[name][1].isfinite().any()


@pytest.mark.parametrize("settings", [*SGD.values(), *OTHERS.values()])
@pytest.mark.parametrize("folded", [True, False])
def test_gradients_are_left_as_they_are_for_observers(settings: dict[str, Any], folded: bool) -> None:
    given = gradients(0)
    expected = {name: gradient.dense().clone() for name, gradient in given.items()}
    state = parameters()
    moved = update(spec(settings), state, folded=folded)
    for _ in range(2):
        moved.step(given, 0.1)
    assert all(torch.equal(gradient.dense(), expected[name]) for name, gradient in given.items())
    assert all(value.grad is None and not value.requires_grad for value in state.values())

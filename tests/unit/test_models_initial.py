"""Initial values: schemes, and what ``initial`` says otherwise, for the dense families and the recurrent one."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from symbreak.config.models import ModelSpec, NormalSpec, Scheme
from symbreak.errors import SymbreakError
from symbreak.models.initial import Initial, check_names, deviation
from symbreak.models.model import Model, build
from symbreak.seeding import derive

SHAPE, CLASSES = (2, 6, 5), 3
FAMILIES: dict[str, dict[str, Any]] = {
    "mlp": {"family": "mlp", "hidden": [40, 30], "norm": "batch"},
    "layer norm": {"family": "mlp", "hidden": [40, 30], "norm": "layer"},
    "gaussnet": {"family": "gaussnet", "width": 40},
    "rnn": {"family": "rnn", "width": 40, "integration": "multiplicative"},
}


def model(settings: dict[str, Any], **more: Any) -> Model:
    spec: ModelSpec = TypeAdapter(ModelSpec).validate_python(settings | more)
    return build(spec, SHAPE, CLASSES, torch.float64)


def test_a_parameter_has_its_own_stream_and_is_rounded_from_float64() -> None:
    drawn = 0.5 + 2.0 * np.random.default_rng(derive(7, "init", "w")).standard_normal((3, 4))
    assert torch.equal(Initial(7, torch.float64, {}).normal("w", (3, 4), 2.0, 0.5), torch.from_numpy(drawn))
    assert torch.equal(Initial(7, torch.float32, {}).normal("w", (3, 4), 2.0, 0.5), torch.from_numpy(drawn).float())


def test_a_given_mean_without_std_keeps_the_schemes() -> None:
    plain = Initial(7, torch.float64, {}).normal("w", (50,), 2.0)
    given = {"w": NormalSpec(mean=3.0), "v": NormalSpec(mean=-1.0, std=0.0)}
    draw = Initial(7, torch.float64, given)
    torch.testing.assert_close(draw.normal("w", (50,), 2.0), plain + 3)
    assert torch.equal(draw.normal("v", (50,), 2.0), torch.full((50,), -1.0, dtype=torch.float64))
    assert torch.equal(draw.constant("u", (4,), 0.25), torch.full((4,), 0.25, dtype=torch.float64))


@pytest.mark.parametrize(("scheme", "variance"), [("he", 0.2), ("he_fan_out", 0.5), ("lecun", 0.1), ("glorot", 1 / 7)])
def test_deviations_of_the_schemes(scheme: Scheme, variance: float) -> None:
    assert deviation(scheme, 10, 4) ** 2 == pytest.approx(variance, rel=1e-14)


def test_a_buffer_is_not_a_parameter() -> None:
    known = {"w": torch.zeros(1), "running": torch.zeros(1)}
    check_names({"w": NormalSpec()}, known, frozenset({"running"}))
    with pytest.raises(SymbreakError, match=r"names \['running'\], but the model's parameters are \['w'\]"):
        check_names({"running": NormalSpec()}, known, frozenset({"running"}))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_takes_its_given_mean_and_deviation(family: str) -> None:
    """The mean and deviation of n numbers have errors std/sqrt(n) and std/sqrt(2n); five of them are allowed."""
    plain = model(FAMILIES[family])
    names = plain.init(0).keys() - plain.buffers
    initial = {name: {"mean": 0.1 * i, "std": 0.2 + 0.1 * i} for i, name in enumerate(sorted(names))}
    given = model(FAMILIES[family], initial=initial)
    states = [given.init(seed) for seed in range(60)]
    for name, want in initial.items():
        values = torch.stack([state[name] for state in states])
        error = 5 * want["std"] / math.sqrt(values.numel())
        assert values.mean().item() == pytest.approx(want["mean"], abs=error), name
        assert values.std().item() == pytest.approx(want["std"], abs=error / math.sqrt(2)), name


@pytest.mark.parametrize("family", FAMILIES)
def test_one_given_parameter_leaves_the_others_alone(family: str) -> None:
    plain = model(FAMILIES[family])
    before = plain.init(3)
    for changed in before.keys() - plain.buffers:
        after = model(FAMILIES[family], initial={changed: {"mean": 5.0, "std": 0.3}}).init(3)
        assert {name for name in before if not torch.equal(before[name], after[name])} == {changed}


@pytest.mark.parametrize("family", FAMILIES)
def test_an_unknown_parameter_is_refused(family: str) -> None:
    with pytest.raises(SymbreakError, match=r"'initial' names \['layer.0.weight'\], but the model's parameters are"):
        model(FAMILIES[family], initial={"layer.0.weight": {"mean": 1.0}})


def test_running_statistics_cannot_be_given() -> None:
    with pytest.raises(SymbreakError, match=r"'initial' names \['norms.0.running_mean'\]"):
        model(FAMILIES["mlp"], initial={"norms.0.running_mean": {"mean": 1.0}})


def test_a_negative_deviation_is_refused() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        NormalSpec(std=-1.0)


@pytest.mark.parametrize("family", ["mlp", "rnn"])
@pytest.mark.parametrize("scheme", ["he", "he_fan_out", "lecun", "glorot"])
def test_weights_have_the_deviation_of_the_scheme(family: str, scheme: Scheme) -> None:
    drawn = model(FAMILIES[family], init=scheme)
    states = [drawn.init(seed) for seed in range(40)]
    for name in (n for n in states[0] if n.endswith(".weight") and states[0][n].ndim == 2):
        out, fan_in = states[0][name].shape
        values = torch.stack([state[name] for state in states])
        tolerance = 5 / math.sqrt(2 * values.numel())
        assert values.std().item() / deviation(scheme, fan_in, out) == pytest.approx(1, abs=tolerance), name


def test_vectors_that_are_not_given_start_at_their_constants() -> None:
    settings = FAMILIES["rnn"] | {"alpha": 0.5, "beta1": 2.0, "beta2": -1.0}
    state = model(settings).init(0)
    for name, value in {"alpha": 0.5, "beta1": 2.0, "beta2": -1.0, "bias": 0.0}.items():
        assert torch.equal(state[name], torch.full((40,), value, dtype=torch.float64))
    assert not state["head.bias"].any()

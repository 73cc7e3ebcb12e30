import math

import pytest
import torch

from symbreak.config.specs import MlpSpec
from symbreak.errors import SymbreakError
from symbreak.models.mlp import build
from symbreak.models.model import State

SHAPE = (1, 20, 20)


def stacked(states: list[State]) -> State:
    return {name: torch.stack([state[name] for state in states]) for name in states[0]}


@pytest.mark.parametrize(("init", "gain"), [("he", math.sqrt(2)), ("lecun", 1.0)])
def test_weights_have_the_declared_variance_and_biases_are_zero(init: str, gain: float) -> None:
    spec = MlpSpec(family="mlp", hidden=(300, 200), init=init)
    state = build(spec, SHAPE, 10, torch.float64).init(1)
    for layer, fan_in in enumerate((400, 300, 200)):
        weight = state[f"layers.{layer}.weight"]
        tolerance = 5 / math.sqrt(2 * weight.numel())
        assert weight.std().item() * math.sqrt(fan_in) / gain == pytest.approx(1, abs=tolerance)
        assert not state[f"layers.{layer}.bias"].any()


def test_initialisations_depend_on_the_seed_and_are_rounded_from_float64() -> None:
    spec = MlpSpec(family="mlp", hidden=(8,))
    double, single = (build(spec, SHAPE, 10, dtype).init(4) for dtype in (torch.float64, torch.float32))
    assert torch.equal(double["layers.0.weight"].float(), single["layers.0.weight"])
    assert not torch.equal(double["layers.0.weight"], build(spec, SHAPE, 10, torch.float64).init(5)["layers.0.weight"])


def test_names_of_parameters_and_buffers() -> None:
    model = build(MlpSpec(family="mlp", hidden=(8, 6), norm="batch", bias=False), SHAPE, 10, torch.float32)
    shapes = {name: tuple(value.shape) for name, value in model.init(0).items()}
    norms = {
        f"norms.{n}.{k}": (w,) for n, w in ((0, 8), (1, 6)) for k in ("weight", "bias", "running_mean", "running_var")
    }
    assert shapes == {"layers.0.weight": (8, 400), "layers.1.weight": (6, 8), "layers.2.weight": (10, 6)} | norms
    assert model.buffers == {name for name in norms if "running" in name}


def test_eps_zero_normalises_exactly_and_is_scale_invariant() -> None:
    model = build(MlpSpec(family="mlp", hidden=(5,), norm="batch", norm_eps=0), SHAPE, 10, torch.float64)
    state = stacked([model.init(seed) for seed in (1, 2)])
    x = torch.randn(1, 9, *SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    outputs = model.forward(state, x, train=True)
    grown = state | {"layers.0.weight": state["layers.0.weight"] * 1e-7}
    torch.testing.assert_close(model.forward(grown, x, train=True), outputs, rtol=1e-12, atol=1e-12)


def test_running_statistics_are_updated_in_training_only() -> None:
    model = build(MlpSpec(family="mlp", hidden=(5,), norm="batch"), SHAPE, 10, torch.float64)
    state = stacked([model.init(seed) for seed in (1, 2)])
    x = 1 + torch.randn(2, 9, *SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    model.forward(state, x, train=False)
    assert not state["norms.0.running_mean"].any()
    z = torch.einsum("roi,rbi->rbo", state["layers.0.weight"], x.flatten(2))
    model.forward(state, x, train=True)
    torch.testing.assert_close(state["norms.0.running_mean"], 0.1 * z.mean(1))
    torch.testing.assert_close(state["norms.0.running_var"], 0.9 + 0.1 * z.var(1))


def test_batchnorm_refuses_to_train_on_one_sample() -> None:
    model = build(MlpSpec(family="mlp", hidden=(5,), norm="batch"), SHAPE, 10, torch.float64)
    with pytest.raises(SymbreakError, match="batch of one sample"):
        model.forward(stacked([model.init(1)]), torch.zeros(1, 1, *SHAPE, dtype=torch.float64), train=True)

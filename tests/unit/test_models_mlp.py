import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from symbreak.config.models import MlpSpec
from symbreak.errors import SymbreakError
from symbreak.models.dense import layer_norm
from symbreak.models.mlp import Mlp, build
from symbreak.models.model import State
from symbreak.seeding import derive

SHAPE = (1, 20, 20)


def stacked(states: list[State]) -> State:
    return {name: torch.stack([state[name] for state in states]) for name in states[0]}


class Numbers:
    """Noise from given tensors."""

    def __init__(self, numbers: State) -> None:
        self.numbers = numbers

    def uniform(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        assert self.numbers[name].shape[1:] == shape
        return self.numbers[name]


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def scattered(model: Mlp, replicas: int = 3) -> State:
    """Replicas none of whose entries has a special value, variances positive."""
    state = stacked([model.init(seed) for seed in range(replicas)])
    for i, name in enumerate(sorted(state)):
        state[name] = state[name] + 0.2 * random(*state[name].shape, seed=i).abs()
    return state


def leaves(model: Mlp, state: State) -> State:
    return {name: value.clone().requires_grad_(name not in model.buffers) for name, value in state.items()}


@pytest.mark.parametrize(("init", "gain2"), [("he", 2), ("lecun", 1)])
def test_initial_values_are_the_streams_times_the_schemes_deviation(init: str, gain2: float) -> None:
    """To the last bit: sqrt(gain^2 / fan_in), drawn and scaled in float64."""
    state = build(MlpSpec(family="mlp", hidden=(30, 20), init=init), (1, 28, 28), 10, torch.float64).init(1)
    for layer, (out, fan_in) in enumerate(((30, 784), (20, 30), (10, 20))):
        name = f"layers.{layer}.weight"
        drawn = np.random.default_rng(derive(1, "init", name)).standard_normal((out, fan_in))
        assert torch.equal(state[name], torch.from_numpy(math.sqrt(gain2 / fan_in) * drawn))
        assert torch.equal(state[f"layers.{layer}.bias"], torch.zeros(out, dtype=torch.float64))


def test_initialisations_depend_on_the_seed_and_are_rounded_from_float64() -> None:
    spec = MlpSpec(family="mlp", hidden=(8,))
    double, single = (build(spec, SHAPE, 10, dtype).init(4) for dtype in (torch.float64, torch.float32))
    assert torch.equal(double["layers.0.weight"].float(), single["layers.0.weight"])
    assert not torch.equal(double["layers.0.weight"], build(spec, SHAPE, 10, torch.float64).init(5)["layers.0.weight"])


@pytest.mark.parametrize(("norm", "count"), [("none", 0), ("layer", 2), ("batch", 4)])
def test_names_of_parameters_and_buffers(norm: str, count: int) -> None:
    model = build(MlpSpec(family="mlp", hidden=(8, 6), norm=norm, bias=False), SHAPE, 10, torch.float32)
    shapes = {name: tuple(value.shape) for name, value in model.init(0).items()}
    entries = ("weight", "bias", "running_mean", "running_var")[:count]
    norms = {f"norms.{n}.{k}": (w,) for n, w in ((0, 8), (1, 6)) for k in entries}
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


def test_dropout_comes_after_the_activation_and_scales_what_it_keeps() -> None:
    model = build(MlpSpec(family="mlp", hidden=(7, 6), activation="tanh", dropout=0.4), SHAPE, 3, torch.float64)
    state, x = scattered(model, 2), random(1, 5, *SHAPE)
    numbers = {name: random(2, width, 5).abs().fmod(1) for name, width in (("layers.0", 7), ("layers.1", 6))}
    keep = {name: (value >= 0.4).double() / 0.6 for name, value in numbers.items()}
    assert all(0 < (value == 0).sum() < value.numel() for value in keep.values())
    for r in range(2):
        h = x[0].flatten(1)
        for layer in range(3):
            h = torch.nn.functional.linear(h, state[f"layers.{layer}.weight"][r], state[f"layers.{layer}.bias"][r])
            if layer < 2:
                h = torch.tanh(h) * keep[f"layers.{layer}"][r].t()
        found = model.forward(state, x, train=True, noise=Numbers(numbers))[r]
        torch.testing.assert_close(found, h, rtol=1e-12, atol=1e-12)


def test_dropout_does_nothing_in_evaluation_or_without_noise() -> None:
    spec = {"family": "mlp", "hidden": (7,)}
    model, plain = (build(MlpSpec(**spec, dropout=p), SHAPE, 3, torch.float64) for p in (0.5, 0.0))
    state, x = scattered(model), random(3, 5, *SHAPE)
    zero = Numbers({"layers.0": torch.zeros(3, 7, 5)})
    expected = plain.forward(state, x, train=True)
    assert torch.equal(model.forward(state, x, train=False, noise=zero), expected)
    assert torch.equal(model.forward(state, x, train=True), expected)
    assert not torch.equal(model.forward(state, x, train=True, noise=zero), expected)


ACTIVATION = {
    "relu": torch.nn.ReLU,
    "tanh": torch.nn.Tanh,
    "sigmoid": torch.nn.Sigmoid,
    "linear": torch.nn.Identity,
}
NORM = {"batch": torch.nn.BatchNorm1d, "layer": torch.nn.LayerNorm}


def plain(spec: MlpSpec, state: State, r: int, inputs: int) -> torch.nn.Sequential:
    """Replica ``r`` as a module; the n-th layer's modules are named as the state's entries are."""
    net, widths = torch.nn.Sequential(), [inputs, *spec.hidden, 3]
    for layer, (fan_in, out) in enumerate(pairwise(widths)):
        net.add_module(f"layers{layer}", torch.nn.Linear(fan_in, out, spec.bias))
        if layer < len(spec.hidden):
            if spec.norm != "none":
                net.add_module(f"norms{layer}", NORM[spec.norm](out, eps=spec.norm_eps))
            net.add_module(f"activation{layer}", ACTIVATION[spec.activation]())
    values = {name.replace(".", "", 1): value[r] for name, value in state.items()}
    counters = {name: value for name, value in net.state_dict().items() if name.endswith("num_batches_tracked")}
    net.double().load_state_dict(values | counters)
    return net


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(
    "settings",
    [
        {"hidden": (7, 6)},
        {"hidden": (7, 6), "activation": "tanh", "bias": False},
        {"hidden": (7, 6), "activation": "sigmoid", "norm": "layer", "norm_eps": 1e-3},
        {"hidden": (7, 6), "norm": "batch", "norm_eps": 1e-3},
        {"hidden": (7, 6, 5), "activation": "linear"},
        {"hidden": ()},
    ],
)
def test_every_replica_is_the_plain_network_and_so_are_its_gradients(
    settings: dict[str, Any], train: bool, shared: bool
) -> None:
    spec = MlpSpec(family="mlp", **settings)
    model = build(spec, (2, 3, 4), 3, torch.float64)
    state, x, push = scattered(model), random(1 if shared else 3, 9, 2, 3, 4), random(3, 9, 3, seed=1)
    nets = [plain(spec, state, r, 24).train(train) for r in range(3)]
    mine = leaves(model, state)
    outputs = model.forward(mine, x, train=train)
    (outputs * push).sum().backward()
    for r, net in enumerate(nets):
        expected = net(x[0 if shared else r].flatten(1))
        torch.testing.assert_close(outputs[r], expected, rtol=1e-10, atol=1e-10)
        (expected * push[r]).sum().backward()
        theirs = dict(net.named_parameters()) | dict(net.named_buffers())
        for name, value in mine.items():
            other = theirs[name.replace(".", "", 1)]
            pair = (value[r], other) if name in model.buffers else (value.grad[r], other.grad)
            torch.testing.assert_close(*pair, rtol=1e-10, atol=1e-10)


def test_layer_norm_of_equal_units_is_its_bias_when_eps_is_zero() -> None:
    model = build(MlpSpec(family="mlp", hidden=(4,), norm="layer", norm_eps=0), SHAPE, 3, torch.float64)
    state = scattered(model, 2) | {"layers.0.weight": torch.zeros(2, 4, 400), "layers.0.bias": torch.ones(2, 4)}
    state = leaves(model, {name: value.double() for name, value in state.items()})
    outputs = model.forward(state, random(1, 5, *SHAPE), train=True)
    h = torch.relu(state["norms.0.bias"])
    last = torch.einsum("roi,ri->ro", state["layers.1.weight"], h) + state["layers.1.bias"]
    torch.testing.assert_close(outputs, last.unsqueeze(1).expand(2, 5, 3))
    outputs.sum().backward()
    assert all(value.grad.isfinite().all() for value in state.values())


@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
@pytest.mark.parametrize("shared", [True, False])
def test_a_replica_does_not_depend_on_its_companions(norm: str, shared: bool) -> None:
    model = build(MlpSpec(family="mlp", hidden=(7, 6), norm=norm), SHAPE, 3, torch.float64)
    state, x = scattered(model), random(1 if shared else 3, 5, *SHAPE)
    together = model.forward({name: value.clone() for name, value in state.items()}, x, train=True)
    for r in range(3):
        alone = {name: value[r : r + 1].clone() for name, value in state.items()}
        found = model.forward(alone, x if shared else x[r : r + 1], train=True)
        torch.testing.assert_close(found[0], together[r], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_bfloat16_products_keep_outputs_near_and_gradients_float32(norm: str) -> None:
    model = build(MlpSpec(family="mlp", hidden=(32, 16), norm=norm), SHAPE, 3, torch.float32)
    state = leaves(model, {name: value.float() for name, value in scattered(model).items()})
    x = random(1, 20, *SHAPE).float()
    exact = model.forward({name: value.detach().clone() for name, value in state.items()}, x, train=True)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = model.forward(state, x, train=True)
    assert (outputs - exact).norm() < 0.02 * exact.norm()
    outputs.float().sum().backward()
    assert all(value.grad.dtype == torch.float32 for name, value in state.items() if name not in model.buffers)


def test_layer_norm_computes_in_the_weights_precision() -> None:
    z, weight, bias = random(2, 6, 5).bfloat16(), random(2, 6, seed=1).float(), random(2, 6, seed=2).float()
    assert torch.equal(layer_norm(z, weight, bias, 1e-5), layer_norm(z.float(), weight, bias, 1e-5))

"""Gradients that are written out by hand, against autograd through the model and the loss, in float64."""

import math
from collections.abc import Mapping
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from torch import Tensor

from symbreak.config.models import ModelSpec
from symbreak.config.specs import TrainingSpec
from symbreak.models.gradients import Dense, Gradient, Outer, Whole
from symbreak.models.model import Model, State, build
from symbreak.training import differentiate
from symbreak.training.differentiate import Analytic, Autograd, differentiator
from symbreak.training.losses import GRADIENTS, LOSSES
from symbreak.training.noise import StepNoise

SHAPE, CLASSES, REPLICAS, BATCH = (2, 3, 3), 4, 3, 5
DEPTHS = {0: (), 1: (6,), 2: (6, 5), 3: (6, 5, 7)}
NETWORKS: dict[str, dict[str, Any]] = {
    f"{activation}, {depth} hidden, {'bias' if bias else 'no bias'}": {
        "family": "mlp",
        "hidden": DEPTHS[depth],
        "activation": activation,
        "bias": bias,
    }
    for activation, depth, bias in product(("relu", "tanh", "erf", "sigmoid", "linear"), DEPTHS, (True, False))
} | {
    f"{neuron}-net": {"family": "gaussnet", "width": 7, "neuron": neuron, "sigma_w": 1.2, "sigma_b": 0.6}
    for neuron in ("gauss", "erf", "relu")
}
SHARING = {"shared batch": (1, 1), "own batches": (3, 3), "own labels": (1, 3), "own images": (3, 1)}


def network(settings: dict[str, Any], dtype: torch.dtype = torch.float64) -> Model:
    return build(TypeAdapter(ModelSpec).validate_python(settings), SHAPE, CLASSES, dtype)


def training(**more: Any) -> TrainingSpec:
    return TrainingSpec.model_validate({"steps": 1, "batch": None, "optimiser": {"name": "sgd", "lr": 0.1}} | more)


def random_state(model: Model, dtype: torch.dtype = torch.float64) -> State:
    """Every entry moved away from its initial value, so that no bias is zero."""
    replicas, draw = [model.init(seed) for seed in range(REPLICAS)], torch.Generator().manual_seed(1)
    stacked = {name: torch.stack([replica[name] for replica in replicas]) for name in replicas[0]}
    return {
        n: v + 0.3 * torch.randn(v.shape, generator=draw, dtype=torch.float64).to(dtype) for n, v in stacked.items()
    }


def batch(images: int = 1, labels: int = 1, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(2)
    x = torch.randn(images, BATCH, *SHAPE, generator=draw, dtype=torch.float64).to(dtype)
    return x, torch.randint(CLASSES, (labels, BATCH), generator=draw)


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(6), dtype=torch.float64)


def noise(replicas: int = REPLICAS) -> StepNoise:
    return StepNoise(range(replicas), 1, torch.device("cpu"))


def by_autograd(model: Model, state: State, x: Tensor, labels: Tensor, loss: str) -> tuple[Tensor, State]:
    """Each replica's loss and gradient from a graph of its own."""
    losses, found = [], []
    for r in range(REPLICAS):
        leaves = {name: value[r : r + 1].clone().requires_grad_() for name, value in state.items()}
        own = x if len(x) == 1 else x[r : r + 1]
        value = LOSSES[loss](model.forward(leaves, own, train=True), labels if len(labels) == 1 else labels[r : r + 1])
        value.mean().backward()
        losses.append(value.mean().detach())
        found.append({name: leaf.grad for name, leaf in leaves.items()})
    return torch.stack(losses), {name: torch.cat([gradients[name] for gradients in found]) for name in state}


def assert_near(found: Tensor, expected: Tensor, tolerance: float = 1e-10) -> None:
    """Each replica's entries agree relative to their length."""
    assert found.shape == expected.shape
    lengths = expected.flatten(1).norm(dim=1)
    assert (lengths > 0).all()
    assert ((found - expected).flatten(1).norm(dim=1) <= tolerance * lengths).all()


@pytest.mark.parametrize("sharing", SHARING)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("case", NETWORKS)
def test_gradients_are_those_of_autograd(case: str, loss: str, sharing: str) -> None:
    model = network(NETWORKS[case])
    state, (x, labels) = random_state(model), batch(*SHARING[sharing])
    given = {name: value.clone() for name, value in state.items()} | {"x": x.clone()}
    differentiate = differentiator(model, training(loss=loss, dtype="float64"))
    assert isinstance(differentiate, Analytic)
    losses, gradients, _ = differentiate(state, x, labels, noise())
    expected_losses, expected = by_autograd(model, state, x, labels, loss)
    torch.testing.assert_close(losses, expected_losses, rtol=1e-12, atol=0)
    assert gradients.keys() == state.keys()
    for name, gradient in gradients.items():
        assert_near(gradient.dense(), expected[name])
        for keep, scale in ((0.0, 1.0), (0.0, -0.3), (1.0, -0.3), (0.9, 1.0)):
            old = torch.full_like(state[name], math.nan) if keep == 0 else state[name]
            target = old.clone()
            gradient.add_to(target, keep=keep, scale=scale)
            assert_near(target, scale * expected[name] + (keep * old if keep else 0))
    assert all(torch.equal(value, given[name]) for name, value in (state | {"x": x}).items())


@pytest.mark.parametrize("case", ["tanh, 2 hidden, bias", "linear, 1 hidden, no bias", "gauss-net"])
@pytest.mark.parametrize("sharing", SHARING)
def test_by_hand_and_by_autograd_are_two_ways_to_the_same(case: str, sharing: str) -> None:
    model, spec = network(NETWORKS[case]), training(dtype="float64")
    assert model.stack is not None
    state, (x, labels) = random_state(model), batch(*SHARING[sharing])
    ways = (Analytic(model.stack, spec), Autograd(model, spec))
    (one, by_hand, _), (other, found, _) = (way(state, x, labels, noise()) for way in ways)
    torch.testing.assert_close(one, other, rtol=1e-12, atol=0)
    assert not any(value.requires_grad for value in (other, *state.values()))
    for name, gradient in found.items():
        assert_near(by_hand[name].dense(), gradient.dense())


@pytest.mark.parametrize("replicas", [1, 3])
@pytest.mark.parametrize("images", [1, 3])
def test_one_replica_and_one_example_are_no_special_case(replicas: int, images: int) -> None:
    images = min(images, replicas)
    delta = torch.arange(1.0, 1 + 2 * replicas).view(replicas, 2, 1)
    x = torch.arange(1.0, 1 + 3 * images).view(images, 3, 1)
    expected = delta * x.transpose(1, 2)
    gradient, target = Outer(delta, x), torch.ones(replicas, 2, 3)
    assert torch.equal(gradient.dense(), expected)
    gradient.add_to(target, keep=0.5, scale=2.0)
    assert torch.equal(target, 0.5 + 2 * expected)


@pytest.mark.parametrize("copies", [1, 2])
def test_a_target_that_is_no_block_is_changed_or_refused(copies: int) -> None:
    """A view that cannot be flattened must not be flattened into a copy, whose change would be lost."""
    gradient, target = Outer(torch.ones(2, 3, 1), torch.ones(copies, 4, 1)), torch.zeros(2, 4, 3).transpose(1, 2)
    try:
        gradient.add_to(target, keep=1.0, scale=1.0)
    except RuntimeError:
        return
    assert torch.equal(target, torch.ones(2, 3, 4))


def test_gradients_by_name_come_in_the_type_that_is_asked_for() -> None:
    gradients: Mapping[str, Gradient] = {
        "weight": Outer(torch.ones(2, 3, 4, dtype=torch.bfloat16), torch.ones(1, 5, 4, dtype=torch.bfloat16)),
        "bias": Whole(torch.ones(2, 3)),
    }
    dense = Dense(gradients, torch.float32)
    assert list(dense) == ["weight", "bias"]
    assert len(dense) == 2
    assert all(value.dtype == torch.float32 for value in dense.values())
    assert torch.equal(dense["weight"], torch.full((2, 3, 5), 4.0))


SIZES = st.integers(1, 4)


def size(gradient: Gradient) -> float:
    """The product of the factors' norms, as the guard of an ensemble's step takes them."""
    return math.prod(float(norm) for norm in torch._foreach_norm(list(gradient.factors())))


@settings(max_examples=60, deadline=None)
@given(
    replicas=SIZES,
    out=SIZES,
    fan_in=SIZES,
    samples=SIZES,
    shared=st.booleans(),
    alike=st.booleans(),
    seed=st.integers(0, 2**31),
    exponent=st.integers(-12, 12),
)
def test_no_replica_or_entry_exceeds_the_product_of_the_factors(
    replicas: int, out: int, fan_in: int, samples: int, shared: bool, alike: bool, seed: int, exponent: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    delta = torch.randn(replicas, out, samples, generator=draw, dtype=torch.float64) * 10.0**exponent
    x = torch.randn(1 if shared else replicas, fan_in, samples, generator=draw, dtype=torch.float64)
    if alike:  # factors of one direction, where the bound is sharp
        delta, x = delta[:, :, :1].expand_as(delta), x[:, :, :1].expand_as(x)
    for gradient in (Outer(delta, x), Whole(delta)):
        value = gradient.dense()
        bound = size(gradient) * (1 + 1e-12)
        assert value.norm() <= bound
        assert value.flatten(1).norm(dim=1).max() <= bound
        assert value.abs().max() <= bound


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_size_of_many_entries_is_not_lost_to_rounding(dtype: torch.dtype) -> None:
    delta, x = torch.ones(4, 100, 1000, dtype=dtype), torch.ones(1, 300, 1000, dtype=dtype)
    exact = 1000 * math.sqrt(4 * 100 * 300)
    assert size(Outer(delta, x)) == pytest.approx(exact, rel=2**-6)
    assert size(Whole(delta)) == pytest.approx(math.sqrt(delta.numel()), rel=2**-7)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e30])
@pytest.mark.parametrize("place", ["delta", "x"])
def test_a_size_sees_every_entry(place: str, bad: float) -> None:
    factors = {"delta": torch.ones(3, 2, 4), "x": torch.ones(3, 5, 4)}
    factors[place][1, 1, 3] = bad
    assert not size(Outer(**factors)) < 1e29
    assert not size(Whole(factors[place])) < 1e29


@pytest.mark.parametrize("labels", [1, 3])
@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_of_the_losses_are_those_of_autograd(loss: str, labels: int) -> None:
    outputs, (_, y) = 3 * drawn(3, BATCH, CLASSES), batch(1, labels)
    leaf = outputs.clone().requires_grad_()
    expected = LOSSES[loss](leaf, y)
    (slope,) = torch.autograd.grad(expected.mean(1).sum(), leaf)
    losses, delta = GRADIENTS[loss](outputs.transpose(1, 2).contiguous(), y)
    torch.testing.assert_close(losses, expected.detach(), rtol=1e-13, atol=1e-15)
    assert_near(delta, slope.transpose(1, 2), 1e-13)


EXTREMES = {
    "far ahead": [1e4, 0, 0, 0],
    "far behind": [-1e4, 0, 0, 0],
    "all far": [1e4, 1e4, -1e4, -1e4],
    "all equal": [1e30] * 4,
    "impossible, not the label": [0, -math.inf, 0, 0],
    "impossible label": [-math.inf, 0, 0, 0],
    "certain": [math.inf, 0, 0, 0],
    "certain, not the label": [0, math.inf, 0, 0],
    "all impossible": [-math.inf] * 4,
    "nan": [0, math.nan, 0, 0],
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", EXTREMES)
def test_extreme_logits_have_the_cross_entropy_of_log_softmax(case: str, dtype: torch.dtype) -> None:
    logits = torch.tensor(EXTREMES[case], dtype=dtype)
    leaf = logits.clone().requires_grad_()
    expected = -torch.log_softmax(leaf, 0)[0]
    (slope,) = torch.autograd.grad(expected, leaf)
    labels = torch.zeros(1, 1, dtype=torch.int64)
    losses, delta = GRADIENTS["cross_entropy"](logits.clone().view(1, 4, 1), labels)
    torch.testing.assert_close(losses[0, 0], expected.detach(), rtol=1e-6, atol=0, equal_nan=True)
    torch.testing.assert_close(LOSSES["cross_entropy"](logits.view(1, 1, 4), labels), losses, equal_nan=True)
    if expected.isfinite():
        torch.testing.assert_close(delta[0, :, 0], slope, rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize("loss", LOSSES)
def test_one_wild_example_spoils_its_own_replica_only(loss: str) -> None:
    outputs, (_, labels) = drawn(3, CLASSES, BATCH), batch()
    calm, slope = GRADIENTS[loss](outputs.clone(), labels)
    outputs[1, 0, 2] = math.nan
    losses, delta = GRADIENTS[loss](outputs, labels)
    assert losses[1, 2].isnan()
    assert delta[1, :, 2].isnan().any()
    assert torch.equal(losses[::2], calm[::2])
    assert torch.equal(delta[::2], slope[::2])


ROUND = 2.0**-8  # unit roundoff of bfloat16, whose significand has 8 bits
WIDE = {"family": "mlp", "hidden": (), "activation": "linear"}


def wide(hidden: tuple[int, ...], **more: Any) -> Model:
    """A network whose first layer is worth rounding: 64 pixels to at least 16 units."""
    spec = TypeAdapter(ModelSpec).validate_python(WIDE | {"hidden": hidden} | more)
    return build(spec, (1, 8, 8), 16, torch.float32)


def wide_batch(images: int = 1) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(3)
    return torch.randn(images, 32, 1, 8, 8, generator=draw), torch.randint(16, (1, 32), generator=draw)


def both(model: Model, state: State, x: Tensor, y: Tensor, loss: str = "mse") -> tuple[State, State]:
    """Gradients with products in bfloat16 and with products in float64."""
    rounded = differentiator(model, training(loss=loss, autocast="bfloat16"))(state, x, y, noise())[1]
    exact_state = {name: value.double() for name, value in state.items()}
    exact = differentiator(model, training(loss=loss, dtype="float64"))(exact_state, x.double(), y, noise())[1]
    return Dense(rounded, torch.float64), Dense(exact, torch.float64)


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_gradient_in_bfloat16_is_as_near_as_its_roundings_allow(loss: str, images: int) -> None:
    """One linear layer, entry by entry; u is bfloat16's roundoff.

    Outputs: factors and result are rounded, |dz| <= 3u |W||x| (1 + u)^2. Their gradient: for the squared error
    2 |dz| / (C B); for cross-entropy softmax p moves by at most p (exp(2 max |dz|) - 1). The weight's gradient: both
    factors and the result are rounded, |dG| <= sum_b (|d delta| + 3u |delta|) |x| (1 + u)^3. Sums are float32's.
    """
    model = wide(())
    assert model.stack is not None
    state, (x, labels) = random_state(model, torch.float32), wide_batch(images)
    found, exact = both(model, state, x, labels, loss)
    inputs = x.double().flatten(2).transpose(1, 2)
    weight = state["layers.0.weight"].double()
    outputs = weight @ inputs + state["layers.0.bias"].double().unsqueeze(2)
    off = 3 * ROUND * (1 + ROUND) ** 2 * (weight.abs() @ inputs.abs()) + 1e-5
    _, delta = GRADIENTS[loss](outputs.clone(), labels)
    if loss != "cross_entropy":
        moved = 2 * off / (16 * 32)
    else:
        moved = outputs.softmax(1) * torch.expm1(2 * off.amax(1, keepdim=True)) / 32
    reach = (moved + 3 * ROUND * delta.abs()) @ inputs.abs().transpose(1, 2) * (1 + ROUND) ** 3
    error = (found["layers.0.weight"] - exact["layers.0.weight"]).abs()
    assert (error <= reach + 1e-7).all()
    assert error.max() > 1e-5  # it is bfloat16
    assert ((found["layers.0.bias"] - exact["layers.0.bias"]).abs() <= moved.sum(2) + 1e-6).all()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ["relu", "tanh", "erf", "sigmoid", "linear"])
def test_deep_gradients_in_bfloat16_are_off_by_its_rounding(activation: str, loss: str) -> None:
    """At most four products, there and back, with three independent roundings each, u / sqrt(3) in root mean square.

    That makes 2 u, and twice that is allowed. A ReLU's units are kept from their kinks, where a rounding decides
    between a slope of 0 and 1.
    """
    model = wide((64, 64), activation=activation)
    state, (x, labels) = random_state(model, torch.float32), wide_batch()
    state = {name: value / 4 for name, value in state.items()}  # outputs of order one, so that no error is amplified
    if activation == "relu":
        state = {name: value / 10 for name, value in state.items()}
        for layer in (0, 1):
            state[f"layers.{layer}.bias"].add_(2 * (torch.arange(64) % 2) - 1)
    found, exact = both(model, state, x, labels, loss)
    for name in state:
        error = (found[name] - exact[name]).norm() / exact[name].norm()
        assert 1e-5 < error < 4 * ROUND


@pytest.mark.parametrize(("activation", "reach"), [("tanh", 3.5), ("sigmoid", 7.0)])
def test_slopes_of_saturated_units_are_not_rounded_to_zero(activation: str, reach: float) -> None:
    """In bfloat16 tanh(3.5) = 0.9982 is 1, whose slope 1 - h^2 would be zero and not 0.0036."""
    model = wide((64,), activation=activation)
    state, (x, labels) = random_state(model, torch.float32), wide_batch()
    state["layers.0.weight"].mul_(0.01)
    state["layers.0.bias"].copy_(reach + 0.1 * torch.rand(3, 64, generator=torch.Generator().manual_seed(4)))
    found, exact = both(model, state, x, labels)
    assert (found["layers.0.weight"] - exact["layers.0.weight"]).norm() < 4 * ROUND * exact["layers.0.weight"].norm()


def test_biases_and_their_gradients_are_not_rounded() -> None:
    """Without weights a network is its bias; its gradient is summed before any factor of a product is rounded."""
    model = wide(())
    state, (x, labels) = random_state(model, torch.float32), wide_batch()
    state["layers.0.weight"].zero_()
    rounded, exact = (
        differentiator(model, training(autocast=autocast))(state, x, labels, noise())
        for autocast in ("bfloat16", "none")
    )
    assert torch.equal(rounded[0], exact[0])
    assert torch.equal(rounded[1]["layers.0.bias"].dense(), exact[1]["layers.0.bias"].dense())


def test_small_layers_are_left_in_float32() -> None:
    """The last layer, 16 x 63 = 1008 weights, is below the limit; one unit more puts it at 1024."""
    for hidden, types in ((63, [torch.bfloat16, torch.float32]), (64, [torch.bfloat16, torch.bfloat16])):
        model = wide((hidden,))
        state, (x, labels) = random_state(model, torch.float32), wide_batch()
        _, gradients, _ = differentiator(model, training(autocast="bfloat16"))(state, x, labels, noise())
        factors = [gradients[f"layers.{layer}.weight"] for layer in (0, 1)]
        assert [gradient.delta.dtype for gradient in factors if isinstance(gradient, Outer)] == types
        assert all(gradients[f"layers.{layer}.bias"].dense().dtype == torch.float32 for layer in (0, 1))
    assert differentiate.WORTH_ROUNDING == 1024


def test_small_networks_are_the_same_with_and_without_bfloat16() -> None:
    model = network(NETWORKS["tanh, 2 hidden, bias"], torch.float32)
    state, (x, labels) = random_state(model, torch.float32), batch(dtype=torch.float32)
    one, other = (
        differentiator(model, training(autocast=autocast))(state, x, labels, noise())[1]
        for autocast in ("none", "bfloat16")
    )
    assert all(torch.equal(one[name].dense(), other[name].dense()) for name in state)


def test_rounded_weights_are_those_of_the_last_change() -> None:
    model = wide((64,), activation="tanh")
    state, (x, labels) = random_state(model, torch.float32), wide_batch()
    used = differentiator(model, training(autocast="bfloat16"))
    stale = used(state, x, labels, noise())[0]
    for value in state.values():
        value.mul_(0.5)
    used.changed(state)
    losses, gradients, _ = used(state, x, labels, noise())
    fresh_losses, fresh, _ = differentiator(model, training(autocast="bfloat16"))(state, x, labels, noise())
    assert torch.equal(losses, fresh_losses)
    assert not torch.equal(losses, stale)
    assert all(torch.equal(gradients[name].dense(), fresh[name].dense()) for name in state)


@pytest.mark.parametrize("keep", [0.0, 1.0, 0.9])
@pytest.mark.parametrize("copies", [1, 3])
def test_factors_in_bfloat16_are_added_to_float32_without_rounding_it(keep: float, copies: int) -> None:
    draw = torch.Generator().manual_seed(5)
    delta, x = torch.randn(3, 4, 6, generator=draw).bfloat16(), torch.randn(copies, 5, 6, generator=draw).bfloat16()
    gradient, old = Outer(delta, x), torch.randn(3, 4, 5, generator=draw)
    target = torch.full_like(old, math.nan) if keep == 0 else old.clone()
    gradient.add_to(target, keep=keep, scale=-0.1)
    exact = delta.double() @ x.double().transpose(1, 2)
    expected = (keep * old.double() if keep else 0) - 0.1 * exact
    size = delta.double().abs() @ x.double().abs().transpose(1, 2)
    assert ((target - expected).abs() <= 0.1 * ROUND * size + 1e-6).all()

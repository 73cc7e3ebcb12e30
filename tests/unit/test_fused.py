"""The compiled loops of last layers, against torch's and numpy's own in float64."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numba import njit
from torch import Tensor

from symbreak.config.specs import TrainingSpec
from symbreak.errors import SymbreakError
from symbreak.models.activations import ACTIVATIONS, EXPONENTIAL, Activation
from symbreak.models.backward import Pass
from symbreak.models.gradients import Shared, Whole
from symbreak.models.kernels.head import exponential
from symbreak.models.model import State
from symbreak.models.stack import Stack
from symbreak.training import fused
from symbreak.training.differentiate import Analytic
from symbreak.training.losses import GRADIENTS, LOSSES

NEURONS = ACTIVATIONS | {"exp": EXPONENTIAL}
# replicas, widths (inputs, hidden layers, classes) and batch: none of them a multiple of what a register holds
SHAPES: dict[str, tuple[int, tuple[int, ...], int]] = {
    "the common one": (3, (6, 10, 10), 128),
    "ragged": (2, (5, 7, 3), 13),
    "one replica, one example": (1, (4, 6, 5), 1),
    "one class": (2, (4, 5, 1), 9),
    "one hidden unit": (2, (4, 1, 4), 65),
    "two hidden layers": (3, (5, 4, 9, 6), 17),
    "more samples than one logarithm": (2, (3, 4, 11), 130),
}


def network(shape: str, dtype: torch.dtype = torch.float64, *, bias: bool = True, size: float = 0.4) -> State:
    replicas, widths, _ = SHAPES[shape]
    draw, state = torch.Generator().manual_seed(1), State()
    for layer, (fan_in, out) in enumerate(pairwise(widths)):
        for name, axes in (("weight", (out, fan_in)), *((("bias", (out,)),) if bias else ())):
            value = size * torch.randn(replicas, *axes, generator=draw, dtype=torch.float64)
            state[f"layers.{layer}.{name}"] = value.to(dtype)
    return state


def batch(shape: str, *, own: bool = False, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    (replicas, widths, samples), draw = SHAPES[shape], torch.Generator().manual_seed(2)
    copies = replicas if own else 1
    x = torch.randn(copies, samples, 1, 1, widths[0], generator=draw, dtype=torch.float64)
    return x.to(dtype), torch.randint(widths[-1], (copies, samples), generator=draw)


def stack(shape: str, activation: Activation) -> Stack:
    return Stack(len(SHAPES[shape][1]) - 1, activation)


def by_autograd(state: State, activation: Activation, x: Tensor, labels: Tensor, loss: str) -> tuple[Tensor, State]:
    leaves = {name: value.clone().requires_grad_() for name, value in state.items()}
    h, depth = x.flatten(2), sum(name.endswith("weight") for name in state)
    for layer in range(depth):
        h = h @ leaves[f"layers.{layer}.weight"].transpose(1, 2)
        if f"layers.{layer}.bias" in leaves:
            h = h + leaves[f"layers.{layer}.bias"].unsqueeze(1)
        h = activation.value(h) if layer < depth - 1 else h
    losses = LOSSES[loss](h, labels).mean(1)
    losses.sum().backward()
    return losses.detach(), {name: leaf.grad for name, leaf in leaves.items()}


def run(state: State, activation: Activation, shape: str, x: Tensor, labels: Tensor, loss: str) -> tuple[Tensor, State]:
    with torch.no_grad():
        losses, found, _ = fused.Fused(stack(shape, activation), state, loss)(state, x, labels)
    return losses, {name: gradient.dense() for name, gradient in found.items()}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", NEURONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_losses_and_gradients_are_those_of_autograd(
    shape: str, activation: str, loss: str, own: bool, bias: bool
) -> None:
    state, (x, labels) = network(shape, bias=bias), batch(shape, own=own)
    given = {name: value.clone() for name, value in state.items()} | {"x": x.clone()}
    losses, found = run(state, NEURONS[activation], shape, x, labels, loss)
    expected_losses, expected = by_autograd(state, NEURONS[activation], x, labels, loss)
    torch.testing.assert_close(losses, expected_losses, rtol=1e-12, atol=1e-15)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-10, atol=1e-12)
    assert all(torch.equal(value, given[name]) for name, value in (state | {"x": x}).items())


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_float32_is_as_near_as_its_rounding(activation: str, loss: str) -> None:
    shape = "the common one"
    state, (x, labels) = network(shape, torch.float32), batch(shape, dtype=torch.float32)
    losses, found = run(state, NEURONS[activation], shape, x, labels, loss)
    wide = {name: value.double() for name, value in state.items()}
    exact_losses, exact = by_autograd(wide, NEURONS[activation], x.double(), labels, loss)
    assert losses.dtype == torch.float32
    torch.testing.assert_close(losses.double(), exact_losses, rtol=1e-6, atol=0)
    for name, value in exact.items():
        assert found[name].dtype == torch.float32
        assert (found[name] - value).norm() <= 1e-6 * value.norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
@pytest.mark.parametrize("own", [False, True])
def test_a_replica_has_the_same_bytes_in_any_company(own: bool, activation: str, loss: str, dtype: torch.dtype) -> None:
    """Of the loop itself: the product before it is torch's, which may take another order for another size."""
    draw = torch.Generator().manual_seed(3)
    h = torch.randn(4, 7, 21, generator=draw, dtype=torch.float64).to(dtype)
    state = {
        "layers.0.bias": torch.randn(4, 7, generator=draw, dtype=torch.float64).to(dtype),
        "layers.1.weight": torch.randn(4, 5, 7, generator=draw, dtype=torch.float64).to(dtype),
        "layers.1.bias": torch.randn(4, 5, generator=draw, dtype=torch.float64).to(dtype),
    }
    labels = torch.randint(5, (4 if own else 1, 21), generator=draw)

    def tensors(chosen: list[int]) -> list[Tensor]:
        part = {name: value[chosen] for name, value in state.items()}
        own_labels = labels[chosen] if own else labels
        head = fused.LastLayer(Stack(2, ACTIVATIONS[activation]), part, loss)(h[chosen], own_labels)
        also = [head.summed.value] if activation == "relu" else []
        gradients = [gradient.dense() for gradient in head.gradients.values()]
        return [head.losses, head.delta, *also, *gradients]

    together = tensors([0, 1, 2, 3])
    for company in ([2], [3, 2], [2, 0, 1]):
        place = company.index(2)
        for all_of_them, found in zip(together, tensors(company), strict=True):
            assert torch.equal(all_of_them[2], found[place])


EXTREMES = {
    "far ahead": [1e4, 0, 0, 0],
    "far behind": [-1e4, 0, 0, 0],
    "all far": [1e4, 1e4, -1e4, -1e4],
    "all equal": [1e30] * 4,
    "at the edge of underflow": [0, -86.9, -87.1, -120],
    "impossible, not the label": [0, -math.inf, 0, 0],
    "impossible label": [-math.inf, 0, 0, 0],
    "certain": [math.inf, 0, 0, 0],
    "all impossible": [-math.inf] * 4,
    "nan": [0, math.nan, 0, 0],
    "nan first": [math.nan, 0, 0, 0],
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", EXTREMES)
@pytest.mark.parametrize("loss", LOSSES)
def test_extreme_outputs_have_the_losses_of_torch(loss: str, case: str, dtype: torch.dtype) -> None:
    """Outputs are biases, as all weights are zero."""
    outputs = torch.tensor([EXTREMES[case]], dtype=dtype)
    state = {"layers.1.weight": torch.zeros(1, 4, 3, dtype=dtype), "layers.1.bias": outputs}
    labels = torch.zeros(1, 1, dtype=torch.int64)
    zeros = torch.zeros(1, 3, 1, dtype=dtype)
    head = fused.LastLayer(Stack(2, ACTIVATIONS["tanh"]), state, loss)(zeros, labels)
    expected, slope = GRADIENTS[loss](outputs.clone().unsqueeze(2), labels)
    torch.testing.assert_close(head.losses, expected[:, 0], rtol=1e-6, atol=0, equal_nan=True)
    if expected.isfinite().all():
        torch.testing.assert_close(head.gradients["layers.1.bias"].dense(), slope[:, :, 0], rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ["relu", "tanh", "linear"])
@pytest.mark.parametrize("place", ["layers.0.bias", "layers.1.weight", "layers.1.bias"])
def test_what_is_not_finite_reaches_the_loss_of_its_replica_only(
    place: str, activation: str, loss: str, bad: float
) -> None:
    shape = "the common one"
    state, (x, labels) = network(shape), batch(shape)
    calm, slopes = run(state, NEURONS[activation], shape, x, labels, loss)
    state[place][1, 2] = bad
    losses, found = run(state, NEURONS[activation], shape, x, labels, loss)
    expected, _ = by_autograd(state, NEURONS[activation], x, labels, loss)
    assert losses[1].isfinite() == expected[1].isfinite()
    assert losses[1].isfinite() == (place == "layers.0.bias" and not math.isnan(bad) and _bounded(activation, bad))
    assert torch.equal(losses[::2], calm[::2])
    assert all(torch.equal(value[::2], slopes[name][::2]) for name, value in found.items())


def _bounded(activation: str, bad: float) -> bool:
    return activation == "tanh" or (activation == "relu" and bad < 0)


@pytest.mark.parametrize("wrong", [-1, 10, 2**40])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_label_without_an_output_is_refused(loss: str, wrong: int) -> None:
    state, (x, labels) = network("the common one"), batch("the common one")
    labels[0, 77] = wrong
    with pytest.raises(SymbreakError, match=rf"{wrong}.*10 outputs"):
        run(state, ACTIVATIONS["relu"], "the common one", x, labels, loss)


def test_labels_may_be_views_with_gaps() -> None:
    shape = "ragged"
    state, (x, labels) = network(shape), batch(shape, own=True)
    expected_losses, expected = run(state, ACTIVATIONS["relu"], shape, x, labels, "mse")
    losses, found = run(state, ACTIVATIONS["relu"], shape, x, labels.repeat_interleave(3, dim=1)[:, ::3], "mse")
    assert torch.equal(losses, expected_losses)
    assert all(torch.equal(value, expected[name]) for name, value in found.items())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", ["the common one", "ragged", "one hidden unit"])
def test_the_size_is_the_norm_of_all_that_the_loop_wrote_and_that_of_the_inputs(shape: str, bias: bool) -> None:
    state, (x, labels) = network(shape, bias=bias), batch(shape)
    found = fused.Fused(stack(shape, ACTIVATIONS["relu"]), state, "mse")(state, x, labels)
    first = found.gradients["layers.0.weight"]
    assert isinstance(first, Shared) and found.size is not None
    wholes = [gradient.value for gradient in found.gradients.values() if isinstance(gradient, Whole)]
    written = torch.cat([part.flatten() for part in (found.losses, first.delta, *wholes)])
    expected = float(written.norm() + x.norm())
    if bias:
        assert found.size == pytest.approx(expected, rel=1e-12)
    assert found.size >= expected * (1 - 1e-12)  # sums over the batch are in it, be there biases or not


def test_the_size_of_other_networks_is_left_open() -> None:
    for shape, activation, own in (
        ("ragged", "tanh", False),
        ("two hidden layers", "relu", False),
        ("ragged", "relu", True),
    ):
        state, (x, labels) = network(shape), batch(shape, own=own)
        assert fused.Fused(stack(shape, ACTIVATIONS[activation]), state, "mse")(state, x, labels).size is None


@njit
def _exponentials(x: Any, out: Any) -> None:
    for i in range(len(x)):
        out[i] = exponential(x[i])


@pytest.mark.parametrize(("dtype", "least"), [(np.float32, -87.0), (np.float64, -708.0)])
def test_exponentials_are_within_a_unit_in_the_last_place(dtype: Any, least: float) -> None:
    x = np.concatenate([np.linspace(least, 0, 200_001), -np.geomspace(1e-30, 1, 20_001)]).astype(dtype)
    found = np.empty_like(x)
    _exponentials(x, found)
    exact = np.exp(x.astype(np.longdouble))
    assert np.finfo(np.longdouble).eps < np.finfo(dtype).eps / 100
    assert (np.abs(found - exact) <= np.spacing(exact.astype(dtype))).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exponentials_at_the_ends(dtype: Any) -> None:
    x = np.array([0, -0.0, -1e4, -1e30, -math.inf, math.nan], dtype)
    found = np.empty_like(x)
    _exponentials(x, found)
    np.testing.assert_array_equal(found, np.array([1, 1, 0, 0, 0, math.nan], dtype))


def test_exponentials_are_for_compiled_code_only() -> None:
    with pytest.raises(NotImplementedError, match=r"numpy\.exp"):
        exponential(-1.0)


@pytest.mark.parametrize(
    ("change", "expected"),
    [({}, True), ({"depth": 1}, False), ({"dtype": torch.float16}, False), ({"classes": 52}, False),
     ({"device": "meta"}, False), ({"classes": 51}, True)],
)  # fmt: skip
def test_the_loop_is_for_small_last_layers_on_a_cpu(change: dict[str, Any], expected: bool) -> None:
    case: dict[str, Any] = {"depth": 2, "dtype": torch.float32, "classes": 10, "device": "cpu"} | change
    weight = torch.zeros(2, case["classes"], 10, dtype=case["dtype"], device=case["device"])
    state = {f"layers.{case['depth'] - 1}.weight": weight}
    assert fused.applies(Stack(case["depth"], ACTIVATIONS["relu"]), state) is expected


def test_every_loss_has_a_target() -> None:
    assert fused.TARGETS.keys() == LOSSES.keys()


@pytest.mark.parametrize("loss", LOSSES)
def test_both_sides_of_the_limit_compute_the_same(loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = "two hidden layers"
    state, (x, labels) = network(shape), batch(shape)
    spec = TrainingSpec.model_validate(
        {"steps": 1, "batch": None, "optimiser": {"name": "sgd", "lr": 0.1}, "loss": loss, "dtype": "float64"}
    )
    ways = []
    for small in (512, 0):
        monkeypatch.setattr(fused, "SMALL", small)
        with torch.no_grad():
            ways.append(Analytic(stack(shape, ACTIVATIONS["tanh"]), spec)(state, x, labels, None))  # type: ignore[arg-type]
    (one, by_loop, _), (other, by_torch, _) = ways
    torch.testing.assert_close(one, other, rtol=1e-13, atol=0)
    assert [type(found["layers.2.weight"]) is Whole for found in (by_loop, by_torch)] == [True, False]
    for name, gradient in by_loop.items():
        torch.testing.assert_close(gradient.dense(), by_torch[name].dense(), rtol=1e-11, atol=1e-14)


def test_a_pass_goes_back_from_any_layer() -> None:
    """From the last, or from that below with the sum over the batch that it would take."""
    shape, activation = "two hidden layers", ACTIVATIONS["erf"]
    state, (x, labels) = network(shape), batch(shape)
    with torch.no_grad():
        whole = Pass(stack(shape, activation), state, state)
        _, delta = GRADIENTS["mse"](whole.forward(x), labels)
        expected = whole.backward(delta)
        way = Pass(stack(shape, activation), state, state)
        z = way.product(x, 1)
        h = way.activated(z, 1)
        back = activation.backward_(torch.bmm(state["layers.2.weight"].transpose(1, 2), delta), z, h)
        found = way.backward(back, 1, back.sum(2))
    assert found.keys() == {name for name in expected if "layers.2" not in name}
    assert all(torch.equal(gradient.dense(), expected[name].dense()) for name, gradient in found.items())


@pytest.mark.parametrize("keep", [0.0, 1.0, 0.9])
def test_bfloat16_is_added_to_float32_as_in_float64(keep: float) -> None:
    draw = torch.Generator().manual_seed(5)
    value = torch.randn(3, 5, 7, generator=draw).bfloat16()
    value[0, 0, :4] = torch.tensor([math.inf, -math.inf, math.nan, -0.0])
    old = torch.randn(3, 5, 7, generator=draw)
    target = torch.full_like(old, math.nan) if keep == 0 else old.clone()
    Whole(value).add_to(target, keep=keep, scale=-0.1)
    expected = (keep * old.double() if keep else 0) - 0.1 * value.double()
    torch.testing.assert_close(target.double(), expected, rtol=3e-7, atol=3e-8, equal_nan=True)


def test_bfloat16_is_added_to_views_too() -> None:
    """These are torch's: the loop takes blocks only."""
    value, base = torch.ones(2, 3, 4).bfloat16(), torch.zeros(2, 4, 3)
    Whole(value).add_to(base.transpose(1, 2), keep=1.0, scale=2.0)
    assert torch.equal(base, torch.full((2, 4, 3), 2.0))

import re

import numpy as np
import pytest
import torch
from disturbed import disturbed
from torch import Tensor
from torch.nn import functional as F

from symbreak.config.models import VggSpec
from symbreak.errors import SymbreakError
from symbreak.models.model import State
from symbreak.models.vgg import build
from symbreak.seeding import derive

SHAPE, CLASSES, BATCH = (2, 9, 8), 3, 6
LAYERS = [["stages.0.0"], ["stages.1.0", "stages.1.1"]]
VARIANTS = [(norm, hidden, drop) for norm in ("batch", "none") for hidden in ((), (7, 5)) for drop in (0.0, 0.4)]


class FixedNoise:
    """Numbers that depend on their name alone."""

    def uniform(self, name: str, shape: tuple[int, ...]) -> Tensor:
        drawn = np.random.default_rng(derive(0, name)).random(shape)
        return torch.from_numpy(drawn).unsqueeze(0)


def variant(norm: str, hidden: tuple[int, ...], dropout: float) -> VggSpec:
    return VggSpec(family="vgg", stages=((4,), (6, 5)), hidden=hidden, norm=norm, dropout=dropout)


def batch(dtype: torch.dtype = torch.float64, shape: tuple[int, int, int] = SHAPE) -> Tensor:
    return torch.randn(1, BATCH, *shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(dtype)


def plain(spec: VggSpec, parameters: State, h: Tensor, *, train: bool) -> Tensor:
    """The same network in PyTorch's functions; ``parameters`` without replica axis, ``h`` ``[B, C, H, W]``."""
    for stage in LAYERS:
        for at in stage:
            h = F.conv2d(h, parameters[f"{at}.conv.weight"], parameters.get(f"{at}.conv.bias"), padding=1)
            if spec.norm == "batch":
                mean, var, weight, bias = (
                    parameters[f"{at}.norm.{key}"] for key in ("running_mean", "running_var", "weight", "bias")
                )
                h = F.batch_norm(h, mean, var, weight, bias, train, 0.1, spec.norm_eps)
            h = F.relu(h)
        h = F.max_pool2d(h, 2, 2)
    h = h.reshape(len(h), -1)
    for layer in range(len(spec.hidden)):
        h = F.relu(F.linear(h, parameters[f"hidden.{layer}.weight"], parameters[f"hidden.{layer}.bias"]))
        if train and spec.dropout:
            keep = FixedNoise().uniform(f"hidden.{layer}", tuple(h.shape))[0] >= spec.dropout
            h = torch.where(keep, h / (1 - spec.dropout), 0)
    return F.linear(h, parameters["head.weight"], parameters["head.bias"])


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("norm", "hidden", "dropout"), VARIANTS)
def test_every_variant_is_its_plain_network(norm: str, hidden: tuple[int, ...], dropout: float) -> None:
    spec = variant(norm, hidden, dropout)
    model, x = build(spec, SHAPE, CLASSES, torch.float64), batch()
    state = disturbed(model)
    copy = {name: value.detach()[0].clone().requires_grad_(value.requires_grad) for name, value in state.items()}

    found = model.forward(state, x, train=True, noise=FixedNoise())
    expected = plain(spec, copy, x[0], train=True)
    close(found[0], expected)
    found.square().sum().backward()
    expected.square().sum().backward()
    for name in state:
        if name in model.buffers:
            close(state[name][0], copy[name])
        else:
            close(state[name].grad[0], copy[name].grad)

    evaluated = model.forward(state, x, train=False, noise=FixedNoise())
    close(evaluated[0], plain(spec, copy, x[0], train=False))


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (2, 9, 8)])
@pytest.mark.parametrize(("norm", "hidden", "dropout"), VARIANTS)
def test_every_parameter_can_be_trained_on_images_of_any_size(
    norm: str, hidden: tuple[int, ...], dropout: float, shape: tuple[int, int, int]
) -> None:
    model = build(variant(norm, hidden, dropout), shape, CLASSES, torch.float32)
    state = {n: v.unsqueeze(0).requires_grad_(n not in model.buffers) for n, v in model.init(0).items()}
    outputs = model.forward(state, batch(torch.float32, shape), train=True, noise=FixedNoise())
    assert outputs.shape == (1, BATCH, CLASSES)
    outputs.square().sum().backward()
    for name in state.keys() - model.buffers:
        assert state[name].grad.isfinite().all(), name
        assert state[name].grad.abs().max() > 1e-6, name


@pytest.mark.parametrize(("norm", "hidden", "dropout"), VARIANTS)
def test_autocast_is_near_float32(norm: str, hidden: tuple[int, ...], dropout: float) -> None:
    model, x = build(variant(norm, hidden, dropout), SHAPE, CLASSES, torch.float32), batch(torch.float32)
    wide, narrow = disturbed(model, torch.float32), disturbed(model, torch.float32)
    expected = model.forward(wide, x, train=True, noise=FixedNoise()).detach()
    with torch.autocast("cpu", torch.bfloat16):
        found = model.forward(narrow, x, train=True, noise=FixedNoise())
    found.float().square().sum().backward()
    assert found.dtype == torch.bfloat16
    # 2^-9 is bfloat16's rounding; half a dozen layers add some of it up
    torch.testing.assert_close(found.float(), expected, rtol=0, atol=8 * 2**-9 * float(expected.abs().max()))
    assert {value.dtype for value in narrow.values()} == {torch.float32}
    assert all(narrow[name].grad.isfinite().all() for name in narrow.keys() - model.buffers)


def test_dropout_needs_noise_and_training() -> None:
    model, x = build(variant("none", (7, 5), 0.4), SHAPE, CLASSES, torch.float64), batch()
    state = disturbed(model)
    whole = model.forward(state, x, train=True)
    assert torch.equal(model.forward(state, x, train=False, noise=FixedNoise()), whole)
    assert not torch.allclose(model.forward(state, x, train=True, noise=FixedNoise()), whole)


def test_training_moves_the_running_statistics_and_evaluation_does_not() -> None:
    model = build(variant("batch", (), 0.0), SHAPE, CLASSES, torch.float64)
    state = {name: value.unsqueeze(0) for name, value in model.init(0).items()}
    before = {name: value.clone() for name, value in state.items()}
    model.forward(state, batch(), train=False)
    assert all(torch.equal(state[name], before[name]) for name in state)
    model.forward(state, batch(), train=True)
    assert {name for name in state if not torch.equal(state[name], before[name])} == model.buffers
    normed = [f"{at}.norm" for stage in LAYERS for at in stage]
    assert model.buffers == {f"{at}.{key}" for at in normed for key in ("running_mean", "running_var")}


def test_an_image_too_small_for_the_poolings_is_refused() -> None:
    five = VggSpec(family="vgg")
    expected = "'stages' has 5 entries, each with a max-pooling by 2, but images of 28x33 allow 4; give at most 4"
    with pytest.raises(SymbreakError, match=re.escape(expected)):
        build(five, (3, 28, 33), 10, torch.float32)


def test_a_pooling_down_to_one_pixel_is_not_refused() -> None:
    model = build(VggSpec(family="vgg", stages=((2,),) * 3), (1, 8, 15), CLASSES, torch.float64)
    assert model.init(0)["head.weight"].shape == (CLASSES, 2)


def test_initial_values_have_the_scheme_s_variance() -> None:
    spec = VggSpec(family="vgg", stages=((64,), (64,)), hidden=(128,))
    state = build(spec, (3, 8, 8), 40, torch.float64).init(0)
    variances = {"stages.1.0.conv": 2 / (64 * 9), "hidden.0": 2 / 128, "head": 1 / 128}
    for name, variance in variances.items():
        weight = state[f"{name}.weight"]
        relative = float(weight.square().mean()) / variance
        assert relative == pytest.approx(1, abs=5 * (2 / weight.numel()) ** 0.5)


def test_initial_values_can_be_given() -> None:
    given = {"stages.1.1.norm.bias": {"mean": 0.5}, "head.weight": {"std": 0.0}}
    spec = VggSpec.model_validate({"family": "vgg", "stages": [[4], [6, 5]], "initial": given})
    state = build(spec, SHAPE, CLASSES, torch.float64).init(0)
    original = build(variant("batch", (), 0.0), SHAPE, CLASSES, torch.float64).init(0)
    assert (state["stages.1.1.norm.bias"] == 0.5).all()
    assert not state["head.weight"].any()
    assert all(torch.equal(state[name], original[name]) for name in original.keys() - given.keys())
    with pytest.raises(SymbreakError, match=r"'initial' names \['stages\.0\.0\.conv\.bias'\]"):
        wrong = {"family": "vgg", "stages": [[4]], "initial": {"stages.0.0.conv.bias": {}}}
        build(VggSpec.model_validate(wrong), SHAPE, CLASSES, torch.float64)

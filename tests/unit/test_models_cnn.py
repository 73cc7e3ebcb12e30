import re

import numpy as np
import pytest
import torch
from disturbed import disturbed
from samples_at_once import assert_as_in_a_loop
from torch import Tensor, nn

from symbreak.config.models import CnnSpec
from symbreak.errors import SymbreakError
from symbreak.models.cnn import build
from symbreak.models.model import Noise
from symbreak.probes.network import of_model
from symbreak.seeding import derive

SHAPE, CLASSES, BATCH = (2, 9, 12), 3, 6
PLAIN = {"relu": torch.relu, "tanh": torch.tanh, "erf": torch.erf, "sigmoid": torch.sigmoid, "linear": lambda z: z}
VARIANTS = {
    "as it comes": {},
    "BatchNorm": {"norm": "batch"},
    "LayerNorm": {"norm": "layer", "norm_eps": 0.01},
    "LayerNorm, tanh, no pooling": {"norm": "layer", "activation": "tanh", "pool": 1},
    "BatchNorm, dropout": {"norm": "batch", "dropout": 0.4, "hidden": (7, 5)},
    "pooling by 3, kernel 5, erf": {"pool": 3, "kernel": 5, "activation": "erf"},
    "pixel by pixel, sigmoid": {"kernel": 1, "activation": "sigmoid", "hidden": (4,)},
    "linear": {"activation": "linear", "hidden": (4,)},
    "one convolution": {"channels": (4,), "dropout": 0.2},
}


class FixedNoise:
    """Numbers that depend on their name alone."""

    def uniform(self, name: str, shape: tuple[int, ...]) -> Tensor:
        drawn = np.random.default_rng(derive(0, name)).random(shape)
        return torch.from_numpy(drawn).unsqueeze(0)


class PlainCnn(nn.Module):
    def __init__(self, spec: CnnSpec) -> None:
        super().__init__()
        self.spec = spec
        self.convs, self.norms, self.hidden = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        channels, height, width = SHAPE
        for out in spec.channels:
            self.convs.append(nn.Conv2d(channels, out, spec.kernel, padding="same", bias=spec.norm != "batch"))
            norms = {
                "batch": nn.BatchNorm2d(out, eps=spec.norm_eps),
                "layer": nn.LayerNorm([out, height, width], eps=spec.norm_eps),
                "none": nn.Identity(),
            }
            self.norms.append(norms[spec.norm])
            channels, height, width = out, height // spec.pool, width // spec.pool
        features = channels * height * width
        for out in spec.hidden:
            self.hidden.append(nn.Linear(features, out))
            features = out
        self.head = nn.Linear(features, CLASSES)

    def forward(self, h: Tensor, noise: Noise | None = None) -> Tensor:
        activation, p = PLAIN[self.spec.activation], self.spec.dropout
        for conv, norm in zip(self.convs, self.norms, strict=True):
            h = nn.functional.max_pool2d(activation(norm(conv(h))), self.spec.pool)
        h = h.flatten(1)
        for layer, dense in enumerate(self.hidden):
            h = activation(dense(h))
            if noise is not None:
                h = torch.where(noise.uniform(f"hidden.{layer}", tuple(h.shape))[0] >= p, h / (1 - p), 0)
        return self.head(h)


def variant(name: str, **keys: object) -> CnnSpec:
    return CnnSpec.model_validate({"family": "cnn", "channels": (4, 6), **VARIANTS[name], **keys})


def batch(dtype: torch.dtype = torch.float64, shape: tuple[int, int, int] = SHAPE) -> Tensor:
    return torch.randn(1, BATCH, *shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(dtype)


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_is_its_plain_module(name: str) -> None:
    spec, x, noise = variant(name), batch(), FixedNoise()
    model, plain = build(spec, SHAPE, CLASSES, torch.float64), PlainCnn(spec).double()
    state = disturbed(model)
    missing, unexpected = plain.load_state_dict({n: v.detach()[0].clone() for n, v in state.items()}, strict=False)
    assert not unexpected
    assert all(n.endswith("num_batches_tracked") for n in missing)

    found, expected = model.forward(state, x, train=True, noise=noise), plain(x[0], noise)
    close(found[0], expected)
    found.square().sum().backward()
    expected.square().sum().backward()
    for parameter, value in plain.named_parameters():
        close(state[parameter].grad[0], value.grad)
    for buffer in model.buffers:
        close(state[buffer][0], plain.get_buffer(buffer))

    plain.eval()
    close(model.forward(state, x, train=False, noise=noise)[0], plain(x[0]))


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 10, 9)])
@pytest.mark.parametrize("name", VARIANTS)
def test_every_parameter_can_be_trained_on_images_of_any_size(name: str, shape: tuple[int, int, int]) -> None:
    model = build(variant(name), shape, CLASSES, torch.float32)
    state = {n: v.unsqueeze(0).requires_grad_(n not in model.buffers) for n, v in model.init(0).items()}
    outputs = model.forward(state, batch(torch.float32, shape), train=True, noise=FixedNoise())
    assert outputs.shape == (1, BATCH, CLASSES)
    outputs.square().sum().backward()
    for parameter in state.keys() - model.buffers:
        assert state[parameter].grad.isfinite().all(), parameter
        assert state[parameter].grad.abs().max() > 1e-6, parameter


@pytest.mark.parametrize("name", VARIANTS)
def test_autocast_is_near_float32(name: str) -> None:
    model, x = build(variant(name), SHAPE, CLASSES, torch.float32), batch(torch.float32)
    wide, narrow = disturbed(model, torch.float32), disturbed(model, torch.float32)
    expected = model.forward(wide, x, train=True, noise=FixedNoise()).detach()
    with torch.autocast("cpu", torch.bfloat16):
        found = model.forward(narrow, x, train=True, noise=FixedNoise())
    found.float().square().sum().backward()
    assert found.dtype == torch.bfloat16
    # 2^-9 is bfloat16's rounding; half a dozen layers add some of it up
    torch.testing.assert_close(found.float(), expected, rtol=0, atol=8 * 2**-9 * float(expected.abs().max()))
    assert {value.dtype for value in narrow.values()} == {torch.float32}
    assert all(narrow[n].grad.isfinite().all() for n in narrow.keys() - model.buffers)


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize("channels", [1, 3])
def test_activations_stay_in_channels_last_memory(channels: int, norm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(variant("as it comes", norm=norm), (channels, 8, 8), CLASSES, torch.float32)
    seen: list[Tensor] = []
    monkeypatch.setattr(model, "activation", lambda z: (seen.append(z), torch.relu(z))[1])
    model.forward(disturbed(model, torch.float32), batch(torch.float32, (channels, 8, 8)), train=True)
    assert len(seen) == 2
    assert all(z.is_contiguous(memory_format=torch.channels_last) and not z.is_contiguous() for z in seen)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_gradients_of_samples_at_once_are_those_of_a_loop(norm: str, channels: int) -> None:
    """Probes differentiate samples by ``torch.func.vmap``, which knows no channels-last memory."""
    shape = (channels, 9, 12)
    model = build(CnnSpec(family="cnn", channels=(4, 5), norm=norm), shape, CLASSES, torch.float64)
    network = of_model(model, disturbed(model, torch.float64))
    assert_as_in_a_loop(network, batch(torch.float64, shape)[0].unsqueeze(1))


def test_dropout_needs_noise_and_training() -> None:
    model, x = build(variant("as it comes", hidden=(7,), dropout=0.4), SHAPE, CLASSES, torch.float64), batch()
    state = disturbed(model)
    whole = model.forward(state, x, train=True)
    assert torch.equal(model.forward(state, x, train=False, noise=FixedNoise()), whole)
    assert not torch.allclose(model.forward(state, x, train=True, noise=FixedNoise()), whole)


def test_training_moves_the_running_statistics_and_evaluation_does_not() -> None:
    model = build(variant("BatchNorm"), SHAPE, CLASSES, torch.float64)
    state = {name: value.unsqueeze(0) for name, value in model.init(0).items()}
    before = {name: value.clone() for name, value in state.items()}
    model.forward(state, batch(), train=False)
    assert all(torch.equal(state[name], before[name]) for name in state)
    model.forward(state, batch(), train=True)
    assert {name for name in state if not torch.equal(state[name], before[name])} == model.buffers
    assert model.buffers == {f"norms.{layer}.{key}" for layer in (0, 1) for key in ("running_mean", "running_var")}


def test_an_image_too_small_for_the_poolings_is_refused() -> None:
    expected = "'channels' has 3 entries, each with a max-pooling by 3, but images of 9x12 allow 2; give at most 2"
    with pytest.raises(SymbreakError, match=re.escape(expected)):
        build(variant("as it comes", channels=(2, 2, 2), pool=3), SHAPE, CLASSES, torch.float64)
    assert build(variant("as it comes", channels=(2, 2), pool=3), SHAPE, CLASSES, torch.float64)


@pytest.mark.parametrize(
    ("scheme", "variances"),
    [
        ("he", {"convs.1": 2 / (32 * 9), "hidden.0": 2 / 64, "head": 1 / 48}),
        ("glorot", {"convs.1": 2 / (48 * 9), "hidden.0": 2 / (64 + 48), "head": 1 / 48}),
    ],
)
def test_initial_values_have_the_scheme_s_variance(scheme: str, variances: dict[str, float]) -> None:
    spec = variant("as it comes", channels=(32, 16), hidden=(48,), init=scheme)
    state = build(spec, (1, 8, 8), 40, torch.float64).init(0)
    for name, variance in variances.items():
        weight = state[f"{name}.weight"]
        relative = float(weight.square().mean()) / variance
        assert relative == pytest.approx(1, abs=5 * (2 / weight.numel()) ** 0.5)


def test_initial_values_can_be_given() -> None:
    given = {"norms.1.weight": {"mean": 2.0, "std": 0.0}, "convs.0.bias": {"std": 1.0}}
    state = build(variant("LayerNorm", initial=given), SHAPE, CLASSES, torch.float64).init(0)
    original = build(variant("LayerNorm"), SHAPE, CLASSES, torch.float64).init(0)
    assert (state["norms.1.weight"] == 2).all()
    assert state["convs.0.bias"].all()
    assert all(torch.equal(state[name], original[name]) for name in original.keys() - given.keys())
    with pytest.raises(SymbreakError, match=r"'initial' names \['norms\.2\.weight'\]"):
        build(variant("LayerNorm", initial={"norms.2.weight": {}}), SHAPE, CLASSES, torch.float64)

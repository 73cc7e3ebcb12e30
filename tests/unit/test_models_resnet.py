import math
from collections import OrderedDict

import numpy as np
import pytest
import torch
from disturbed import disturbed
from samples_at_once import assert_as_in_a_loop
from torch import Tensor, nn

from symbreak.config.models import ResnetSpec
from symbreak.errors import SymbreakError
from symbreak.models.model import Noise
from symbreak.models.resnet import build
from symbreak.probes.network import of_model
from symbreak.seeding import derive

SHAPE, CLASSES, BATCH = (2, 6, 6), 3, 5
SHORTCUTS = {
    "identity": {},
    "scaling": {"scale": 0.5, "branch_scale": 0.3},
    "exclusive_gate": {"gate_bias": -1.0},
    "shortcut_gate": {"gate_bias": 0.7},
    "conv": {},
    "dropout": {"dropout": 0.4},
    "none": {},
}
VARIANTS = [(kind, order, norm) for kind in SHORTCUTS for order in ("post", "pre") for norm in ("batch", "none")]


class FixedNoise:
    """Numbers that depend on their name alone."""

    def uniform(self, name: str, shape: tuple[int, ...]) -> Tensor:
        drawn = np.random.default_rng(derive(0, name)).random(shape)
        return torch.from_numpy(drawn).unsqueeze(0)


class PlainBlock(nn.Module):
    """A block as its papers describe it, for batches ``[B, C, H, W]``."""

    def __init__(self, name: str, fan_in: int, out: int, stride: int, spec: ResnetSpec) -> None:
        super().__init__()
        self.name, self.kind, self.spec, self.pre = name, spec.shortcut.kind, spec, spec.order == "pre"
        self.parts_late = self.pre and (name == "stages.0.0" or fan_in != out)
        biased = spec.norm == "none"
        self.conv1 = nn.Conv2d(fan_in, out, 3, stride, 1, bias=biased)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=biased)
        self.norm1, self.norm2 = norm(spec, fan_in if self.pre else out), norm(spec, out)
        self.shortcut = nn.Sequential()
        if self.kind == "conv" or (fan_in != out and self.kind != "none"):
            parts: OrderedDict[str, nn.Module] = OrderedDict(conv=nn.Conv2d(fan_in, out, 1, stride, bias=biased))
            if not self.pre:
                parts["norm"] = norm(spec, out)
            self.shortcut = nn.Sequential(parts)
        if self.kind.endswith("gate"):
            self.gate = nn.Conv2d(out, out, 1)

    def forward(self, x: Tensor, noise: Noise | None) -> Tensor:
        if self.pre:
            active = torch.relu(self.norm1(x))
            branch = self.conv2(torch.relu(self.norm2(self.conv1(active))))
            return self.joined(active if self.parts_late else x, branch, noise)
        branch = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        return torch.relu(self.joined(x, branch, noise))

    def joined(self, x: Tensor, f: Tensor, noise: Noise | None) -> Tensor:
        h, shortcut = self.shortcut(x), self.spec.shortcut
        if self.kind == "none":
            return f
        if self.kind == "scaling":
            return 0.5 * h + 0.3 * f
        if self.kind == "dropout" and noise is not None:
            keep = noise.uniform(f"{self.name}.shortcut", tuple(h.shape))[0] >= shortcut.dropout
            return torch.where(keep, h / (1 - shortcut.dropout), 0) + f
        if self.kind == "exclusive_gate":
            g = torch.sigmoid(self.gate(h))
            return (1 - g) * h + g * f
        if self.kind == "shortcut_gate":
            return (1 - torch.sigmoid(self.gate(h))) * h + f
        return h + f


class PlainResnet(nn.Module):
    def __init__(self, spec: ResnetSpec, channels: int = SHAPE[0]) -> None:
        super().__init__()
        self.pre = spec.order == "pre"
        stem: OrderedDict[str, nn.Module] = OrderedDict(
            conv=nn.Conv2d(channels, spec.widths[0], 3, 1, 1, bias=spec.norm == "none")
        )
        if not self.pre:
            stem["norm"], stem["relu"] = norm(spec, spec.widths[0]), nn.ReLU()
        self.stem = nn.Sequential(stem)
        self.stages, fan_in = nn.ModuleList(), spec.widths[0]
        for s, width in enumerate(spec.widths):
            stage = nn.ModuleList()
            for b in range(spec.blocks):
                stage.append(PlainBlock(f"stages.{s}.{b}", fan_in, width, 2 if s and not b else 1, spec))
                fan_in = width
            self.stages.append(stage)
        self.head = nn.Linear(fan_in, CLASSES)
        if self.pre:
            self.head.add_module("norm", norm(spec, fan_in))

    def forward(self, x: Tensor, noise: Noise | None = None) -> Tensor:
        h = self.stem(x)
        for stage in self.stages:
            for block in stage:
                h = block(h, noise)
        if self.pre:
            h = torch.relu(self.head.norm(h))
        return self.head(h.mean((2, 3)))


def norm(spec: ResnetSpec, channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels, eps=spec.norm_eps) if spec.norm == "batch" else nn.Identity()


def variant(kind: str, order: str, norm: str) -> ResnetSpec:
    shortcut = {"kind": kind, **SHORTCUTS[kind]}
    return ResnetSpec.model_validate(
        {"family": "resnet", "widths": (4, 6), "blocks": 2, "order": order, "norm": norm, "shortcut": shortcut}
    )


def batch(dtype: torch.dtype = torch.float64, shape: tuple[int, int, int] = SHAPE) -> Tensor:
    return torch.randn(1, BATCH, *shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(dtype)


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("kind", "order", "norm"), VARIANTS)
def test_every_variant_is_its_plain_module(kind: str, order: str, norm: str) -> None:
    spec = variant(kind, order, norm)
    model, plain, x, noise = (
        build(spec, SHAPE, CLASSES, torch.float64),
        PlainResnet(spec).double(),
        batch(),
        FixedNoise(),
    )
    state = disturbed(model)
    missing, unexpected = plain.load_state_dict({n: v.detach()[0].clone() for n, v in state.items()}, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)

    found, expected = model.forward(state, x, train=True, noise=noise), plain(x[0], noise)
    close(found[0], expected)
    found.square().sum().backward()
    expected.square().sum().backward()
    for name, parameter in plain.named_parameters():
        close(state[name].grad[0], parameter.grad)
    for name in model.buffers:
        close(state[name][0], plain.get_buffer(name))

    plain.eval()
    close(model.forward(state, x, train=False, noise=noise)[0], plain(x[0]))


@pytest.mark.parametrize(("kind", "order", "norm"), VARIANTS)
def test_every_parameter_of_every_variant_can_be_trained(kind: str, order: str, norm: str) -> None:
    model = build(variant(kind, order, norm), SHAPE, CLASSES, torch.float32)
    state = {n: v.unsqueeze(0).requires_grad_(n not in model.buffers) for n, v in model.init(0).items()}
    model.forward(state, batch(torch.float32), train=True, noise=FixedNoise()).square().sum().backward()
    for name in state.keys() - model.buffers:
        assert state[name].grad.isfinite().all(), name
        assert state[name].grad.abs().max() > 1e-6, name


@pytest.mark.parametrize(("kind", "order", "norm"), VARIANTS)
def test_autocast_is_near_float32_and_keeps_its_weights_and_statistics(kind: str, order: str, norm: str) -> None:
    model, x, noise = (
        build(variant(kind, order, norm), SHAPE, CLASSES, torch.float32),
        batch(torch.float32),
        FixedNoise(),
    )
    wide, narrow = disturbed(model, torch.float32), disturbed(model, torch.float32)
    expected = model.forward(wide, x, train=True, noise=noise)
    with torch.autocast("cpu", torch.bfloat16):
        found = model.forward(narrow, x, train=True, noise=noise)
    found.float().square().sum().backward()
    assert found.dtype == torch.bfloat16
    # 2^-9 is bfloat16's rounding; a dozen layers add some of it up
    torch.testing.assert_close(found.float(), expected, rtol=0, atol=16 * 2**-9 * float(expected.detach().abs().max()))
    for name, value in narrow.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, wide[name], rtol=0.05, atol=0.02)
    assert all(
        narrow[n].grad.dtype == torch.float32 and narrow[n].grad.isfinite().all() for n in narrow.keys() - model.buffers
    )


def test_dropout_on_shortcuts_follows_its_noise_in_training_only() -> None:
    model, x = build(variant("dropout", "post", "none"), SHAPE, CLASSES, torch.float64), batch()
    state = disturbed(model)
    whole = model.forward(state, x, train=True)
    assert torch.equal(model.forward(state, x, train=False, noise=FixedNoise()), whole)
    assert not torch.allclose(model.forward(state, x, train=True, noise=FixedNoise()), whole)


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_initial_values_are_those_of_the_formula_to_the_last_bit(norm: str) -> None:
    """N(0, 2/(out k^2)) from the stream of the parameter's own name; pinned runs depend on these bits."""
    state = build(ResnetSpec(family="resnet", norm=norm), (3, 32, 32), 10, torch.float32).init(7)
    fans_out = {"stem.conv": 16 * 9, "stages.1.0.conv1": 32 * 9, "stages.2.0.shortcut.conv": 64}
    deviations = {name: math.sqrt(2.0 / fan) for name, fan in fans_out.items()} | {"head": 64**-0.5}
    for name, std in deviations.items():
        weight = state[f"{name}.weight"]
        drawn = np.random.default_rng(derive(7, "init", f"{name}.weight")).standard_normal(tuple(weight.shape))
        assert torch.equal(weight, torch.from_numpy(std * drawn).to(torch.float32))
    assert not any(value.any() for name, value in state.items() if name.endswith(".bias"))
    assert ("stem.conv.bias" in state) == (norm == "none")


def test_gates_start_at_their_bias() -> None:
    state = build(variant("exclusive_gate", "post", "batch"), SHAPE, CLASSES, torch.float64).init(0)
    gates = {name: value for name, value in state.items() if name.endswith(".gate.bias")}
    assert gates.keys() == {f"stages.{s}.{b}.gate.bias" for s in (0, 1) for b in (0, 1)}
    assert all((value == -1).all() for value in gates.values())


def test_initial_values_can_be_given() -> None:
    given = {
        "stem.conv.weight": {"mean": 0.5, "std": 0},
        "head.bias": {"std": 2.0},
        "stem.norm.weight": {"mean": 3, "std": 0},
    }
    spec = ResnetSpec.model_validate({"family": "resnet", "widths": (4,), "initial": given})
    plain = build(ResnetSpec(family="resnet", widths=(4,)), SHAPE, 1000, torch.float64).init(0)
    state = build(spec, SHAPE, 1000, torch.float64).init(0)
    assert (state["stem.conv.weight"] == 0.5).all()
    assert (state["stem.norm.weight"] == 3).all()
    assert float(state["head.bias"].std()) == pytest.approx(2, abs=5 * 2 / math.sqrt(2000))
    assert all(torch.equal(state[name], plain[name]) for name in plain.keys() - given.keys())


@pytest.mark.parametrize("name", ["stem.conv.bias", "stem.norm.running_mean"])
def test_initial_values_of_what_is_no_parameter_are_refused(name: str) -> None:
    with pytest.raises(SymbreakError, match=rf"'initial' names \['{name}'\]"):
        build(ResnetSpec.model_validate({"family": "resnet", "initial": {name: {}}}), SHAPE, CLASSES, torch.float64)


def test_shortcuts_are_projections_only_where_shapes_change() -> None:
    state = build(ResnetSpec(family="resnet", widths=(4, 4, 8), blocks=2), (3, 8, 8), 10, torch.float64).init(0)
    assert {n.rsplit(".shortcut", 1)[0] for n in state if "shortcut" in n} == {"stages.1.0", "stages.2.0"}


@pytest.mark.parametrize("order", ["post", "pre"])
@pytest.mark.parametrize(("stem", "side"), [("cifar", 8), ("imagenet", 2)])
def test_the_stem_sets_the_resolution(stem: str, side: int, order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(ResnetSpec(family="resnet", stem=stem, order=order, widths=(4,)), (1, 8, 8), 3, torch.float64)
    state = {name: value.unsqueeze(0) for name, value in model.init(0).items()}
    seen: list[torch.Size] = []
    block = model.block
    monkeypatch.setattr(model, "block", lambda *given, **how: (seen.append(given[2].shape), block(*given, **how))[1])
    assert model.forward(state, torch.ones(1, 2, 1, 8, 8, dtype=torch.float64), train=False).shape == (1, 2, 3)
    assert seen == [(2, 4, side, side)]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("autocast", [False, True])
def test_activations_stay_in_channels_last_memory(
    channels: int, autocast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build(ResnetSpec(family="resnet", widths=(4, 6)), (channels, 8, 8), CLASSES, torch.float32)
    seen: list[Tensor] = []
    join = model.join
    monkeypatch.setattr(model, "join", lambda *given, **how: (seen.extend(given[2:4]), join(*given, **how))[1])
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        model.forward(disturbed(model, torch.float32), batch(torch.float32, (channels, 8, 8)), train=True)
    assert len(seen) == 4
    assert all(h.is_contiguous(memory_format=torch.channels_last) and not h.is_contiguous() for h in seen)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("order", ["post", "pre"])
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_gradients_of_samples_at_once_are_those_of_a_loop(norm: str, order: str, channels: int) -> None:
    """Probes differentiate samples by ``torch.func.vmap``, which knows no channels-last memory."""
    shape = (channels, 6, 6)
    model = build(variant("exclusive_gate", order, norm), shape, CLASSES, torch.float64)
    network = of_model(model, disturbed(model, torch.float64))
    assert_as_in_a_loop(network, batch(torch.float64, shape)[0].unsqueeze(1))


@pytest.mark.parametrize("autocast", [False, True])
def test_gradients_have_the_memory_layout_of_their_parameters(autocast: bool) -> None:
    """Torch's fused optimisers walk through memory and would mix up weights without a word."""
    model = build(variant("exclusive_gate", "post", "batch"), SHAPE, CLASSES, torch.float32)
    state = disturbed(model, torch.float32)
    parameters = [state[name] for name in state if name not in model.buffers]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        outputs = model.forward(state, batch(torch.float32), train=True)
    for parameter, gradient in zip(parameters, torch.autograd.grad(outputs.sum(), parameters), strict=True):
        assert gradient.stride() == parameter.stride()


def test_training_moves_the_running_statistics_and_evaluation_does_not() -> None:
    model = build(ResnetSpec(family="resnet", widths=(4,), norm_eps=0), (1, 6, 6), 3, torch.float64)
    state = {name: value.unsqueeze(0) for name, value in model.init(0).items()}
    before = {name: value.clone() for name, value in state.items()}
    x = batch(shape=(1, 6, 6))
    model.forward(state, x, train=False)
    assert all(torch.equal(state[name], before[name]) for name in state)
    model.forward(state, x, train=True)
    assert {name for name in state if not torch.equal(state[name], before[name])} == model.buffers


def test_one_pixel_cannot_be_normalised() -> None:
    model = build(ResnetSpec(family="resnet", widths=(4,)), (1, 1, 1), 3, torch.float64)
    state = {name: value.unsqueeze(0) for name, value in model.init(0).items()}
    with pytest.raises(SymbreakError, match=r"BatchNorm 'stem\.norm' cannot train on one image of one pixel"):
        model.forward(state, torch.ones(1, 1, 1, 1, 1, dtype=torch.float64), train=True)


def test_parameters_are_counted() -> None:
    """ResNet-20 (widths 16, 32, 64, three blocks) has 0.27 million parameters (He et al. 2016, table 6)."""
    model = build(ResnetSpec(family="resnet", blocks=3), (3, 32, 32), 10, torch.float32)
    count = sum(value.numel() for name, value in model.init(0).items() if name not in model.buffers)
    assert round(count / 1e6, 2) == 0.27
    assert model.max_group == 1

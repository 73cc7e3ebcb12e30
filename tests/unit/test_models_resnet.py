import math

import pytest
import torch

from symbreak.config.specs import ResnetSpec
from symbreak.models.resnet import build


def test_convolutions_have_the_variance_of_fan_out() -> None:
    state = build(ResnetSpec(family="resnet", widths=(32, 64)), (3, 32, 32), 10, torch.float64).init(0)
    for name, fan_out in {"stem.conv": 32 * 9, "stages.1.0.conv1": 64 * 9, "stages.1.0.shortcut.conv": 64}.items():
        weight = state[f"{name}.weight"]
        relative = weight.std().item() * math.sqrt(fan_out / 2)
        assert relative == pytest.approx(1, abs=5 / math.sqrt(2 * weight.numel()))


def test_shortcuts_are_projections_only_where_shapes_change() -> None:
    state = build(ResnetSpec(family="resnet", widths=(4, 4, 8), blocks=2), (3, 8, 8), 10, torch.float64).init(0)
    assert {n.rsplit(".shortcut", 1)[0] for n in state if "shortcut" in n} == {"stages.1.0", "stages.2.0"}


@pytest.mark.parametrize(("stem", "side"), [("cifar", 8), ("imagenet", 2)])
def test_the_stem_sets_the_resolution(stem: str, side: int) -> None:
    """A pixel moves the features of its own neighbourhood only: seen at the last convolution's resolution."""
    model = build(ResnetSpec(family="resnet", stem=stem, widths=(4,)), (1, 8, 8), 3, torch.float64)
    state = {name: value.unsqueeze(0) for name, value in model.init(0).items()}
    seen: list[torch.Size] = []
    block = model._block
    model._block = lambda replica, which, x, train: (seen.append(x.shape), block(replica, which, x, train))[1]
    assert model.forward(state, torch.ones(1, 2, 1, 8, 8, dtype=torch.float64), train=False).shape == (1, 2, 3)
    assert seen == [(2, 4, side, side)]


def test_training_moves_the_running_statistics_and_evaluation_does_not() -> None:
    model = build(ResnetSpec(family="resnet", widths=(4,), norm_eps=0), (1, 6, 6), 3, torch.float64)
    state = {name: value.unsqueeze(0) for name, value in model.init(0).items()}
    before = {name: value.clone() for name, value in state.items()}
    x = torch.randn(1, 5, 1, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    model.forward(state, x, train=False)
    assert all(torch.equal(state[name], before[name]) for name in state)
    model.forward(state, x, train=True)
    assert {name for name in state if not torch.equal(state[name], before[name])} == model.buffers


def test_parameters_and_outputs_are_counted() -> None:
    """ResNet-20 (widths 16, 32, 64, three blocks) has 0.27 million parameters (He et al. 2016, table 6)."""
    model = build(ResnetSpec(family="resnet", blocks=3), (3, 32, 32), 10, torch.float32)
    count = sum(value.numel() for name, value in model.init(0).items() if name not in model.buffers)
    assert round(count / 1e6, 2) == 0.27
    assert model.max_group == 1

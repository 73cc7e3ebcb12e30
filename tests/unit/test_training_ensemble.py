"""Updates against their formulas, and what one diverging replica does to the others."""

from typing import Any

import numpy as np
import pytest
import torch

from symbreak.config.specs import MlpSpec, OptimiserSpec, TrainingSpec
from symbreak.errors import SymbreakError
from symbreak.models.mlp import build
from symbreak.models.model import State
from symbreak.training import optimisers
from symbreak.training.engine import Trained, train
from symbreak.training.examples import Examples
from symbreak.training.history import epochs_table
from symbreak.training.observing import observed

SHAPE, SEEDS = (1, 4, 4), (1, 2, 3)


def gradients(steps: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(steps, 2, 5))


def followed(settings: dict[str, Any], steps: int = 8) -> torch.Tensor:
    parameter = torch.linspace(-1, 1, 10, dtype=torch.float64).view(2, 5).requires_grad_()
    optimiser = optimisers.build(OptimiserSpec.model_validate(settings), [parameter])
    for gradient in gradients(steps):
        parameter.grad = torch.from_numpy(gradient)
        optimiser.step()
    return parameter.detach()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_sgd_is_the_heavy_ball_with_coupled_decay(momentum: float, decay: float) -> None:
    q, v = np.linspace(-1, 1, 10).reshape(2, 5), np.zeros((2, 5))
    for g in gradients(8):
        v = momentum * v + g + decay * q
        q = q - 0.05 * v
    settings = {"name": "sgd", "lr": 0.05, "momentum": momentum, "weight_decay": decay}
    np.testing.assert_allclose(followed(settings), q, rtol=1e-12)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adam_is_its_paper_with_coupled_decay(decay: float) -> None:
    """Kingma and Ba 2015 (arXiv:1412.6980), algorithm 1."""
    q, m, s = np.linspace(-1, 1, 10).reshape(2, 5), np.zeros((2, 5)), np.zeros((2, 5))
    for t, g in enumerate(gradients(8), start=1):
        g = g + decay * q
        m, s = 0.8 * m + 0.2 * g, 0.99 * s + 0.01 * g**2
        q = q - 0.05 * (m / (1 - 0.8**t)) / (np.sqrt(s / (1 - 0.99**t)) + 1e-3)
    settings = {"name": "adam", "lr": 0.05, "betas": (0.8, 0.99), "eps": 1e-3, "weight_decay": decay}
    np.testing.assert_allclose(followed(settings), q, rtol=1e-12)


def examples(poison: float | None = None) -> Examples:
    """Own images for each of three replicas; ``poison`` goes into image 7 of the second."""
    draw = torch.Generator().manual_seed(1)
    images = torch.randn(3, 16, *SHAPE, generator=draw)
    if poison is not None:
        images[1, 7] = poison
    return Examples(images, torch.randint(3, (1, 16), generator=draw), lambda batch: batch)


def trained(data: Examples, lr: float = 0.1, **settings: Any) -> Trained:
    spec = TrainingSpec.model_validate(
        {"epochs": 3, "batch": 4, "optimiser": {"name": "sgd", "lr": lr, "momentum": 0.9}, "checkpoints": [4, 8]}
        | settings
    )
    model = build(MlpSpec(family="mlp", hidden=(6,), norm="batch"), SHAPE, 3, torch.float32)
    (group,) = train(spec, model, SEEDS, data, data, device=torch.device("cpu"), label="test")
    return group


def same(one: State, other: State, replica: int) -> bool:
    return all(torch.equal(one[name][replica], other[name][replica]) for name in one)


@pytest.mark.parametrize("optimiser", [{"name": "sgd", "lr": 0.1, "momentum": 0.9}, {"name": "adam", "lr": 0.01}])
@pytest.mark.parametrize("poison", [float("nan"), float("inf"), 1e30])
def test_a_diverging_replica_leaves_the_others_bytes_alone(poison: float, optimiser: dict[str, Any]) -> None:
    healthy, sick = (trained(examples(p), optimiser=optimiser) for p in (None, poison))
    step = sick.stopped_at[1]
    assert step is not None and 1 <= step <= 4
    assert sick.stopped_at[::2] == [None, None] == healthy.stopped_at[::2]
    for r in (0, 2):
        assert torch.equal(sick.losses[:, r], healthy.losses[:, r])
        assert all(same(sick.checkpoints[s], healthy.checkpoints[s], r) for s in (0, 4, 8, 12))
        assert [e.test.correct[r] for e in sick.epochs] == [e.test.correct[r] for e in healthy.epochs]


@pytest.mark.parametrize("poison", [float("nan"), 1e30])
def test_a_diverged_replica_keeps_its_last_finite_state(poison: float) -> None:
    """Its state is the one that as many steps of the same data as it made give to it."""
    sick = trained(examples(poison))
    step = sick.stopped_at[1]
    assert step is not None and step > 1
    assert sick.losses[: step - 1, 1].isfinite().all()
    assert sick.losses[step:, 1].isnan().all()
    until = trained(examples(poison), epochs=None, steps=step - 1, checkpoints=[])
    assert all(same(sick.checkpoints[s], until.checkpoints[step - 1], 1) for s in (4, 8, 12))
    assert all(value.isfinite().all() for value in sick.checkpoints[12].values())


def test_parameters_that_overflow_though_loss_and_gradient_are_finite_are_not_kept() -> None:
    group = trained(examples(), lr=3e38)
    before, after = group.checkpoints[0], group.checkpoints[12]
    first = [r for r, step in enumerate(group.stopped_at) if step == 1]
    assert first
    assert all(same(before, after, r) for r in first)
    assert group.losses[0].isfinite().all()
    assert all(value.isfinite().all() for value in after.values())


def test_an_epoch_that_ends_with_the_divergence_is_a_diverged_one() -> None:
    group = trained(examples(float("nan")), batch=16, checkpoints=[])
    assert group.stopped_at == [None, 1, None]
    assert epochs_table([group])["diverged"].to_pylist() == [False] * 4 + [False, True, True, True] + [False] * 4


def test_observers_that_record_under_one_name_are_refused() -> None:
    class Watching:
        def start(self, state: State) -> None: ...
        def step(self, before: State, after: State) -> None: ...
        def tensors(self) -> State:
            return {"scale/layers.0/R": torch.zeros(1)}

    with pytest.raises(SymbreakError, match=r"\['scale/layers.0/R'\]"):
        observed([Watching(), Watching()])


def test_when_all_have_diverged_the_run_ends_as_a_valid_one() -> None:
    data = examples()
    data.images[:, :] = float("nan")
    group = trained(data)
    assert group.stopped_at == [1, 1, 1]
    assert group.losses.isnan().all()
    assert [e.step for e in group.epochs] == [0, 4, 8, 12]
    assert all(same(group.checkpoints[0], group.checkpoints[12], r) for r in range(3))

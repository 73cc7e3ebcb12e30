"""Replayed derivatives against those computed anew; without CUDA a stand-in for the graph writes where it would."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor

from symbreak.config.models import ModelSpec
from symbreak.config.specs import TrainingSpec
from symbreak.models.gradients import Derivatives
from symbreak.models.model import Model, build
from symbreak.training.device import prepare
from symbreak.training.differentiate import differentiator
from symbreak.training.engine import train
from symbreak.training.ensemble import Ensemble
from symbreak.training.examples import Examples
from symbreak.training.graphs import Graphed
from symbreak.training.noise import StepNoise

CPU, SEEDS, SHAPE, CLASSES = torch.device("cpu"), (3, 8, 1), (1, 4, 4), 3
TANH = {"family": "mlp", "hidden": (6, 5), "activation": "tanh"}
WIDE = {"family": "mlp", "hidden": (80,)}  # large enough for its products to be rounded to bfloat16
GAUSS = {"family": "gaussnet", "width": 7}
HALF = {"autocast": "bfloat16"}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "tanh": (TANH, {}),
    "gauss": (GAUSS, {"loss": "mse"}),
    "bfloat16": (WIDE, HALF),
}
on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


def built(model: dict[str, Any], dtype: torch.dtype = torch.float32) -> Model:
    return build(TypeAdapter(ModelSpec).validate_python(model), SHAPE, CLASSES, dtype)


def specified(settings: dict[str, Any]) -> TrainingSpec:
    base = {"epochs": 2, "batch": 4, "optimiser": {"name": "sgd", "lr": 0.1, "momentum": 0.5}, "order": "own"}
    return TrainingSpec.model_validate(base | settings)


def again(run: Callable[[], Derivatives]) -> tuple[Derivatives, Callable[[], None]]:
    """Record like a graph: what is run again is read and written where it was the first time."""
    run()
    found = run()

    def replay() -> None:
        for old, new in zip(tensors(found), tensors(run()), strict=True):
            old.copy_(new)

    return found, replay


def tensors(found: Derivatives) -> list[Tensor]:
    return [found.losses, *(factor for name in sorted(found.gradients) for factor in found.gradients[name].factors())]


@pytest.mark.parametrize("case", CASES)
def test_replaying_is_computing_anew(case: str) -> None:
    settings, spec = CASES[case]
    model, spec = built(settings), specified(spec)
    ensemble, noise = Ensemble(model, SEEDS, spec, CPU), StepNoise(SEEDS, 1, CPU)
    replayed, anew = Graphed(differentiator(model, spec), again), differentiator(model, spec)
    draw, recorded = torch.Generator().manual_seed(2), []
    for size in (5, 5, 3, 5, 3, 4):
        x = torch.randn(1, size, *SHAPE, generator=draw)
        labels = torch.randint(CLASSES, (len(SEEDS), size), generator=draw)
        kept = x.clone(), labels.clone()
        one, other = (way(ensemble.state, x, labels, noise) for way in (replayed, anew))
        for a, b in zip(tensors(one), tensors(other), strict=True):
            assert torch.equal(a, b)
        assert torch.equal(x, kept[0]) and torch.equal(labels, kept[1])
        recorded.append(one)
        for value in ensemble.state.values():  # in place, as an optimiser does
            value.mul_(0.9)
        replayed.changed(ensemble.state)
        anew.changed(ensemble.state)
    assert all(found.size is None for found in recorded)
    assert recorded[0] is recorded[1] is recorded[3] and recorded[2] is recorded[4]


def test_what_was_recorded_is_not_the_callers_batch() -> None:
    calls = []

    def inner(state: Any, x: Tensor, labels: Tensor, noise: Any) -> Derivatives:
        calls.append(x)
        return Derivatives(x.sum().view(1), {})

    inner.changed = lambda state: None  # type: ignore[attr-defined]
    x, labels = torch.ones(1, 2), torch.zeros(1, 2, dtype=torch.int64)
    graphed = Graphed(inner, again)  # type: ignore[arg-type]
    assert graphed({}, x, labels, None).losses == 2  # type: ignore[arg-type]
    assert all(seen is not x for seen in calls)
    assert graphed({}, 2 * x, labels, None).losses == 4  # type: ignore[arg-type]


def test_losses_of_a_step_outlive_the_next_one() -> None:
    model, spec = built(TANH), specified({})
    ensemble = Ensemble(model, SEEDS, spec, CPU)
    ensemble._differentiate = Graphed(differentiator(model, spec), again)
    draw, seen = torch.Generator().manual_seed(2), []
    for _ in range(2):
        x = torch.randn(1, 4, *SHAPE, generator=draw)
        losses = ensemble.step(x, torch.randint(CLASSES, (1, 4), generator=draw), 0.1)
        seen.append((losses, losses.clone()))
    assert all(torch.equal(losses, then) for losses, then in seen)


def test_a_cpu_computes_without_graphs() -> None:
    assert not isinstance(Ensemble(built(TANH), SEEDS, specified({}), CPU)._differentiate, Graphed)


@on_cuda
@pytest.mark.parametrize("case", CASES)
def test_graphs_on_cuda_change_no_bit(case: str) -> None:
    settings, spec = CASES[case]
    cuda, model, spec = prepare("cuda", 1), built(settings), specified(spec)
    ends, losses = [], []
    for plain in (False, True, False):
        ensemble = Ensemble(model, SEEDS, spec, cuda)
        assert isinstance(ensemble._differentiate, Graphed)
        if plain:
            ensemble._differentiate = differentiator(model, spec)
        draw = torch.Generator().manual_seed(2)
        for size in (5, 5, 3, 5, 3):
            x = torch.randn(1, size, *SHAPE, generator=draw).to(cuda)
            labels = torch.randint(CLASSES, (1, size), generator=draw).to(cuda)
            losses.append(ensemble.step(x, labels, 0.1))
        ends.append(ensemble.copy())
    for end, seen in zip(ends[1:], (losses[5:10], losses[10:]), strict=True):
        assert all(torch.equal(value, end[name]) for name, value in ends[0].items())
        assert all(torch.equal(one, other) for one, other in zip(losses[:5], seen, strict=True))


@on_cuda
def test_a_whole_set_is_not_copied_into_a_graph() -> None:
    ensemble = Ensemble(built(TANH), SEEDS, specified({"batch": None}), prepare("cuda", 1))
    assert not isinstance(ensemble._differentiate, Graphed)


@on_cuda
@pytest.mark.parametrize("model", [TANH, GAUSS])
def test_training_on_cuda_is_training_on_a_cpu(model: dict[str, Any]) -> None:
    draw = torch.Generator().manual_seed(7)
    x = torch.randn(1, 14, *SHAPE, generator=draw, dtype=torch.float64)
    labels = torch.randint(CLASSES, (1, 14), generator=draw)
    ends = []
    for device in (CPU, prepare("cuda", 1)):
        data = Examples(x.to(device), labels.to(device), lambda batch: batch)
        spec, net = specified({"dtype": "float64"}), built(model, torch.float64)
        (group,) = train(spec, net, SEEDS, data, data, device=device, label="test")
        ends.append(group.checkpoints[group.plan.steps])
    for name, value in ends[0].items():
        torch.testing.assert_close(value, ends[1][name], rtol=1e-10, atol=1e-12)

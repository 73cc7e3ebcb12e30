"""Trainings of whole arms: data orders told from initialisations, full-batch descent, the gradient flow."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from symbreak.config.models import ModelSpec
from symbreak.config.specs import TrainingSpec
from symbreak.models.model import State, build
from symbreak.training.engine import Trained, train
from symbreak.training.examples import Examples
from symbreak.training.history import diverged, epochs_table, steps_table

SHAPE, CLASSES, COUNT = (1, 3, 3), 3, 14
TANH = {"family": "mlp", "hidden": (5,), "activation": "tanh"}
HEAVY = {"name": "sgd", "lr": 0.2, "momentum": 0.5}


def examples(images: int = 1, labels: int = 1) -> Examples:
    draw = torch.Generator().manual_seed(7)
    x = torch.randn(images, COUNT, *SHAPE, generator=draw, dtype=torch.float64)
    return Examples(x, torch.randint(CLASSES, (labels, COUNT), generator=draw), lambda batch: batch)


def arm(seeds: tuple[int, ...], data: Examples, model: dict[str, Any] | None = None, **settings: Any) -> list[Trained]:
    base = {"epochs": 3, "batch": 4, "optimiser": HEAVY, "dtype": "float64"}
    spec = TrainingSpec.model_validate(base | settings)
    built = build(TypeAdapter(ModelSpec).validate_python(TANH | (model or {})), SHAPE, CLASSES, torch.float64)
    return train(spec, built, seeds, data, data, device=torch.device("cpu"), label="test")


Network = tuple[State, Tensor]


def by_seed_and_order(groups: list[Trained]) -> dict[tuple[int, int | None], Network]:
    """(seed, order) -> the replica's last state and losses."""
    found = {}
    for group in groups:
        last = group.checkpoints[group.plan.steps]
        for place, replica in enumerate(group.replicas):
            state = {name: value[place] for name, value in last.items()}
            found[replica.seed, replica.order_seed] = (state, group.losses[:, place])
    return found


def assert_near(one: Network, other: Network, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(one[1], other[1], rtol=tolerance, atol=0)
    for name, value in one[0].items():
        assert (value - other[0][name]).norm() <= tolerance * other[0][name].norm()


SEEDS, ORDERS = (3, 1, 8, 5), (20, 21, 22)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("group", [3, 16])
def test_crossed_replicas_are_those_of_an_arm_with_their_order_alone(group: int, dropout: float) -> None:
    settings = {"order": "shared", "model": {"dropout": dropout}, "group": group}
    data = examples(labels=len(SEEDS))
    crossed = by_seed_and_order(arm(SEEDS, data, order_seeds=ORDERS, crossed=True, **settings))
    assert crossed.keys() == {(seed, order) for seed in SEEDS for order in ORDERS}
    for order in ORDERS:
        alone = by_seed_and_order(arm(SEEDS, data, order_seeds=[order], **settings))
        assert alone.keys() == {(seed, order) for seed in SEEDS}
        for key, network in alone.items():
            assert_near(crossed[key], network)
    assert len({float(losses[-1]) for _, losses in crossed.values()}) == len(crossed)


def test_nested_replicas_are_a_part_of_the_crossed_ones() -> None:
    data = examples(images=len(SEEDS))
    nested = by_seed_and_order(arm(SEEDS, data, order="shared", order_seeds=ORDERS))
    crossed = by_seed_and_order(arm(SEEDS, data, order="shared", order_seeds=ORDERS, crossed=True))
    assert list(nested) == [(3, 20), (1, 20), (8, 21), (5, 22)]
    for key, network in nested.items():
        assert_near(crossed[key], network)


def test_orders_have_their_initial_values_in_common() -> None:
    groups = arm(SEEDS, examples(), order="shared", order_seeds=ORDERS, crossed=True)
    first = groups[0].checkpoints[0]
    for group in groups:
        assert all(torch.equal(value, first[name]) for name, value in group.checkpoints[0].items())
        assert torch.equal(group.epochs[0].test.loss, groups[0].epochs[0].test.loss)
    assert not torch.equal(groups[0].losses, groups[1].losses)


def test_histories_name_the_order_of_every_row() -> None:
    data = examples(images=2)
    data.images[1, 3] = math.nan
    groups = arm((3, 1), data, order="shared", order_seeds=[20, 21], crossed=True)
    steps, epochs = steps_table(groups).to_pandas(), epochs_table(groups).to_pandas()
    replicas = [(3, 20), (1, 20), (3, 21), (1, 21)]
    assert list(zip(steps["seed"], steps["order_seed"], strict=True)) == [r for r in replicas for _ in range(12)]
    assert steps["step"].tolist() == [*range(1, 13)] * 4
    assert list(zip(epochs["seed"], epochs["order_seed"], strict=True)) == [r for r in replicas for _ in range(4)]
    assert epochs["step"].tolist() == [0, 4, 8, 12] * 4
    networks = by_seed_and_order(groups)
    for (seed, order), rows in steps.groupby(["seed", "order_seed"]):
        assert np.array_equal(rows["loss"], networks[seed, order][1].numpy(), equal_nan=True)
    stops = diverged(groups)
    assert [(stop["seed"], stop["order_seed"]) for stop in stops] == [(1, 20), (1, 21)]
    own = steps_table(arm((3, 1), examples()))
    assert own["order_seed"].null_count == len(own) == 24
    assert all("order_seed" not in stop for stop in diverged(arm((3, 1), data)))


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(9, 5), nn.Linear(5, CLASSES)])

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[1](torch.tanh(self.layers[0](x.flatten(1))))


def descended(start: State, replica: int, x: Tensor, labels: Tensor, rate: float, steps: int) -> Network:
    """Plain full-batch gradient descent in PyTorch."""
    net = Plain().double()
    net.load_state_dict({name: value[replica].clone() for name, value in start.items()})
    losses = []
    for _ in range(steps):
        loss = nn.functional.cross_entropy(net(x), labels)
        net.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in net.parameters():
                parameter -= rate * parameter.grad
        losses.append(loss.item())
    return {n: v.detach() for n, v in net.named_parameters()}, torch.tensor(losses, dtype=torch.float64)


@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize("length", [{"epochs": 7}, {"epochs": None, "steps": 7}])
def test_a_batch_of_everything_is_gradient_descent(copies: int, length: dict[str, Any]) -> None:
    data = examples(copies, copies)
    (group,) = arm((3, 1, 8), data, batch=None, optimiser={"name": "sgd", "lr": 0.3}, **length)
    assert [epoch.step for epoch in group.epochs] == list(range(8))
    for place in range(3):
        x, labels = data.images[place % copies], data.labels[place % copies]
        expected = descended(group.checkpoints[0], place, x, labels, 0.3, 7)
        assert_near(
            ({name: value[place] for name, value in group.checkpoints[7].items()}, group.losses[:, place]), expected
        )


FLOW = {"batch": None, "optimiser": {"name": "flow", "lr": 0.4}, "epochs": None, "steps": 5}


@pytest.mark.parametrize("copies", [1, 2])
def test_descent_in_ever_smaller_steps_tends_to_the_flow_that_is_trained(copies: int) -> None:
    """In first order: half the step makes half the error, in parameters and in losses at the start of each step."""
    data = examples(copies, copies)
    (group,) = arm((3, 1), data, **FLOW)
    assert group.stopped_at == [None, None]
    for place in (0, 1):

        def errors(parts: int, place: int = place) -> tuple[float, float]:
            start = group.checkpoints[0]
            x, labels = data.images[place % copies], data.labels[place % copies]
            state, losses = descended(start, place, x, labels, 0.4 / parts, 5 * parts)
            off = math.sqrt(sum(float((state[n] - v[place]).square().sum()) for n, v in group.checkpoints[5].items()))
            return off, float((losses[::parts] - group.losses[:, place]).abs().max())

        coarse, fine = errors(80), errors(160)
        assert coarse[0] < 0.02
        assert coarse[0] / fine[0] == pytest.approx(2, rel=0.03)
        assert coarse[1] / fine[1] == pytest.approx(2, rel=0.03)


def test_losses_of_the_flow_are_those_at_the_start_of_each_step_and_fall() -> None:
    data = examples()
    groups = arm((3, 1), data, checkpoints=range(6), observe={"norms": {}}, **FLOW)
    (group,) = groups
    net = Plain().double()
    for step in range(5):
        for place in (0, 1):
            net.load_state_dict({name: value[place] for name, value in group.checkpoints[step].items()})
            loss = nn.functional.cross_entropy(net(data.images[0]), data.labels[0])
            assert group.losses[step, place].item() == pytest.approx(loss.item(), rel=1e-12)
            slope = torch.autograd.grad(loss, net.layers[0].weight)[0]
            seen = group.observed["norms/layers.0.weight/gradient_norm2"][step, place]
            assert seen.item() == pytest.approx(slope.square().sum().item(), rel=1e-10)
    assert (group.losses.diff(dim=0) < 0).all()
    assert steps_table(groups)["step"].to_pylist() == [1, 2, 3, 4, 5] * 2
    epochs = epochs_table(groups).to_pandas()
    assert epochs["step"].tolist() == [0, 1, 2, 3, 4, 5] * 2
    assert not epochs.isna().drop(columns="order_seed").any(axis=None)
    # evaluated after a step is evaluated at the start of the next
    assert epochs["train_loss"][:5].to_numpy() == pytest.approx(group.losses[:, 0].numpy(), rel=1e-12)


def test_a_replica_that_cannot_flow_is_marked_and_the_others_flow_on() -> None:
    healthy, sick = examples(images=3), examples(images=3)
    sick.images[1, 2] = math.nan
    (one,), (other,) = (arm((3, 1, 8), data, **FLOW) for data in (healthy, sick))
    assert one.stopped_at == [None] * 3
    assert other.stopped_at == [None, 1, None]
    for name, value in one.checkpoints[5].items():
        assert torch.equal(value[::2], other.checkpoints[5][name][::2])
        assert torch.equal(other.checkpoints[5][name][1], other.checkpoints[0][name][1])
    assert torch.equal(one.losses[:, ::2], other.losses[:, ::2])
    assert other.losses[:, 1].isnan().all()
    assert epochs_table([other])["diverged"].to_pylist() == [False] * 6 + [False, *[True] * 5] + [False] * 6


def test_running_statistics_see_the_set_once_a_step_of_the_flow() -> None:
    data, norm = examples(), {"norm": "batch"}
    (group,) = arm((3, 1), data, norm, checkpoints=range(6), **FLOW)
    model = build(TypeAdapter(ModelSpec).validate_python(TANH | norm), SHAPE, CLASSES, torch.float64)
    assert model.buffers
    for step in range(5):
        before, after = group.checkpoints[step], group.checkpoints[step + 1]
        expected = after | {name: before[name].clone() for name in model.buffers}
        model.forward(expected, data.images, train=True)
        for name in model.buffers:
            torch.testing.assert_close(after[name], expected[name], rtol=1e-12, atol=1e-14)

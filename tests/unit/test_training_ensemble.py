"""A replica in an ensemble is the replica alone: in any place and company, watched or not, beside one that diverges."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor

from symbreak.config.models import MlpSpec, ModelSpec
from symbreak.config.specs import OptimiserSpec, TrainingSpec
from symbreak.errors import SymbreakError
from symbreak.models import model as models
from symbreak.models.mlp import build
from symbreak.models.model import Model, State
from symbreak.training import ensemble
from symbreak.training.engine import Trained, train
from symbreak.training.ensemble import Ensemble
from symbreak.training.examples import Examples
from symbreak.training.history import epochs_table
from symbreak.training.observing import observed

SHAPE, SEEDS = (1, 4, 4), (1, 2, 3)


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


SGD = {"name": "sgd", "lr": 0.1}
HEAVY = SGD | {"momentum": 0.9, "dampening": 0.2, "weight_decay": 0.01}
ADAM = {"name": "adam", "lr": 0.01}
MLP = {"family": "mlp", "hidden": (6, 5)}
NETWORKS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "relu": (MLP, SGD),
    "tanh, heavy ball": (MLP | {"activation": "tanh"}, HEAVY),
    "deep linear": (MLP | {"hidden": (5, 5, 5), "activation": "linear", "bias": False}, HEAVY),
    "sigmoid, adam": (MLP | {"activation": "sigmoid"}, ADAM),
    "gauss-net": ({"family": "gaussnet", "width": 7}, HEAVY),
    "erf-net": ({"family": "gaussnet", "width": 7, "neuron": "erf"}, SGD),
    "dropout": (MLP | {"dropout": 0.3}, HEAVY),
    "BatchNorm": (MLP | {"norm": "batch"}, HEAVY),
    "LayerNorm": (MLP | {"norm": "layer"}, ADAM),
    "LayerNorm, dropout": (MLP | {"norm": "layer", "dropout": 0.5}, SGD),
    "rnn": ({"family": "rnn", "width": 5}, HEAVY),
    "multiplicative rnn": ({"family": "rnn", "width": 5, "integration": "multiplicative"}, SGD),
}
CPU = torch.device("cpu")


def network(case: str, dtype: torch.dtype) -> Model:
    return models.build(TypeAdapter(ModelSpec).validate_python(NETWORKS[case][0]), SHAPE, 3, dtype)


def training(case: str, **settings: Any) -> TrainingSpec:
    base = {"steps": 10, "batch": 6, "optimiser": NETWORKS[case][1]}
    return TrainingSpec.model_validate(base | settings)


def run(case: str, seeds: Sequence[int], data: Examples, **settings: Any) -> Trained:
    spec = training(case, **settings)
    model = network(case, getattr(torch, spec.dtype))
    (group,) = train(spec, model, seeds, data, data, device=CPU, label="test")
    return group


def own_examples(images: int, labels: int, dtype: torch.dtype = torch.float32) -> Examples:
    draw = torch.Generator().manual_seed(2)
    x = torch.randn(images, 20, *SHAPE, generator=draw, dtype=torch.float64).to(dtype)
    return Examples(x, torch.randint(3, (labels, 20), generator=draw), lambda batch: batch)


def moved(group: Trained, replica: int) -> Tensor:
    """How far training moved a replica, all its entries end to end."""
    first, last = group.checkpoints[0], group.checkpoints[10]
    return torch.cat([(last[name][replica] - first[name][replica]).flatten() for name in first]).double()


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-4)])
@pytest.mark.parametrize("order", [{}, {"order": "shared", "order_seeds": [8]}], ids=["own order", "shared order"])
@pytest.mark.parametrize("copies", [(1, 1), (1, 4), (4, 4)], ids=["one set", "own labels", "own set"])
@pytest.mark.parametrize("case", NETWORKS)
def test_a_replica_is_the_same_alone_in_any_place_and_company(
    case: str, copies: tuple[int, int], order: dict[str, Any], dtype: str, tolerance: float
) -> None:
    data = own_examples(*copies, getattr(torch, dtype))
    seeds = (5, 1, 9, 4)
    alone = {number: run(case, [seeds[number]], data.of([number]), dtype=dtype, **order) for number in (0, 2)}
    for company, places in (((0, 1, 2, 3), {0: 0, 2: 2}), ((2, 0), {0: 1, 2: 0})):
        together = run(case, [seeds[number] for number in company], data.of(company), dtype=dtype, **order)
        for number, place in places.items():
            single = alone[number]
            assert all(torch.equal(v[0], together.checkpoints[0][n][place]) for n, v in single.checkpoints[0].items())
            expected = moved(single, 0)
            assert expected.norm() > 0
            assert (moved(together, place) - expected).norm() <= tolerance * expected.norm()
            torch.testing.assert_close(together.losses[:, place], single.losses[:, 0], rtol=tolerance, atol=0)


def assert_same_bytes(one: Trained, other: Trained) -> None:
    assert one.checkpoints.keys() == other.checkpoints.keys()
    for step, state in one.checkpoints.items():
        assert all(torch.equal(value, other.checkpoints[step][name]) for name, value in state.items())
    assert torch.equal(one.losses, other.losses)
    for first, second in zip(one.epochs, other.epochs, strict=True):
        assert torch.equal(first.test.loss, second.test.loss)


@pytest.mark.parametrize("order", [{}, {"order": "shared", "order_seeds": [8]}], ids=["own order", "shared order"])
@pytest.mark.parametrize("case", NETWORKS)
def test_who_is_watched_is_trained_to_the_same_bytes(case: str, order: dict[str, Any]) -> None:
    watched: dict[str, dict[str, Any]] = {"norms": {}}
    if NETWORKS[case][0]["family"] == "mlp":
        watched["charges"] = {"units": 3}
    data, settings = own_examples(1, 1), order | {"checkpoints": [1, 5]}
    seen = run(case, SEEDS, data, observe=watched, **settings)
    assert_same_bytes(run(case, SEEDS, data, **settings), seen)
    assert {name.split("/")[0] for name in seen.observed} >= {"norms"}


@pytest.mark.parametrize("case", NETWORKS)
def test_observers_are_given_the_gradient_itself(case: str) -> None:
    """That of the mean batch loss at the state before, although the step is over and had momentum and decay."""
    spec, model = training(case), network(case, torch.float64)
    trained = Ensemble(model, SEEDS, spec, CPU)
    x, labels = own_examples(1, 1, torch.float64).span(0, 6)

    class Watching:
        needs_before = True

        def step(self, before: State, gradients: Mapping[str, Tensor], after: State) -> None:
            self.seen = {name: gradient.clone() for name, gradient in gradients.items()}
            assert not any(torch.equal(before[name], after[name]) for name in gradients)

    watching: Any = Watching()
    for _ in range(3):
        before, again = trained.copy(), Ensemble(model, SEEDS, spec, CPU)
        trained.step(x, labels, 0.05, [watching])
        again.remember({f"state/{name}": value for name, value in before.items()}, trained.steps - 1, [None] * 3)
        # a first step of plain gradient descent shows its gradient as a difference
        again._update = ensemble.update(OptimiserSpec(name="sgd", lr=1.0), again._parameters, folded=False)
        again.step(x, labels, 1.0)
        assert watching.seen.keys() == again._parameters.keys()
        for name, gradient in watching.seen.items():
            difference = before[name] - again.state[name]
            torch.testing.assert_close(
                gradient, difference, rtol=1e-9, atol=1e-14 + 1e-15 * float(before[name].abs().max())
            )


@pytest.mark.parametrize("order", [{}, {"order": "shared", "order_seeds": [8]}], ids=["own order", "shared order"])
@pytest.mark.parametrize("case", NETWORKS)
def test_a_guarded_step_is_the_same_step(case: str, order: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    data, settings = own_examples(1, 1), order | {"checkpoints": [1, 5]}
    guarded = []
    original = Ensemble._step_guarded
    monkeypatch.setattr(Ensemble, "_step_guarded", lambda self, *a: (guarded.append(self.steps), original(self, *a)))
    free = run(case, SEEDS, data, **settings)
    assert guarded == []
    monkeypatch.setattr(ensemble, "TAME", 0.0)
    assert_same_bytes(free, run(case, SEEDS, data, **settings))
    assert guarded == list(range(1, 11))


def stepped(spoil: str | None, optimiser: dict[str, Any], shared: bool) -> tuple[list[State], Tensor, list[int | None]]:
    """The states after each of ten steps, the losses and who stopped; the second replica is spoilt before the fifth.

    ``loss``: its loss is infinite. ``update``: loss and outputs' gradient are finite, but the product that gives the
    first weight's gradient is not.
    """
    trained = Ensemble(network("relu", torch.float32), SEEDS, training("relu", optimiser=optimiser, loss="mse"), CPU)
    data = own_examples(1 if shared else 3, 3)
    states, losses = [], []
    for step in range(10):
        x, labels = data.span(step, step + 6)
        if spoil and step == 4:
            trained.state["layers.0.weight"][1].mul_({"loss": 1e30, "update": 1e-30}[spoil])
            if spoil == "update":
                x = x * torch.tensor([1, 3e30, 1]).view(3, 1, 1, 1, 1)
                trained.state["layers.2.weight"][1].mul_(1e12)
            states.append(trained.copy())
        losses.append(trained.step(x, labels, 0.05))
        states.append(trained.copy())
    return states, torch.stack(losses), trained.stopped_at


@pytest.mark.parametrize("optimiser", [SGD, SGD | {"weight_decay": 0.1}, SGD | {"momentum": 0.9}, HEAVY, ADAM])
@pytest.mark.parametrize(("spoil", "shared"), [("loss", True), ("loss", False), ("update", False)])
def test_beside_a_replica_that_diverges_all_bytes_are_the_same(
    spoil: str, shared: bool, optimiser: dict[str, Any]
) -> None:
    healthy, calm, none = stepped(None, optimiser, shared)
    sick, losses, stopped_at = stepped(spoil, optimiser, shared)
    spoilt = sick.pop(4)
    assert none == [None, None, None]
    assert stopped_at == [None, 5, None]
    assert losses[:4, 1].isfinite().all()
    assert losses[4, 1].isfinite() == (spoil == "update")
    assert losses[5:, 1].isnan().all()
    assert torch.equal(losses[:, ::2], calm[:, ::2])
    for one, other in zip(healthy, sick, strict=True):
        assert all(torch.equal(value[::2], other[name][::2]) for name, value in one.items())
    for state in sick[4:]:
        assert same(state, spoilt, 1)
        assert all(value.isfinite().all() for value in state.values())


@pytest.mark.parametrize("optimiser", [SGD, HEAVY, ADAM])
def test_an_infinite_loss_stops_a_replica_although_its_update_is_finite(optimiser: dict[str, Any]) -> None:
    """An output of 1e25 has a square beyond float32, and a gradient within."""
    trained = Ensemble(network("relu", torch.float32), SEEDS, training("relu", optimiser=optimiser, loss="mse"), CPU)
    trained.state["layers.2.bias"][1] = 1e25
    before = trained.copy()
    losses = trained.step(*own_examples(1, 1).span(0, 6), 0.05)
    assert losses.isfinite().tolist() == [True, False, True]
    assert trained.stopped_at == [None, 1, None]
    assert same(before, trained.state, 1)
    assert not same(before, trained.state, 0)


@pytest.mark.parametrize("bad", [float("nan"), 1e30])
@pytest.mark.parametrize("case", ["gauss-net", "dropout", "LayerNorm", "rnn"])
def test_every_kind_of_network_goes_on_beside_one_that_diverges(case: str, bad: float) -> None:
    """A gauss-net and an RNN of tanh bound what a large input does; those with ReLU diverge."""
    data = own_examples(3, 1)
    data.images[1, 7] = bad
    sick, healthy = run(case, SEEDS, data), run(case, SEEDS, own_examples(3, 1))
    assert (sick.stopped_at[1] is not None) == (np.isnan(bad) or case == "dropout")
    assert sick.stopped_at[::2] == [None, None]
    assert all(same(sick.checkpoints[10], healthy.checkpoints[10], r) for r in (0, 2))
    assert torch.equal(sick.losses[:, ::2], healthy.losses[:, ::2])
    assert all(value.isfinite().all() for value in sick.checkpoints[10].values())


@pytest.mark.parametrize("optimiser", [SGD, HEAVY, ADAM])
@pytest.mark.parametrize("length", [1.3e154, 1e200])  # the square root of the largest float64 is 1.34e154
def test_squares_beyond_the_largest_float64_are_no_error(length: float, optimiser: dict[str, Any]) -> None:
    data, calm = own_examples(3, 1, torch.float64), own_examples(3, 1, torch.float64)
    data.images[1] *= length / data.images[1].norm()
    settings = {"optimiser": optimiser, "dtype": "float64", "batch": None}
    sick, healthy = (run("relu", SEEDS, each, **settings) for each in (data, calm))
    assert sick.losses[0, 1] > 1e-3 * length
    assert all(same(sick.checkpoints[10], healthy.checkpoints[10], r) for r in (0, 2))
    assert all(value.isfinite().all() for value in sick.checkpoints[10].values())


def test_weights_that_decay_makes_overflow_are_not_kept() -> None:
    """With rate times decay above 2 weights double at every step, here without a gradient and at a constant loss."""
    model = build(MlpSpec(family="mlp", hidden=(), bias=False), SHAPE, 3, torch.float32)
    spec = TrainingSpec.model_validate(
        {"steps": 1, "batch": None, "optimiser": {"name": "sgd", "lr": 0.1, "weight_decay": 30}}
    )
    trained = Ensemble(model, (1,), spec, CPU)
    for _ in range(140):
        trained.step(torch.zeros(1, 2, *SHAPE), torch.tensor([[0, 1]]), 0.1)
    assert trained.stopped_at != [None]
    assert trained.state["layers.0.weight"].isfinite().all()


BF16 = {"family": "mlp", "hidden": (64,), "activation": "tanh"}


def narrow(steps: int, autocast: str = "bfloat16", **network: Any) -> Ensemble:
    """An ensemble whose first layer, 16 pixels to 64 units, is just worth rounding, after some steps."""
    model = build(MlpSpec.model_validate(BF16 | network), SHAPE, 3, torch.float32)
    spec = TrainingSpec.model_validate({"steps": 9, "batch": None, "optimiser": HEAVY, "autocast": autocast})
    trained, data = Ensemble(model, SEEDS, spec, CPU), own_examples(1, 1)
    for step in range(steps):
        trained.step(*data.span(step, step + 6), 0.1)
    return trained


@pytest.mark.parametrize("network", [{}, {"dropout": 0.2}, {"norm": "layer"}], ids=["analytic", "dropout", "LayerNorm"])
def test_products_in_bfloat16_leave_weights_in_float32(network: dict[str, Any]) -> None:
    """An update differs by what roundings of 2^-8 make of a gradient; weights keep more digits than bfloat16 has."""
    start, one, other = narrow(0, **network), narrow(1, **network), narrow(1, "none", **network)
    for name, exact in other.state.items():
        found = one.state[name]
        assert found.dtype == torch.float32
        update, expected = found - start.state[name], exact - start.state[name]
        assert (update - expected).norm() <= 2**-6 * expected.norm()
    weight = one.state["layers.0.weight"]
    assert not torch.equal(one.state["layers.0.weight"], other.state["layers.0.weight"])
    assert not torch.equal(weight, weight.bfloat16().float())


def test_rounded_weights_are_those_that_are_remembered() -> None:
    data = own_examples(1, 1)
    trained, other = narrow(3), narrow(5)
    kept = {name: value.clone() for name, value in trained.memory().items()}
    other.remember(kept, 3, [None] * 3)
    for step in range(3, 6):
        batch = data.span(step, step + 6)
        assert torch.equal(trained.step(*batch, 0.1), other.step(*batch, 0.1))
    assert all(torch.equal(value, other.memory()[name]) for name, value in trained.memory().items())
    assert trained.steps == other.steps == 6

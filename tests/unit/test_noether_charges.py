"""The observer of charges, on networks trained by torch's optimiser, against sums written out and against the laws."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from symbreak.config.models import GaussnetSpec, MlpSpec
from symbreak.config.specs import OptimiserSpec, TrainingSpec
from symbreak.errors import SymbreakError
from symbreak.models import mlp
from symbreak.theory.noether import DEGREE, HeavyBall, discrete
from symbreak.training.observers import charge_sums, charges, rows

SEEDS, STEPS, UNITS = (1, 2), 60, 4
BALL = HeavyBall(0.05, 0.5, 1e-2)
State = dict[str, Tensor]


def network(**changes: object) -> MlpSpec:
    return MlpSpec.model_validate({"family": "mlp", "hidden": (6, 5), "norm_eps": 0.0, **changes})


def training(loss: str = "cross_entropy") -> TrainingSpec:
    return TrainingSpec(steps=STEPS, batch=16, loss=loss, optimiser=OptimiserSpec(name="sgd", lr=BALL.lr))  # type: ignore[arg-type]


def train(spec: MlpSpec, loss: str = "cross_entropy", dtype: torch.dtype = torch.float64) -> tuple[State, list[State]]:
    """What the observer recorded of a short training on noise, and every state of it."""
    model = mlp.build(spec, (1, 3, 3), 4, dtype)
    replicas = [model.init(seed) for seed in SEEDS]
    state = {name: torch.stack([replica[name] for replica in replicas]) for name in replicas[0]}
    trained = [value.requires_grad_() for name, value in state.items() if name not in model.buffers]
    optimiser = torch.optim.SGD(trained, lr=BALL.lr, momentum=BALL.momentum, weight_decay=BALL.decay)
    observer = charges.build(model, training(loss), {"units": UNITS})
    history = [_copy(state)]
    observer.start(history[0])
    generator = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        x = torch.randn(len(SEEDS), 16, 1, 3, 3, dtype=dtype, generator=generator)
        labels = torch.randint(4, (len(SEEDS), 16), generator=generator)
        outputs = model.forward(state, x, train=True)
        if loss == "mse":
            value = (outputs - torch.nn.functional.one_hot(labels, 4)).square().sum() / 64
        else:
            value = torch.nn.functional.cross_entropy(outputs.flatten(0, 1), labels.flatten(), reduction="sum") / 16
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        history.append(_copy(state))
        observer.step(history[-2], {}, history[-1])
    return observer.tensors(), history


def _copy(state: State) -> State:
    return {name: value.detach().clone() for name, value in state.items()}


def strays(observed: State, name: str) -> float:
    """Worst relative distance from the discrete law, over replicas and units."""
    symmetry = name.split("/")[0]
    charge = observed[f"{name}/{'S' if symmetry == 'translation' else 'R'}"].numpy()
    increments = observed[f"{name}/D"].numpy() if symmetry != "translation" else np.zeros_like(charge[1:])
    law = discrete(next(known for known in DEGREE if known == symmetry), charge[0], increments, BALL)
    return float((np.abs(law - charge).max(0) / np.abs(charge).max(0)).max())


@pytest.mark.parametrize(
    ("changes", "loss", "symmetric"),
    [
        ({"norm": "batch"}, "cross_entropy", {"scale/layers.0", "scale/layers.1", "translation/layers.2"}),
        ({"norm": "batch", "activation": "tanh"}, "mse", {"scale/layers.0", "scale/layers.1"}),
        ({}, "cross_entropy", {"rescale/layers.0", "rescale/layers.1", "translation/layers.2"}),
        ({"activation": "linear", "bias": False}, "mse", {"rescale/layers.0", "rescale/layers.1"}),
        ({"activation": "tanh"}, "cross_entropy", {"translation/layers.2"}),
    ],
)
def test_laws_hold_where_the_structure_says_so_and_nowhere_else(
    changes: dict[str, object], loss: str, symmetric: set[str]
) -> None:
    observed, _ = train(network(**changes), loss)
    names = {key.rpartition("/")[0] for key in observed}
    assert {name for name in names if "control." not in name and not name.endswith(".sum")} == symmetric
    controls = {name for name in names if "control." in name and not name.endswith(".sum")}
    assert len(symmetric | controls) == 7, "three scale, two rescale and two translation sets"
    for name in names:
        assert (strays(observed, name) < 1e-11) is ("control." not in name), name


def test_charges_are_the_sums_they_say() -> None:
    observed, history = train(network())
    state, before, replica, picked = history[7], history[6], 1, [0, 2, 3, 5]
    weights = [state[f"layers.{layer}.weight"][replica] for layer in range(3)]
    bias = state["layers.0.bias"][replica]
    step = {name: state[name][replica] - before[name][replica] for name in state}
    for place, unit in enumerate(picked):
        into = sum(float(w) ** 2 for w in weights[0][unit]) + float(bias[unit]) ** 2
        out = sum(float(weights[1][row, unit]) ** 2 for row in range(5))
        moved_in = (step["layers.0.weight"][unit] ** 2).sum() + step["layers.0.bias"][unit] ** 2
        moved_out = (step["layers.1.weight"][:, unit] ** 2).sum()
        assert observed["scale/control.layers.0/R"][7, replica, place] == pytest.approx(into, rel=1e-13)
        assert observed["rescale/layers.0/R"][7, replica, place] == pytest.approx(out - into, rel=1e-12)
        assert observed["rescale/layers.0/D"][6, replica, place] == pytest.approx(float(moved_out - moved_in), rel=1e-9)
    shift = sum(float(weights[2][row, 4]) for row in range(4))
    assert observed["translation/layers.2/S"][7, replica, 3] == pytest.approx(shift, rel=1e-12)


def test_layer_sums_are_the_sums_over_all_units() -> None:
    observed, history = train(network(norm="batch"))
    last = {name: value[:, None] for name, value in ((n, v[0]) for n, v in history[-1].items())}
    whole = last["layers.1.weight"].square().sum() + last["layers.1.bias"].square().sum()
    assert observed["scale/layers.1.sum/R"][-1, 0, 0] == pytest.approx(float(whole), rel=1e-13)
    head = last["layers.2.weight"].sum() + last["layers.2.bias"].sum()
    assert observed["translation/layers.2.sum/S"][-1, 0, 0] == pytest.approx(float(head), rel=1e-12)


def test_the_sum_of_a_rescale_control_would_obey_the_law() -> None:
    observed, _ = train(network(norm="batch", bias=False))
    assert "rescale/control.layers.0/R" in observed
    assert "rescale/control.layers.0.sum/R" not in observed
    charge, increments = (
        (observed[f"scale/layers.1.sum/{quantity}"] - observed[f"scale/layers.0.sum/{quantity}"]).numpy()
        for quantity in "RD"
    )
    law = discrete("rescale", charge[0], increments, BALL)
    assert np.abs(law - charge).max() < 1e-12 * np.abs(charge).max()


def obvious(state: State, depth: int) -> State:
    """The sums as one writes them, in float64: into and out of each unit, shifts of the last two layers."""
    found: State = {}
    for layer in range(depth):
        weight = state[f"layers.{layer}.weight"].double()
        bias = state.get(f"layers.{layer}.bias", weight.new_zeros(weight.shape[:2])).double()
        found[f"incoming.{layer}"] = weight.square().sum(2) + bias.square()
        if layer > 0:
            found[f"outgoing.{layer - 1}"] = weight.square().sum(1)
        if layer >= depth - 2:
            found[f"shift.{layer}"], found[f"bias.{layer}"] = weight.sum(1), bias.sum(1, keepdim=True)
    return found


def walk(hidden: tuple[int, ...], dtype: torch.dtype, bias: bool) -> list[State]:
    """Three states of a network, the weights transposed in memory in the first."""
    generator = torch.Generator().manual_seed(7)
    widths, states = (37, *hidden, 5), []
    for _ in range(3):
        state: State = {}
        for layer, (inputs, units) in enumerate(pairwise(widths)):
            weight = torch.randn(3, inputs, units, dtype=dtype, generator=generator).transpose(1, 2)
            state[f"layers.{layer}.weight"] = weight.contiguous() if states else weight
            if bias:
                state[f"layers.{layer}.bias"] = torch.randn(3, units, dtype=dtype, generator=generator)
        states.append(state)
    return states


@pytest.mark.parametrize("follow", ["_compiled", "_plain"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("hidden", "bias"), [((33, 18), True), ((9,), True), ((1, 64, 3), False)])
def test_every_sum_is_the_obvious_one(
    hidden: tuple[int, ...], bias: bool, dtype: torch.dtype, follow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the CPU and, as a GPU does it, in torch's words."""
    monkeypatch.setattr(charge_sums, "_compiled", getattr(charge_sums, follow))
    states, depth = walk(hidden, dtype, bias), len(hidden) + 1
    sums = charge_sums.ChargeSums(states[0], depth)
    seen = [{name: value.clone() for name, value in sums.update(state).named.items()} for state in states]
    found, moved = charge_sums.charges_and_increments({name: torch.stack([r[name] for r in seen]) for name in seen[0]})
    assert found.keys() == obvious(states[0], depth).keys()
    for number, state in enumerate(states):
        for name, expected in obvious(state, depth).items():
            # translation sums cancel: they are exact to the rounding of their largest terms
            torch.testing.assert_close(found[name][number], expected, rtol=1e-13, atol=1e-13 if name[0] in "sb" else 0)
    for number, (before, after) in enumerate(pairwise(states)):
        steps = obvious({name: after[name].double() - before[name].double() for name in after}, depth)
        assert moved.keys() == {name for name in steps if name.startswith(("incoming", "outgoing"))}
        for name, value in moved.items():
            torch.testing.assert_close(value[number], steps[name], rtol=1e-13, atol=0)


def test_the_state_before_is_asked_for_only_when_the_observer_has_no_copy() -> None:
    whole, history = train(network())
    observer = charges.build(mlp.build(network(), (1, 3, 3), 4, torch.float64), training(), {"units": UNITS})
    observer.start(history[0])
    live = _copy(history[0])  # changed in place, as an ensemble's state is
    for number, after in enumerate(history[1:]):
        if number == 30:
            observer.restore(observer.state())
        assert observer.needs_before is (number == 30)
        for name, value in live.items():
            value.copy_(after[name])
        observer.step(history[number] if observer.needs_before else {}, {}, live)
    assert all(torch.equal(value, whole[name]) for name, value in observer.tensors().items())


def test_the_array_of_a_tensor_is_its_values_now_whatever_became_of_it() -> None:
    memory, value = charge_sums.Memory(), torch.arange(9.0).view(3, 3)
    first = memory(value)
    value.mul_(2)
    assert memory(value) is first, "changed in place: the memory is the same"
    assert first.tolist() == value.tolist()
    value.t_()  # the same tensor at the same place in another order, so that its memory will not do
    for factor in (1, 3):
        assert memory(value.mul_(factor)).tolist() == value.tolist()
        assert memory(value).flags.c_contiguous
    value.t_()  # and back: what was seen in between was a copy
    assert memory(value.mul_(2)).tolist() == value.tolist()
    value.data = torch.full((3, 3), 7.0)
    assert memory(value).tolist() == value.tolist(), "the same tensor at another place"
    other = torch.ones(3, 3)
    assert memory(other).tolist() == other.tolist()
    assert memory(value).tolist() == value.tolist()


@pytest.mark.parametrize("on_cpu", [True, False])
def test_packed_rows_are_recorded_as_their_parts_are(on_cpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """By numpy and, as a GPU does it, by torch; also after the parts' order has changed on the way to disk and back."""
    if not on_cpu:
        monkeypatch.setattr(rows.Packed, "array", None)
    monkeypatch.setattr(rows.Rows, "BLOCK", 4)
    whole, plain = rows.Rows(), rows.Rows()
    row = rows.pack({"b": (2, 3), "a": (2,)}, torch.device("cpu"))
    for number in range(10):
        row.named["b"][:] = number + torch.arange(6).view(2, 3) / 8
        row.named["a"][:] = -number
        whole.append(row)
        plain.append(row.named)
        if number == 5:
            whole.restore({name: value.clone() for name, value in sorted(whole.stacked().items(), reverse=True)})
    found = whole.stacked()
    assert found["b"][7].tolist() == [[7.0, 7.125, 7.25], [7.375, 7.5, 7.625]]
    assert found["a"][:, 1].tolist() == [-number for number in range(10)]
    assert all(torch.equal(value, found[name]) for name, value in plain.stacked().items())


def test_a_packed_row_of_another_layout_is_refused() -> None:
    record = rows.Rows()
    record.append(rows.pack({"a": (2, 3), "b": (1,)}, torch.device("cpu")))
    with pytest.raises(SymbreakError, match="expected a row of the shapes"):
        record.append(rows.pack({"a": (3, 2), "b": (1,)}, torch.device("cpu")))  # as many numbers


def test_shapes_and_precision() -> None:
    observed, _ = train(network(), dtype=torch.float32)
    for name, value in observed.items():
        length = STEPS if name.endswith("/D") else STEPS + 1
        width = 1 if ".sum/" in name else UNITS
        assert value.dtype == torch.float64
        assert tuple(value.shape) == (length, len(SEEDS), width), name


@pytest.mark.parametrize("killed", [0, 1, 40])
def test_an_interrupted_record_goes_on_to_the_same_bits(killed: int) -> None:
    model = mlp.build(network(), (1, 3, 3), 4, torch.float64)
    whole, history = train(network())
    before, after = (charges.build(model, training(), {"units": UNITS}) for _ in range(2))
    before.start(history[0])
    for number in range(killed):
        before.step(history[number], {}, history[number + 1])
    after.restore({name: value.clone() for name, value in before.state().items()})
    for number in range(killed, STEPS):
        after.step(history[number], {}, history[number + 1])
    resumed = after.tensors()
    assert resumed.keys() == whole.keys()
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_wants_a_network_it_understands_and_its_only_option() -> None:
    model = mlp.build(network(), (1, 3, 3), 4, torch.float64)
    for options in ({}, {"units": 0}, {"units": 2, "layers": 1}, {"units": "2"}):
        with pytest.raises(SymbreakError, match="'units', a positive integer"):
            charges.build(model, training(), options)
    model.spec = GaussnetSpec(family="gaussnet", width=3)  # type: ignore[assignment]
    with pytest.raises(SymbreakError, match="family 'mlp'"):
        charges.build(model, training(), {"units": 2})

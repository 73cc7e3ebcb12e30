"""The record of norms, and the rows that every observer keeps, against sums written out."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from symbreak.config.models import MlpSpec
from symbreak.config.specs import OptimiserSpec, TrainingSpec
from symbreak.errors import SymbreakError
from symbreak.models import mlp
from symbreak.models.model import State
from symbreak.training.observers import norms
from symbreak.training.observers.rows import Rows, gathered, scatter

STEPS, REPLICAS, RATE = 30, 2, 0.1
MODEL = mlp.build(
    MlpSpec.model_validate({"family": "mlp", "hidden": (5,), "norm": "batch"}), (1, 3, 3), 4, torch.float32
)
TRAINING = TrainingSpec(steps=STEPS, batch=8, optimiser=OptimiserSpec(name="sgd", lr=RATE))


def descent() -> tuple[list[State], list[State]]:
    """States and gradients of gradient descent on noise, in float32."""
    replicas = [MODEL.init(seed) for seed in range(REPLICAS)]
    state = {name: torch.stack([replica[name] for replica in replicas]) for name in replicas[0]}
    states, gradients, draw = [state], [], torch.Generator().manual_seed(4)
    for _ in range(STEPS):
        state = {name: value.clone() for name, value in states[-1].items()}
        gradients.append({n: torch.randn(v.shape, generator=draw) for n, v in state.items() if n not in MODEL.buffers})
        for name, gradient in gradients[-1].items():
            state[name] -= RATE * gradient
        states.append(state)
    return states, gradients


def record(observer: norms.Norms, states: list[State], gradients: list[State], start: int = 0) -> dict[str, Tensor]:
    for step in range(start, len(gradients)):
        observer.step(states[step], gradients[step], states[step + 1])
    return observer.tensors()


def total(values: Tensor, power: int) -> float:
    """The exactly rounded sum of the entries' powers, in Python's numbers."""
    return math.fsum(value**power for value in values.double().flatten().tolist())


def test_the_sums_are_those_of_the_entries() -> None:
    states, gradients = descent()
    observer = norms.build(MODEL, TRAINING, {})
    observer.start(states[0])
    found = record(observer, states, gradients)
    quantities = ("weight_norm2", "gradient_norm2", "gradient_sum", "update_norm2")
    assert found.keys() == {f"norms/{name}/{quantity}" for name in gradients[0] for quantity in quantities}
    for name in gradients[0]:
        for replica in range(REPLICAS):
            for step in (0, 1, STEPS - 1):
                gradient, before = gradients[step][name][replica], states[step][name][replica]
                moved = states[step + 1][name][replica] - before
                after = states[step + 1][name][replica]
                expected = [total(after, 2), total(gradient, 2), total(gradient, 1), total(moved, 2)]
                rows = [found[f"norms/{name}/{quantity}"][step, replica, 0] for quantity in quantities[1:]]
                rows.insert(0, found[f"norms/{name}/weight_norm2"][step + 1, replica, 0])
                np.testing.assert_allclose(rows, expected, rtol=1e-12, atol=1e-13)
        first = found[f"norms/{name}/weight_norm2"][0, :, 0].tolist()
        np.testing.assert_allclose(first, [total(states[0][name][r], 2) for r in range(REPLICAS)], rtol=1e-12)


def test_every_quantity_has_a_row_a_state_or_an_update_in_float64() -> None:
    states, gradients = descent()
    observer = norms.build(MODEL, TRAINING, {"parameters": ["layers.1.bias", "layers.0.weight"]})
    observer.start(states[0])
    found = record(observer, states, gradients)
    assert {name.split("/")[1] for name in found} == {"layers.1.bias", "layers.0.weight"}
    for name, value in found.items():
        assert value.dtype == torch.float64
        assert tuple(value.shape) == (STEPS + name.endswith("weight_norm2"), REPLICAS, 1)


def test_sums_of_large_parameters_keep_float64s_precision() -> None:
    """float32 would lose the small entries beside 2^24."""
    values = torch.full((1, 100_001), 1.0)
    values[0, 0] = 2.0**24
    observer = norms.Norms(None, frozenset())
    observer.start({"w": values})
    observer.step({"w": values}, {"w": values}, {"w": values * 2})
    found = observer.tensors()
    assert found["norms/w/gradient_sum"].item() == 2.0**24 + 1e5
    assert found["norms/w/gradient_norm2"].item() == pytest.approx(2.0**48 + 1e5, rel=1e-15)
    assert found["norms/w/update_norm2"].item() == pytest.approx(2.0**48 + 1e5, rel=1e-15)


@pytest.mark.parametrize("killed", [0, 1, 17, STEPS])
def test_an_interrupted_record_goes_on_to_the_same_bits(killed: int) -> None:
    states, gradients = descent()
    whole, before, after = (norms.build(MODEL, TRAINING, {}) for _ in range(3))
    whole.start(states[0])
    before.start(states[0])
    record(before, states, gradients[:killed])
    after.restore({name: value.clone() for name, value in before.state().items()})
    resumed, undisturbed = record(after, states, gradients, killed), record(whole, states, gradients)
    assert resumed.keys() == undisturbed.keys()
    assert all(torch.equal(resumed[name], undisturbed[name]) for name in undisturbed)


def test_options_and_names_that_make_no_sense_are_refused() -> None:
    for options in ({"parameter": ["w"]}, {"parameters": "w"}, {"parameters": []}, {"parameters": [1]}):
        with pytest.raises(SymbreakError, match="'parameters' only"):
            norms.build(MODEL, TRAINING, options)
    for name in ("layers.7.weight", "norms.0.running_var"):
        with pytest.raises(SymbreakError, match=rf"to watch \['{name}'\]"):
            norms.build(MODEL, TRAINING, {"parameters": ["layers.0.weight", name]}).start(descent()[0][0])


@pytest.mark.parametrize("interrupted", [0, 1, Rows.BLOCK - 1, Rows.BLOCK, Rows.BLOCK + 1])
def test_rows_keep_their_order_across_blocks_and_interruptions_and_are_copies(interrupted: int) -> None:
    rows, value, count = Rows(), torch.zeros(2, 3), 2 * Rows.BLOCK + 5
    for number in range(count):
        if number == interrupted:
            resumed = Rows()
            resumed.restore(rows.stacked())
            rows = resumed
        rows.append({"a": value.fill_(number)})
    assert torch.equal(rows.stacked()["a"], torch.arange(float(count))[:, None, None].expand(-1, 2, 3))


def test_records_are_gathered_and_scattered_by_name() -> None:
    first, second = {"x": Rows(), "y": Rows()}, {"x": Rows(), "y": Rows()}
    first["x"].append({"p/q": torch.ones(1, 2)})
    assert gathered(first).keys() == {"x/p/q"}
    second["y"].append({"p/q": torch.ones(1, 2)})
    scatter(second, gathered(first))
    assert torch.equal(second["x"].stacked()["p/q"], torch.ones(1, 1, 2))
    assert second["y"].stacked() == {}

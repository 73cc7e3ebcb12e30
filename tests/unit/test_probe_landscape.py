"""The probe ``landscape``."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from symbreak.config.models import CnnSpec, GaussnetSpec, MlpSpec
from symbreak.errors import SymbreakError
from symbreak.models import model
from symbreak.probes import landscape, landscape_mix
from symbreak.probes.landscape import Curve, alphas, line, measure, shape
from symbreak.probes.network import Data, Network, of_model, of_module
from symbreak.probes.scores import mean_error, score, share_error
from symbreak.training.losses import LOSSES

CASES: dict[str, Any] = {
    "relu": MlpSpec(family="mlp", hidden=(7, 5), activation="relu"),
    "tanh without bias": MlpSpec(family="mlp", hidden=(7,), activation="tanh", bias=False),
    "one layer": MlpSpec(family="mlp", hidden=()),
    "gauss-net with its shift": GaussnetSpec(family="gaussnet", width=6),
    "batch norm": MlpSpec(family="mlp", hidden=(7,), norm="batch"),
    "convolutions": CnnSpec(family="cnn", channels=(3,), pool=2),
}


def network(spec: Any, sets: int = 2, dtype: torch.dtype = torch.float64) -> Network:
    built = model.build(spec, (2, 4, 4), 3, dtype)
    states = [built.init(seed) for seed in range(sets)]
    generator = torch.Generator().manual_seed(5)
    for state in states:
        for name in built.buffers:
            state[name] = state[name] + torch.rand(state[name].shape, generator=generator, dtype=dtype)
    return of_model(built, {name: torch.stack([state[name] for state in states]) for name in states[0]})


def samples(n: int = 17, dtype: torch.dtype = torch.float64) -> Data:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn((n, 2, 4, 4), generator=generator, dtype=dtype)
    return Data(x, torch.randint(0, 3, (n,), generator=generator))


@torch.no_grad()
def direct(net: Network, data: Data, coefficients: np.ndarray[Any, Any], loss: str) -> tuple[Tensor, Tensor]:
    """The oracle: the mixed parameters written out, one after the other, the whole set at once."""
    losses, hits = [], []
    for row in coefficients:
        stored = net.parameters | net.buffers
        state = {n: sum(float(c) * value[k] for k, c in enumerate(row)) for n, value in stored.items()}
        outputs = net.call(state, data.x)
        losses.append(LOSSES[loss](outputs[None], data.y[None])[0])
        hits.append(outputs.argmax(1) == data.y)
    return torch.stack(losses), torch.stack(hits)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("cached", [1, 2**18])
def test_line_is_its_direct_evaluation(case: str, loss: str, cached: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landscape_mix, "SAMPLES", 5)  # 17 samples: the last chunk is ragged
    monkeypatch.setattr(landscape_mix, "CACHED", cached)
    net, data, grid = network(CASES[case]), samples(), alphas(7, 0.4)
    for whole in {net.stack is not None, False}:
        found = line(net if whole else replace(net, stack=None), data, LOSSES[loss], grid)
        losses, hits = direct(net, data, np.stack([1 - grid, grid], axis=1), loss)
        np.testing.assert_allclose(found.losses, losses, rtol=1e-12, atol=1e-14)
        np.testing.assert_array_equal(found.hits, hits)


@pytest.mark.parametrize("case", CASES)
def test_plane_is_its_direct_evaluation(case: str) -> None:
    net, data = network(CASES[case], sets=3), samples()
    found = measure(net, data, seed=0, points=4, buffers="interpolate").results
    for i, a in enumerate(found["alpha"].value):
        rows = np.array([[1 - a - b, a, b] for b in found["alpha"].value])
        losses, hits = direct(net, data, rows, "cross_entropy")
        np.testing.assert_allclose(found["loss"].value[i], losses.mean(1), rtol=1e-12)
        np.testing.assert_allclose(found["accuracy"].value[i], hits.double().mean(1))
        error = found["loss"].error
        assert error is not None
        np.testing.assert_allclose(error[i], losses.std(1) / np.sqrt(17), rtol=1e-12)


@pytest.mark.parametrize("case", ["relu", "convolutions"])
def test_ends_of_the_line_are_the_two_sets(case: str) -> None:
    """Not 1/n..1, the grid of a well-known package; exactly, in float32 too."""
    net, data = network(CASES[case], dtype=torch.float32), samples(dtype=torch.float32)
    report = measure(net, data, seed=0, points=11)
    assert report.results["alpha"].value[[0, -1]].tolist() == [0.0, 1.0]
    expected = LOSSES["cross_entropy"](net.outputs(data.x), data.y[None]).double().mean(1)
    ends = report.results["loss"].value[[0, -1]]
    np.testing.assert_allclose(ends, expected, rtol=1e-6)
    same = measure(replace(net, stack=None), data, seed=0, points=11).results["loss"].value
    np.testing.assert_allclose(report.results["loss"].value, same, rtol=1e-5)
    one_by_one = [
        LOSSES["cross_entropy"](net.call(net.one(r), data.x)[None], data.y[None]).double().mean() for r in (0, 1)
    ]
    np.testing.assert_array_equal(same[[0, -1]], one_by_one)


@given(points=st.integers(3, 60), beyond=st.floats(0, 2))
def test_grid_holds_both_ends_and_reaches_beyond(points: int, beyond: float) -> None:
    grid = alphas(points, beyond)
    assert {0.0, 1.0} <= set(grid)
    assert ((grid >= 0) & (grid <= 1)).sum() == points
    assert grid[0] <= -beyond + 1e-8
    assert grid[-1] >= 1 + beyond - 1e-8
    assert -grid[0] < beyond + 1 / (points - 1) + 1e-8
    np.testing.assert_allclose(np.diff(grid), 1 / (points - 1), rtol=1e-9)


def curve(losses: list[float]) -> Curve:
    grid = np.linspace(0, 1, len(losses))
    return Curve(grid, np.repeat(np.array(losses)[:, None], 4, axis=1), np.zeros((len(losses), 4), dtype=np.bool_))


def test_barriers_and_convexity_of_known_curves() -> None:
    hill = {name: value for name, (value, _) in shape(curve([3.0, 5.0, 4.0, 2.0, 1.0]), 0).items()}
    assert hill == pytest.approx({"barrier_over_chord": 2.5, "barrier_over_ends": 2.0, "convexity": 1 / 3})
    slope = {name: value for name, (value, _) in shape(curve([3.0, 2.9, 2.0, 1.0]), 0).items()}
    assert slope == pytest.approx({"barrier_over_chord": 2.9 - 3 + 2 / 3, "barrier_over_ends": 0.0, "convexity": 0})
    bowl = {name: value for name, (value, _) in shape(curve([4.0, 1.0, 0.0, 1.0, 4.0]), 0).items()}
    assert bowl == {"barrier_over_chord": 0.0, "barrier_over_ends": 0.0, "convexity": 1.0}


def test_barriers_leave_out_what_lies_beyond_the_ends() -> None:
    grid = alphas(3, 0.5)
    found = shape(
        Curve(grid, np.repeat(np.array([[9.0], [1.0], [2.0], [1.0], [9.0]]), 3, axis=1), grid[:, None] > 9), 0
    )
    assert found["barrier_over_ends"][0] == 1.0


def test_bootstrap_error_is_the_standard_error_of_a_barrier_at_a_fixed_place() -> None:
    rng = np.random.default_rng(0)
    peak = 5 + rng.standard_normal(400)
    losses = np.stack([rng.standard_normal(400), peak, rng.standard_normal(400)])
    value, error = shape(Curve(np.array([0.0, 0.5, 1.0]), losses, losses > 0), 1)["barrier_over_chord"]
    excess = losses[1] - (losses[0] + losses[2]) / 2
    assert value == pytest.approx(excess.mean())
    assert error == pytest.approx(mean_error(excess), rel=0.2)


def test_ties_count_as_argmax_has_them_and_errors_are_binomial() -> None:
    outputs = torch.tensor([[[1.0, 1.0], [1.0, 1.0], [0.0, 2.0], [2.0, 0.0]]])
    hits = score(outputs, torch.tensor([0, 1, 1, 1]), LOSSES["mse"])[1]
    assert hits.tolist() == [[True, False, True, False]]
    assert share_error(300, 1000) == pytest.approx(np.sqrt(0.3 * 0.7 / 1000), rel=2e-3)
    assert 0 < share_error(0, 1000) < 1e-3


def test_the_same_set_twice_has_no_barrier() -> None:
    net = network(CASES["relu"])
    twice = replace(
        net, parameters={n: value[:1].repeat(2, *[1] * (value.dim() - 1)) for n, value in net.parameters.items()}
    )
    found = measure(twice, samples(), seed=0).results
    assert np.ptp(found["loss"].value) < 1e-14
    assert found["barrier_over_ends"].value < 1e-14


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(32, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.body(x)
        return found


def test_running_statistics_are_refused_unless_interpolated() -> None:
    torch.manual_seed(0)
    net, data, states = Normed().double(), samples(), []
    for _ in range(2):
        net.train()(torch.randn(50, 2, 4, 4, dtype=torch.float64))
        states.append({name: value.clone() for name, value in net.state_dict().items()})
    two = of_module(net, states)
    with pytest.raises(SymbreakError, match="buffers=interpolate"):
        measure(two, data, seed=0)
    with pytest.raises(SymbreakError, match="training data in train mode"):
        measure(two, data, seed=0, buffers="recompute")
    found = measure(two, data, seed=0, points=3, buffers="interpolate").results["loss"].value
    mean = {
        n: (states[0][n] + states[1][n]) / 2 if states[0][n].is_floating_point() else states[0][n] for n in states[0]
    }
    net.load_state_dict(mean)
    with torch.no_grad():
        assert found[1] == pytest.approx(float(nn.functional.cross_entropy(net.eval()(data.x), data.y)))
    alike = of_module(net, [states[0], states[0]])
    assert measure(alike, data, seed=0, points=3).results["barrier_over_ends"].value == 0


def test_wrong_counts_options_and_numbers_are_refused() -> None:
    data = samples()
    for sets in (1, 4):
        with pytest.raises(SymbreakError, match=f"found {sets}"):
            measure(network(CASES["relu"], sets=sets), data, seed=0)
    for options in ({"points": 2}, {"beyond": -0.1}, {"beyond": float("nan")}):
        with pytest.raises(SymbreakError, match="'points'"):
            measure(network(CASES["relu"]), data, seed=0, **options)  # type: ignore[arg-type]
    with pytest.raises(SymbreakError, match="sum 1"):
        landscape_mix.mixtures(network(CASES["relu"]), np.array([[0.5, 0.4]]), data, LOSSES["mse"])
    net = network(CASES["relu"])
    net.parameters["layers.0.weight"][1, 0, 0] = float("nan")
    with pytest.raises(SymbreakError, match="NaN"):
        measure(net, data, seed=0)
    net.parameters["layers.0.weight"][1, 0, 0] = 1e300
    with pytest.raises(SymbreakError, match="overflow"):
        measure(net, data, seed=0, loss="mse")


def test_every_number_has_an_error_but_the_grid() -> None:
    found = measure(network(CASES["relu"]), samples(), seed=0).results
    assert [name for name, value in found.items() if value.error is None] == ["alpha"]
    again = measure(network(CASES["relu"]), samples(), seed=0).results
    assert all(np.array_equal(again[name].value, value.value) for name, value in found.items())
    assert landscape.NEEDS == "pair"

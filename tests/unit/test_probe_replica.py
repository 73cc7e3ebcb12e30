"""The probe ``replica``: distances of all pairs of replicas."""

import math
from itertools import combinations, pairwise, permutations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance
from torch import nn

from symbreak.config.models import MlpSpec
from symbreak.errors import SymbreakError
from symbreak.models.mlp import Mlp
from symbreak.probes import replica_distance
from symbreak.probes.network import Data, Network, of_model, of_module
from symbreak.probes.replica import NEEDS, measure
from symbreak.probes.replica_distance import indexed, jackknife, pair_means, wasserstein
from symbreak.probes.replica_matching import layers, matched

Array = NDArray[np.float64]
DATA = Data(torch.zeros(1, 1, 2, 2), torch.zeros(1, dtype=torch.int64))


def scipy_distances(values: Array) -> Array:
    found = np.zeros((len(values), len(values)))
    for r, s in combinations(range(len(values)), 2):
        found[r, s] = found[s, r] = wasserstein_distance(values[r], values[s])
    return found


def flat(network: Network) -> Array:
    return np.concatenate([v.reshape(network.count, -1).double().numpy() for v in network.parameters.values()], axis=1)


def mlp(hidden: tuple[int, ...], count: int, dtype: torch.dtype = torch.float64, **more: Any) -> Network:
    model = Mlp(MlpSpec(family="mlp", hidden=hidden, **more), (1, 2, 2), 3, dtype)
    states = [model.init(seed) for seed in range(count)]
    state = {name: torch.stack([s[name] for s in states]) for name in states[0]}
    for number, name in enumerate(sorted(state)):  # zero biases would hide whether they are counted
        if name.endswith("bias"):
            state[name] = state[name] + torch.randn(
                state[name].shape, dtype=dtype, generator=torch.Generator().manual_seed(number)
            )
    return of_model(model, state)


def sequential(*hidden: int, count: int = 4) -> Network:
    generator, widths = torch.Generator().manual_seed(5), [4, *hidden, 3]
    parts: list[nn.Module] = [nn.Flatten()]
    for fan_in, out in pairwise(widths):
        parts += [nn.Linear(fan_in, out), nn.Tanh()]
    module = nn.Sequential(parts[0], nn.Sequential(*parts[1:])).double()
    shapes = {name: value.shape for name, value in module.state_dict().items()}
    return of_module(
        module,
        [
            {n: torch.randn(shape, generator=generator, dtype=torch.float64) for n, shape in shapes.items()}
            for _ in range(count)
        ],
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("count", "length"), [(3, 1), (5, 7), (8, 1000)])
def test_distances_are_those_of_scipy_over_all_pairs(count: int, length: int, dtype: Any) -> None:
    values = np.random.default_rng(length).standard_normal((count, length)).astype(dtype)
    values[0] = 3 * values[0] + 1
    np.testing.assert_allclose(wasserstein(values), scipy_distances(values.astype(float)), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0])
def test_distance_of_any_order_is_the_least_over_all_couplings(p: float) -> None:
    values = np.random.default_rng(1).standard_normal((3, 5))
    for r, s in combinations(range(3), 2):
        least = min(np.mean(np.abs(values[r] - values[s, list(order)]) ** p) for order in permutations(range(5)))
        assert wasserstein(values, p)[r, s] == pytest.approx(least ** (1 / p), rel=1e-12)


def test_blocks_of_columns_give_the_whole_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(2).standard_normal((6, 301))
    whole = wasserstein(values), wasserstein(values, 2)
    monkeypatch.setattr(replica_distance, "BLOCK_BYTES", 1)
    monkeypatch.setattr(replica_distance, "LEAST_COLUMNS", 37)  # leaves a ragged last block
    for one, other in zip(whole, (wasserstein(values), wasserstein(values, 2)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 30), st.sampled_from([1.0, 2.0, 2.5]))
def test_distances_are_a_metric_and_know_shifts(seed: int, length: int, p: float) -> None:
    values = np.random.default_rng(seed).standard_normal((4, length))
    values[3] = np.random.default_rng(seed).permutation(values[0]) + 0.75
    found = wasserstein(values, p)
    assert (found == found.T).all()
    assert (np.diag(found) == 0).all()
    assert found[0, 3] == pytest.approx(0.75)
    assert (found[:, None] <= found[:, :, None] + found[None] + 1e-12).all()
    assert (found <= indexed(values, p) + 1e-12).all()


def test_equal_replicas_are_at_distance_exactly_zero() -> None:
    values = np.random.default_rng(0).standard_normal((1, 500)).astype(np.float32).repeat(3, axis=0)
    assert (wasserstein(values, 2) == 0).all()


def test_jackknife_is_that_of_means_computed_without_each_replica() -> None:
    distances = wasserstein(np.random.default_rng(3).standard_normal((6, 20)))
    mean, without = pair_means(distances)
    upper = np.triu_indices(6, 1)
    assert mean == pytest.approx(distances[upper].mean())
    again = [np.delete(np.delete(distances, r, 0), r, 1)[np.triu_indices(5, 1)].mean() for r in range(6)]
    np.testing.assert_allclose(without, again)
    assert jackknife(without) == pytest.approx(math.sqrt(5 / 6 * sum((a - np.mean(again)) ** 2 for a in again)))


def test_jackknife_error_is_the_spread_over_ensembles_and_not_that_of_independent_pairs() -> None:
    generator = np.random.default_rng(4)
    shifts = generator.standard_normal((400, 10, 1))  # samples of one number: W_1 = |difference|
    found = [pair_means(wasserstein(ensemble)) for ensemble in shifts]
    spread = np.std([mean for mean, _ in found])
    errors = np.sqrt(np.mean([jackknife(without) ** 2 for _, without in found]))
    naive = np.mean([wasserstein(e)[np.triu_indices(10, 1)].std() / math.sqrt(45) for e in shifts[:50]])
    assert 0.95 < errors / spread < 1.25
    assert naive < 0.7 * spread


def brute_force(network: Network, r: int, s: int, p: float) -> float:
    """One or two hidden layers, every order of their units."""
    a, b = network.one(r), network.one(s)
    names = [(n, n.replace("weight", "bias")) for n in a if n.endswith("weight")]
    levels = [range(a[weight].shape[0]) for weight, _ in names[:-1]]
    best = math.inf
    for orders in ([list(o) for o in pair] for pair in _products([list(permutations(level)) for level in levels])):
        rows = [*orders, list(range(3))]
        columns = [list(range(4)), *orders]
        total = sum(
            float((a[w] - b[w][row][:, column]).abs().pow(p).sum() + (a[v] - b[v][row]).abs().pow(p).sum())
            for (w, v), row, column in zip(names, rows, columns, strict=True)
        )
        best = min(best, total)
    return (best / network.size) ** (1 / p)


def _products(choices: list[list[Any]]) -> list[list[Any]]:
    return [[]] if not choices else [[first, *rest] for first in choices[0] for rest in _products(choices[1:])]


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("network", [mlp((4,), 4), sequential(4)], ids=["stack", "sequential"])
def test_with_one_hidden_layer_matching_is_the_minimum_over_all_orders(network: Network, p: float) -> None:
    found = layers(network)
    assert found is not None
    for (r, s), value in np.ndenumerate(matched(found, p)):
        assert value == pytest.approx(brute_force(network, r, s, p), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("p", [1.0, 2.0])
@pytest.mark.parametrize("network", [mlp((3, 3), 4), sequential(3, 3)], ids=["stack", "sequential"])
def test_with_more_hidden_layers_matching_lies_between_the_minimum_and_the_given_order(
    network: Network, p: float
) -> None:
    found = layers(network)
    assert found is not None
    matches, given = matched(found, p), indexed(flat(network), p)
    least = [[brute_force(network, r, s, p) for s in range(4)] for r in range(4)]
    assert (np.array(least) <= matches + 1e-12).all()
    assert (matches <= given + 1e-12).all()
    assert (matches < 0.99 * given).any()


def shuffled(network: Network, seed: int) -> Network:
    """Replica 0 beside copies of it with the hidden units of every layer in other orders."""
    generator, one = np.random.default_rng(seed), network.one(0)
    copies: list[dict[str, torch.Tensor]] = [one]
    for _ in range(2):
        copy, inputs = dict(one), np.arange(4)
        for weight in [n for n in one if n.endswith("weight")]:
            bias, last = weight.replace("weight", "bias"), weight == [n for n in one if n.endswith("weight")][-1]
            rows = np.arange(3) if last else generator.permutation(len(one[weight]))
            copy[weight], copy[bias], inputs = one[weight][rows][:, inputs], one[bias][rows], rows
        copies.append(copy)
    return Network(
        {n: torch.stack([c[n] for c in copies]) for n in one}, {}, network.call, network.stack, network.module
    )


@pytest.mark.parametrize("network", [mlp((9,), 3), sequential(9, count=3)], ids=["stack", "sequential"])
def test_copies_with_shuffled_neurons_are_matched_exactly(network: Network) -> None:
    copies = shuffled(network, 0)
    x = torch.randn(5, 1, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    outputs = copies.outputs(x)
    torch.testing.assert_close(outputs[0], outputs[1])
    found = measure(copies, DATA, seed=0).results
    assert found["mean_matched_distance"].value == 0
    assert found["mean_distance"].value == pytest.approx(0, abs=1e-15)
    assert found["mean_indexed_distance"].value > 0.1
    assert found["metric_raw"].value == pytest.approx(0, abs=1e-15)


def test_measure_reports_every_distance_of_every_tensor() -> None:
    network = mlp((6,), 5, torch.float32)
    report = measure(network, DATA, seed=1)
    found = report.results
    np.testing.assert_allclose(found["distance"].value, scipy_distances(flat(network)), rtol=1e-10)
    assert found["distance"].error is None
    assert found["layer_distance"].value.shape == (4, 5, 5)
    for number, value in enumerate(network.parameters.values()):
        expected = scipy_distances(value.reshape(5, -1).double().numpy())
        np.testing.assert_allclose(found["layer_distance"].value[number], expected, rtol=1e-10)
    assert found["mean_layer_distance"].error is not None
    assert found["matched_distance"].axes == ("replica", "other")
    assert report.warnings == []
    assert len(report.table()) == sum(v.value.size for v in found.values())


def test_metric_is_its_definition() -> None:
    network = mlp((6,), 6)
    weights = [network.parameters[f"layers.{layer}.weight"].reshape(6, -1).numpy() for layer in (0, 1)]
    d = np.array([scipy_distances(w)[np.triu_indices(6, 1)].mean() for w in weights])
    s, n = np.array([w.std() for w in weights]), np.array([w.shape[1] for w in weights])
    found = measure(network, DATA, seed=1, p=2.0).results  # p is none of the metric's business
    assert found["metric_raw"].value == pytest.approx(d.mean())
    assert found["metric_normalised"].value == pytest.approx((d / s).mean())
    assert found["metric_weighted"].value == pytest.approx((d / s) @ n / n.sum())
    both = np.concatenate(weights, axis=1)
    concatenated = scipy_distances(both)[np.triu_indices(6, 1)].mean() / both.std()
    assert found["metric_concatenated"].value == pytest.approx(concatenated)
    expected = found["metric_normalised"].value - found["metric_floor"].value
    assert found["metric_excess"].value == pytest.approx(expected)


def test_jackknife_of_the_metric_leaves_a_replica_out_of_distance_and_spread() -> None:
    network = mlp((6,), 6)
    whole = measure(network, DATA, seed=1, match=False).results["metric_normalised"]
    without = []
    for r in range(6):
        kept = {n: torch.cat([v[:r], v[r + 1 :]]) for n, v in network.parameters.items()}
        fewer = Network(kept, {}, network.call, network.stack)
        without.append(float(measure(fewer, DATA, seed=1, match=False).results["metric_normalised"].value))
    assert whole.error == pytest.approx(math.sqrt(5 / 6 * float(np.sum((np.array(without) - np.mean(without)) ** 2))))


def test_the_floor_is_what_equally_distributed_replicas_have() -> None:
    """Replicas that differ by chance alone have no excess; a replica whose weights are tripled has."""
    module = nn.Linear(30, 40)
    draw = torch.Generator().manual_seed(0)
    states = [{"weight": torch.randn(40, 30, generator=draw), "bias": torch.zeros(40)} for _ in range(8)]
    by_chance = measure(of_module(module, states), DATA, seed=0).results
    excess = by_chance["metric_excess"]
    assert excess.error is not None
    assert abs(excess.value) < 4 * excess.error
    assert by_chance["metric_floor"].value == pytest.approx(by_chance["metric_normalised"].value, rel=0.15)
    states[0]["weight"] *= 3
    changed = measure(of_module(module, states), DATA, seed=0).results
    assert changed["metric_excess"].value > 3 * by_chance["metric_floor"].value


def test_results_do_not_depend_on_the_order_of_replicas() -> None:
    network = mlp((4,), 5)
    turned = Network({n: v.flip(0) for n, v in network.parameters.items()}, {}, network.call, network.stack)
    one, other = (measure(n, DATA, seed=0).results for n in (network, turned))
    for name in ("mean_distance", "mean_matched_distance", "metric_normalised"):
        assert one[name].value == pytest.approx(other[name].value)
        assert one[name].error == pytest.approx(other[name].error)


def tied() -> nn.Sequential:
    shared = nn.Linear(4, 4)
    return nn.Sequential(shared, nn.Tanh(), shared, nn.Linear(4, 3))


UNMATCHED = [
    nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)),
    nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6, 3)),  # units meet more than one column
    nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 3)),
    nn.Sequential(nn.Linear(4, 4), nn.Softmax(1), nn.Linear(4, 3)),
    tied(),
    nn.Linear(4, 3),
]


@pytest.mark.parametrize("module", UNMATCHED, ids=["conv", "flatten", "norm", "softmax", "tied", "bare"])
def test_networks_of_other_parts_are_not_matched_and_the_report_says_so(module: nn.Module) -> None:
    trained = dict(module.named_parameters())
    values = {n: torch.stack([v.detach() + r for r in range(3)]) for n, v in trained.items()}
    report = measure(Network(values, {}, lambda state, x: x, module=module), DATA, seed=0)
    assert "matched_distance" not in report.results
    assert any("neurons were not matched" in warning for warning in report.warnings)


def test_deep_matching_and_few_replicas_are_warned_of() -> None:
    warnings = " ".join(measure(mlp((4, 4), 3), DATA, seed=0).warnings)
    assert "upper bound" in warnings
    assert "at least 5 replicas" in warnings


def test_constant_tensors_leave_the_metric_out() -> None:
    network = sequential(3)
    network.parameters["1.0.weight"] = torch.ones_like(network.parameters["1.0.weight"])
    report = measure(network, DATA, seed=0)
    assert "distance" in report.results
    assert not [name for name in report.results if name.startswith("metric")]
    assert any("['1.0.weight'] are equal" in warning for warning in report.warnings)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_short_floats_are_read(dtype: torch.dtype) -> None:
    network = mlp((4,), 3)
    short = {n: v.to(dtype) for n, v in network.parameters.items()}
    found = measure(Network(short, {}, network.call, network.stack), DATA, seed=0, match=False)
    values = np.concatenate([v.reshape(3, -1).double().numpy() for v in short.values()], axis=1)
    np.testing.assert_allclose(found.results["distance"].value, scipy_distances(values), rtol=1e-6)


def broken(value: float) -> Network:
    network = mlp((4,), 3)
    network.parameters["layers.0.weight"][1, 0, 0] = value
    return network


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: measure(mlp((4,), 2), DATA, seed=0), "at least 3 sets of weights, found 2"),
        (lambda: measure(broken(math.nan), DATA, seed=0), r"replicas \[1\] have NaN or infinite"),
        (lambda: measure(broken(math.inf), DATA, seed=0), r"replicas \[1\] have NaN or infinite"),
        (lambda: measure(mlp((4,), 3), DATA, seed=0, p=0.5), "at least 1, found 0.5"),
        (lambda: measure(mlp((4,), 3), DATA, seed=0, p=math.inf), "at least 1, found inf"),
        (lambda: measure(mlp((4,), 3), DATA, seed=0, splits=1), "'splits' must be at least 2"),
        (lambda: wasserstein([np.zeros(3), np.zeros(4)]), r"equally many weights, at least one, found \[3, 4\]"),
        (lambda: wasserstein(np.zeros((3, 0))), "at least one"),
        (lambda: pair_means(np.zeros((2, 2))), "at least 3 replicas"),
    ],
)
def test_what_it_cannot_measure_is_refused(call: Any, words: str) -> None:
    with pytest.raises(SymbreakError, match=words):
        call()


def test_too_many_replicas_are_refused_before_anything_is_computed() -> None:
    many = {f"w{number}": torch.zeros(()).expand(4000, 1) for number in range(9)}
    with pytest.raises(SymbreakError, match="give fewer"):
        measure(Network(many, {}, lambda state, x: x), DATA, seed=0)


def test_it_needs_an_ensemble() -> None:
    assert NEEDS == "ensemble"

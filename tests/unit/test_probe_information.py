"""Information of hidden layers: brute force, integrals and closed forms first, then networks, then known failures."""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from torch import Tensor, nn

from symbreak.config.models import GaussnetSpec, MlpSpec
from symbreak.errors import SymbreakError
from symbreak.models.model import build
from symbreak.probes import information, information_binning, information_bounds, information_layers
from symbreak.probes.information_binning import binned_information, keys, plug_in
from symbreak.probes.information_bounds import SUBSETS, TILE, arrange, kernel_bounds
from symbreak.probes.network import Data, Network, of_model, of_module
from symbreak.probes.report import Report

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
VARIANCES = (1e-3, 1e-1, 1.0)


def entropy_of(things: Sequence[Hashable]) -> float:
    counts = Counter(things)
    return -sum(n / len(things) * math.log2(n / len(things)) for n in counts.values())


def brute_force(t: Floats, y: Ids, bins: int, low: float, high: float) -> tuple[float, float]:
    """H(T) and H(T) + H(Y) - H(T,Y) of tuples of bins, found one activation after the other."""
    edges = [low + (high - low) * k / bins for k in range(1, bins)]
    cells = [tuple(sum(value >= edge for edge in edges) for value in row) for row in t.tolist()]
    joint = list(zip(cells, y.tolist(), strict=True))
    return entropy_of(cells), entropy_of(cells) + entropy_of(y.tolist()) - entropy_of(joint)


def naive(t: Floats, variance: float, factor: int) -> float:
    """-mean_i log2 mean_j exp(-d_ij / (factor s^2)), all at once."""
    exponents = -cdist(t, t, "sqeuclidean") / (factor * variance)
    return float(-(logsumexp(exponents, axis=1) - math.log(len(t))).mean() / math.log(2))


def naive_bounds(t: Floats, y: Ids, variance: float) -> dict[str, float]:
    """The bounds and the estimate from the formula, without cuts."""
    upper, lower = (naive(t, variance, factor) for factor in (2, 8))
    within = [
        sum(np.mean(y == label) * naive(t[y == label], variance, factor) for label in np.unique(y)) for factor in (2, 8)
    ]
    differences = {"ity_upper": upper - within[1], "ity_lower": lower - within[0], "ity_kl": upper - within[0]}
    return {"ixt_upper": upper, "ixt_lower": lower, **differences}


def drawn(samples: int, width: int, classes: int, seed: int = 0) -> tuple[Floats, Ids]:
    """Activations in [-1, 1] around a centre a class, and labels."""
    random = np.random.default_rng(seed)
    y = random.integers(0, classes, samples)
    t = np.tanh(random.standard_normal((classes, width))[y] + 0.5 * random.standard_normal((samples, width)))
    return t, y


def bounds_of(t: Floats, y: Ids, variances: Sequence[float] = VARIANCES) -> dict[str, tuple[Floats, Floats]]:
    return kernel_bounds(torch.from_numpy(t), arrange(y, 0), variances).combined()


# binning


@pytest.mark.parametrize("bins", [2, 7, 30])
@pytest.mark.parametrize(("samples", "width", "classes"), [(200, 1, 2), (300, 3, 4), (500, 40, 10), (64, 2, 1)])
def test_binned_information_is_that_of_the_joint_histogram(samples: int, width: int, classes: int, bins: int) -> None:
    t, y = drawn(samples, width, classes)
    ixt, ity = binned_information(torch.from_numpy(t), y, bins=bins, low=-1, high=1, seed=3)
    expected = brute_force(t, y, bins, -1, 1)
    assert (ixt.value, ity.value) == pytest.approx(expected, abs=1e-11)


@given(st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=2, max_size=40), st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_samples_have_the_same_key_exactly_if_they_have_the_same_bins(cells: list[tuple[int, ...]], seed: int) -> None:
    t = torch.tensor(cells, dtype=torch.float32)
    found = keys(t, bins=4, low=0, high=4, seed=seed)
    same = [[a == b for b in cells] for a in cells]
    assert (found[:, None] == found[None]).tolist() == same


def test_keys_do_not_depend_on_blocks_columns_at_a_time_or_the_order_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    t = torch.from_numpy(drawn(301, 37, 3)[0]).float()
    whole = keys(t, bins=30, low=-1, high=1, seed=0)
    np.testing.assert_array_equal(whole, keys(t.T.contiguous().T, bins=30, low=-1, high=1, seed=0))
    monkeypatch.setattr(information_binning, "BLOCK", 37 * 8)
    monkeypatch.setattr(information_binning, "EXACT", 30 * 5)
    np.testing.assert_array_equal(whole, keys(t, bins=30, low=-1, high=1, seed=0))
    assert not np.isin(whole, keys(t, bins=30, low=-1, high=1, seed=1)).any()


def test_keys_are_exact_for_many_bins_and_columns() -> None:
    """The key is the integer sum modulo 2^64, also where a float64 product over all columns would round."""
    bins, t = 2**16, torch.arange(2**16 - 64, 2**16, dtype=torch.float64).repeat(3, 1)
    t[1, 5] -= 1
    coefficients = np.random.default_rng(information_binning.derive(4, "information", "hash")).integers(
        0, 2**32, (64, 2)
    )
    expected = [
        sum((int(a) + (int(b) << 32)) * int(cell) for (a, b), cell in zip(coefficients, row, strict=True)) % 2**64
        for row in t.tolist()
    ]
    found = keys(t, bins=bins, low=0, high=bins, seed=4)
    assert [int(key) % 2**64 for key in found] == expected
    assert found[0] == found[2] != found[1]


def test_edges_belong_to_the_upper_bin_and_the_last_edge_to_the_last_bin() -> None:
    t = torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0, 0.75]).unsqueeze(1)
    found = keys(t, bins=4, low=-1, high=1, seed=0)
    assert len(set(found)) == 4
    assert found[3] == found[4] == found[5]


def test_activations_are_left_as_they_are() -> None:
    t = torch.from_numpy(drawn(50, 3, 2)[0])
    before = t.clone()
    keys(t, bins=5, low=-1, high=1, seed=0)
    kernel_bounds(t, arrange(np.arange(50) % 2, 0), VARIANCES)
    assert torch.equal(t, before)


def test_the_error_covers_bias_and_scatter_of_repeated_draws() -> None:
    """8 equal cells, labels that are their parity: H = 3, I = 1 bit; and labels that are noise: I = 0."""
    random, samples, seen = np.random.default_rng(0), 100, []
    for _ in range(400):
        cells, noise = random.integers(0, 8, samples), random.integers(0, 2, samples)
        seen.append([plug_in(cells, cells % 2), plug_in(cells, noise)])
    entropies, gains, nothing = (
        [(e.value, e.error) for e in series]
        for series in ([s[0][0] for s in seen], [s[0][1] for s in seen], [s[1][1] for s in seen])
    )
    for found, truth in ((entropies, 3.0), (gains, 1.0), (nothing, 0.0)):
        values, errors = np.array(found).T
        rms = math.sqrt(np.mean((values - truth) ** 2))
        assert 0.6 * rms < np.mean(errors) < 1.7 * rms


# kernel bounds


@pytest.mark.parametrize("width", [1, 20, 100])
@pytest.mark.parametrize(
    ("samples", "classes"), [(TILE, 2), (TILE + 1, 3), (2 * TILE - 9, 10), (3 * TILE + 5, 1), (50, 40), (16, 2)]
)
def test_bounds_are_the_naive_formula(samples: int, classes: int, width: int) -> None:
    t, y = drawn(samples, width, classes)
    found = bounds_of(t, np.unique(y, return_inverse=True)[1])
    for v, variance in enumerate(VARIANCES):
        for name, expected in naive_bounds(t, y, variance).items():
            assert found[name][0][v] == pytest.approx(expected, abs=1e-6), (name, variance)


def test_float32_activations_far_from_zero_lose_nothing() -> None:
    t, y = drawn(300, 20, 3)
    shifted = (t + 50).astype(np.float32)
    found = kernel_bounds(torch.from_numpy(shifted), arrange(y, 0), [1e-3]).combined()
    for name, expected in naive_bounds(shifted.astype(np.float64), y, 1e-3).items():
        assert found[name][0][0] == pytest.approx(expected, abs=1e-6)


def exact(t: Floats, y: Ids, variance: float) -> tuple[float, float]:
    """I(X;T) and I(T;Y) of one unit with noise, by integrating the mixtures' densities."""
    width = math.sqrt(variance)
    grid = np.linspace(t.min() - 9 * width, t.max() + 9 * width, 40_001)

    def differential_entropy(points: Floats) -> float:
        density = np.exp(-((grid[:, None] - points) ** 2) / (2 * variance)).mean(1) / math.sqrt(2 * math.pi * variance)
        return float(np.trapezoid(-density * np.log2(np.maximum(density, 1e-300)), grid))

    h = differential_entropy(t[:, 0])
    within = sum(np.mean(y == label) * differential_entropy(t[y == label, 0]) for label in np.unique(y))
    return h - 0.5 * math.log2(2 * math.pi * math.e * variance), h - within


@pytest.mark.parametrize("variance", [1e-5, 1e-3, 1e-2, 1e-1, 10.0])
def test_bounds_enclose_the_integrals(variance: float) -> None:
    t, y = drawn(40, 1, 3)
    ixt, ity = exact(t, y, variance)
    found = {name: float(value[0]) for name, (value, _) in bounds_of(t, y, [variance]).items()}
    assert found["ixt_lower"] - 1e-6 <= ixt <= found["ixt_upper"] + 1e-6
    assert found["ity_lower"] - 1e-6 <= ity <= found["ity_upper"] + 1e-6


@pytest.mark.parametrize("ratio", [0.5, 3.0, 30.0])
@pytest.mark.parametrize("width", [1, 2])
def test_bounds_of_gaussian_activations_are_their_closed_form_and_enclose_the_channels(
    width: int, ratio: float
) -> None:
    """h ~ N(0, ratio) in each of D units, noise 1: I = D/2 log2(1 + ratio) (the Gaussian channel).

    With tau = 1 for the upper, 4 for the lower bound, E_h -ln E_h' exp(-(h - h')^2 / 2 tau) is
    D/2 [ln(1 + ratio/tau) + ratio/(ratio + tau)].
    """
    t = math.sqrt(ratio) * np.random.default_rng(5).standard_normal((3000, width))
    found = bounds_of(t, np.zeros(len(t), dtype=np.int64), [1.0])
    for name, tau in (("ixt_upper", 1.0), ("ixt_lower", 4.0)):
        closed = width / 2 * (math.log2(1 + ratio / tau) + ratio / (ratio + tau) / math.log(2))
        value, error = (float(part[0]) for part in found[name])
        assert abs(value - closed) < 4 * error < 0.15 * closed
    channel = width / 2 * math.log2(1 + ratio)
    assert found["ixt_lower"][0][0] < channel < found["ixt_upper"][0][0]


def test_the_jackknife_is_that_of_the_estimate_without_each_subset() -> None:
    t, y = drawn(90, 2, 3)
    arrangement = arrange(y, 7)
    found = kernel_bounds(torch.from_numpy(t), arrangement, [1e-2])
    for subset in range(SUBSETS):
        left = np.delete(arrangement.order, np.arange(subset, len(arrangement.order), SUBSETS))
        rows = left[left >= 0]
        expected = naive_bounds(t[rows], y[rows], 1e-2)
        (upper, lower), (upper_within, _) = found.inputs[:, 0, 1 + subset], found.within[:, 0, 1 + subset]
        assert upper == pytest.approx(expected["ixt_upper"], abs=1e-6)
        assert lower == pytest.approx(expected["ixt_lower"], abs=1e-6)
        assert upper - upper_within == pytest.approx(expected["ity_kl"], abs=1e-6)
    values = found.inputs[0, 0]
    bias = (SUBSETS - 1) * (values[1:].mean() - values[0])
    scatter = (SUBSETS - 1) / SUBSETS * ((values[1:] - values[1:].mean()) ** 2).sum()
    assert found.combined()["ixt_upper"][1][0] == pytest.approx(math.sqrt(bias**2 + scatter))


@given(st.lists(st.integers(0, 6), min_size=16, max_size=120), st.integers(0, 100))
@settings(max_examples=50, deadline=None)
def test_every_sample_has_one_place_with_its_label_and_no_label_wastes_a_subset(labels: list[int], seed: int) -> None:
    y = np.unique(labels, return_inverse=True)[1]
    found = arrange(y, seed)
    assert sorted(found.order[found.filled]) == list(range(len(y)))
    for label, (start, stop) in enumerate(zip(found.starts[:-1], found.starts[1:], strict=True)):
        members = found.order[start:stop]
        assert (y[members[members >= 0]] == label).all()
        places, filled = stop - start, (members >= 0).sum()
        assert places % SUBSETS == 0 and filled <= places < filled + SUBSETS


def test_twins_have_one_bit_less_and_identical_samples_none() -> None:
    t = np.arange(64.0)[:, None] * 100
    twins = np.repeat(t[:32], 2, axis=0)
    y = np.arange(64) % 2
    for samples, expected in ((t, 6.0), (twins, 5.0), (np.ones((64, 3)), 0.0)):
        found = bounds_of(samples, y, [1e-2])
        assert found["ixt_upper"][0][0] == pytest.approx(expected, abs=1e-6)
        assert found["ixt_lower"][0][0] == pytest.approx(expected, abs=1e-6)


def test_pairs_too_far_for_float32_count_nothing_and_do_not_become_denormal() -> None:
    assert math.exp(information_bounds.LEAST_EXPONENT) > np.finfo(np.float32).tiny
    t, y = np.array([0.0, 1.0, 1e4])[np.arange(33) % 3][:, None], np.arange(33) % 2
    found = bounds_of(t, y, [1e-3])
    assert found["ixt_upper"][0][0] == pytest.approx(math.log2(3), abs=1e-6)
    with pytest.raises(SymbreakError, match="do not resolve"):
        bounds_of(10 * t, y, [1e-3])


# networks


def mlp(replicas: int = 2, activation: str = "tanh", seed: int = 0, hidden: tuple[int, ...] = (6, 4, 3)) -> Network:
    spec = MlpSpec.model_validate({"family": "mlp", "hidden": hidden, "activation": activation})
    model = build(spec, (1, 2, 3), 4, torch.float64)
    states = [model.init(seed + r) for r in range(replicas)]
    return of_model(model, {name: torch.stack([state[name] for state in states]) for name in states[0]})


MODULES: dict[str, Any] = {"tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid}


def as_module(network: Network, activation: str) -> Network:
    """The same MLP as a torch module, which probes see through hooks only."""
    shapes = [network.parameters[f"layers.{layer}.weight"].shape[1:] for layer in range(4)]
    layers: list[nn.Module] = [nn.Flatten()]
    for out, fan_in in shapes:
        layers += [nn.Linear(fan_in, out, dtype=torch.float64), MODULES[activation]()]
    names = {f"layers.{layer}": f"{2 * layer + 1}" for layer in range(4)}
    states = [
        {f"{names[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": v for name, v in network.one(r).items()}
        for r in range(network.count)
    ]
    return of_module(nn.Sequential(*layers[:-1]), states)


def samples(count: int, classes: int = 4, seed: int = 1) -> Data:
    random = np.random.default_rng(seed)
    y = random.integers(0, classes, count)
    x = random.standard_normal((classes, 1, 2, 3))[y] + 0.3 * random.standard_normal((count, 1, 2, 3))
    return Data(torch.from_numpy(x), torch.from_numpy(y))


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize(
    ("activation", "range_"), [("tanh", "activation"), ("tanh", "data"), ("relu", "data"), ("sigmoid", "activation")]
)
def test_all_layers_of_all_sets_are_measured_as_by_hand(activation: str, range_: str, loss: str) -> None:
    network, data = mlp(3, activation), samples(150)
    report = information.measure(network, data, seed=5, loss=loss, bins=6, range=range_, noise_variance=VARIANCES)
    function = {"tanh": np.tanh, "relu": lambda z: np.maximum(z, 0), "sigmoid": lambda z: 1 / (1 + np.exp(-z))}[
        activation
    ]
    y = data.y.numpy()
    layers: list[list[Floats]] = []
    for r in range(3):
        h, seen = data.x.flatten(1).numpy(), []
        for layer in range(3):
            weights, bias = (network.one(r)[f"layers.{layer}.{part}"].numpy() for part in ("weight", "bias"))
            h = function(h @ weights.T + bias)
            seen.append(h)
        layers.append(seen)
    for layer in range(3):
        every = np.concatenate([layers[r][layer] for r in range(3)])
        given_by_function = {"tanh": (-1.0, 1.0), "sigmoid": (0.0, 1.0)}.get(activation)
        low, high = given_by_function if range_ == "activation" and given_by_function else (every.min(), every.max())
        for r in range(3):
            expected = brute_force(layers[r][layer], y, 6, low, high)
            got = [report.results[name].value[r, layer] for name in ("ixt_binned", "ity_binned")]
            assert got == pytest.approx(expected, abs=1e-10)
            for v, variance in enumerate(VARIANCES):
                bounds = naive_bounds(layers[r][layer], y, variance)
                for name, value in bounds.items():
                    cut = np.clip(value, 0, entropy_of(y.tolist())) if name in ("ity_upper", "ity_lower") else value
                    assert report.results[name].value[r, layer, v] == pytest.approx(cut, abs=1e-6)
    assert report.results["input_entropy"].value == pytest.approx(math.log2(150))
    assert report.results["label_entropy"].value == pytest.approx(entropy_of(y.tolist()))
    assert report.results["width"].value.tolist() == [6, 4, 3]


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_a_module_is_measured_through_hooks_as_its_stack_is(activation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(information_layers, "BATCH", 64)  # the last batch is ragged
    network, data = mlp(2, activation), samples(150)
    module = as_module(network, activation)
    torch.testing.assert_close(module.outputs(data.x), network.outputs(data.x))
    ours, theirs = (information.measure(n, data, seed=0) for n in (network, module))
    assert ours.results.keys() == theirs.results.keys()
    for name, found in ours.results.items():
        np.testing.assert_allclose(theirs.results[name].value, found.value, atol=1e-9, err_msg=name)
        if found.error is not None:
            np.testing.assert_allclose(theirs.results[name].error, found.error, atol=1e-6, err_msg=name)
    assert not list(module.module.modules())[1]._forward_hooks  # type: ignore[union-attr]


def test_sets_are_measured_alone_as_together_where_bins_are_fixed() -> None:
    network, data = mlp(3), samples(80)
    together = information.measure(network, data, seed=0, range="activation")
    for r in range(3):
        alone = Network({k: v[r : r + 1] for k, v in network.parameters.items()}, {}, network.call, network.stack)
        report = information.measure(alone, data, seed=0, range="activation")
        for name in ("ixt_binned", "ity_binned", *information.CUT):
            np.testing.assert_allclose(report.results[name].value[0], together.results[name].value[r], atol=1e-9)


def test_gaussnets_layer_is_the_exponential_less_its_normaliser() -> None:
    model = build(GaussnetSpec(family="gaussnet", width=5), (1, 2, 3), 2, torch.float64)
    network, data = of_model(model, {k: v[None] for k, v in model.init(0).items()}), samples(60)
    (found,) = information_layers.hidden_layers(network, data.x).activations(0)
    hidden = found.numpy() @ network.one(0)["layers.1.weight"].numpy().T + network.one(0)["layers.1.bias"].numpy()
    np.testing.assert_allclose(hidden, network.outputs(data.x)[0].numpy(), rtol=1e-9)


class Odd(nn.Module):
    """Functions instead of modules, one module called twice, one that writes in place, one with a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 5), nn.Linear(5, 5), nn.Linear(5, 2)
        self.act, self.recurrent = nn.ReLU(inplace=True), nn.GRU(6, 6, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        h = self.act(self.first(self.recurrent(x)[0].flatten(1)))
        h += 100
        last: Tensor = self.last(torch.tanh(self.act(self.second(h - 100))))
        return last


def test_modules_are_read_at_every_call_and_before_others_write_in_their_place() -> None:
    torch_state = torch.random.get_rng_state()
    network = of_module(Odd())
    torch.random.set_rng_state(torch_state)
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((40, 1, 6))).float()
    layers = information_layers.hidden_layers(network, x)
    assert [layer.name for layer in layers.found] == ["act", "act"]
    first, second = layers.activations(0)
    assert first.max() < 50
    weights = network.one(0)
    torch.testing.assert_close(second, torch.relu(first @ weights["second.weight"].T + weights["second.bias"]))
    named = information_layers.hidden_layers(network, x, ["second", "last"])
    assert [(layer.name, layer.width) for layer in named.found] == [("second", 5), ("last", 2)]
    with pytest.raises(SymbreakError, match="module 'recurrent' is not one tensor"):
        information_layers.hidden_layers(network, x, ["recurrent"])
    with pytest.raises(SymbreakError, match=r"no leaf modules \['third'\]"):
        information_layers.hidden_layers(network, x, ["third"])


def test_networks_without_layers_to_read_are_refused() -> None:
    data = samples(40)
    bare = mlp()
    with pytest.raises(SymbreakError, match="neither a stack"):
        information.measure(Network(bare.parameters, {}, bare.call), data, seed=0)
    with pytest.raises(SymbreakError, match="no activation modules"):
        information.measure(of_module(nn.Sequential(nn.Flatten(), nn.Linear(6, 4))), data, seed=0)
    with pytest.raises(SymbreakError, match="no hidden layers"):
        information.measure(mlp(hidden=()), data, seed=0)


def test_layers_of_a_stack_are_chosen_by_name() -> None:
    report = information.measure(mlp(), samples(40), seed=0, layers=["layers.2", "layers.0"], noise_variance=())
    assert report.results["width"].value.tolist() == [6, 3]
    assert "ixt_upper" not in report.results


# known failures


def test_a_missing_class_changes_nothing() -> None:
    data = samples(100, classes=3)
    gap = Data(data.x, torch.tensor([0, 5, 9])[data.y])
    ours, theirs = (information.measure(mlp(), d, seed=0) for d in (data, gap))
    for name, found in ours.results.items():
        np.testing.assert_array_equal(theirs.results[name].value, found.value)


def test_one_class_is_zero_information_and_a_warning() -> None:
    data = samples(100, classes=1)
    report = information.measure(mlp(), data, seed=0)
    for name in ("ity_binned", "ity_upper", "ity_lower", "ity_kl", "label_entropy"):
        assert np.abs(report.results[name].value).max() < 1e-9
    assert any("all labels are equal" in sentence for sentence in report.warnings)


def test_constant_features_know_nothing_and_are_said() -> None:
    network = mlp()
    for part in ("weight", "bias"):
        network.parameters[f"layers.1.{part}"].zero_()
    report = information.measure(network, samples(60), seed=0)
    for name in ("ixt_binned", "ixt_upper", "ixt_lower", "ity_binned", "ity_upper"):
        assert np.abs(report.results[name].value[:, 1:]).max() < 1e-6
    assert "all activations of layers [1, 2] are equal, so that they know nothing" in report.warnings


def ceilings(report: Report) -> list[str]:
    return [sentence for sentence in report.warnings if "is at its ceiling" in sentence]


def test_saturation_is_said_where_it_is_and_nowhere_else() -> None:
    data = samples(300)
    fine = information.measure(mlp(1), data, seed=0, bins=10_000, noise_variance=1e-9)
    assert len(ceilings(fine)) == 3
    assert "in layers [0, 1, 2] (3 of 3 values of ixt_binned)" in ceilings(fine)[0]
    np.testing.assert_allclose(fine.results["ixt_binned"].value, math.log2(300))
    coarse = information.measure(mlp(1), data, seed=0, bins=2, noise_variance=[1.0])
    assert not ceilings(coarse)


def test_the_ceiling_of_repeated_inputs_is_their_entropy() -> None:
    data = samples(64)
    twice = Data(torch.cat([data.x, data.x]), torch.cat([data.y, data.y]))
    once, again = (information.measure(mlp(1), d, seed=0, bins=10_000, noise_variance=1e-9) for d in (data, twice))
    assert again.results["input_entropy"].value == pytest.approx(6)
    assert len(ceilings(again)) == 3
    for name in ("ixt_binned", "ity_binned", "ixt_upper", "ity_kl"):
        np.testing.assert_allclose(again.results[name].value, once.results[name].value, atol=1e-6)


def test_not_finite_inputs_weights_and_activations_are_refused() -> None:
    data, broken = samples(40), mlp()
    x = data.x.clone()
    x[3, 0, 0, 0] = math.nan
    with pytest.raises(SymbreakError, match="inputs are not all finite"):
        information.measure(mlp(), Data(x, data.y), seed=0)
    broken.parameters["layers.1.weight"][1, 0, 0] = math.nan
    with pytest.raises(SymbreakError, match=r"layers \['layers.1', 'layers.2'\] are not all finite"):
        information.measure(broken, data, seed=0)
    with pytest.raises(SymbreakError, match="from nan to nan"):
        information.measure(broken, data, seed=0, range="activation")
    with pytest.raises(SymbreakError, match="activations are not finite"):
        bounds_of(np.full((20, 2), math.inf), np.zeros(20, dtype=np.int64))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"bins": 1}, "'bins' is 1, expected 2"),
        ({"range": "tanh"}, "expected 'activation' or 'data'"),
        ({"noise_variance": [0.1, 0.0]}, r"'noise_variance' \[0.0\]"),
        ({"noise_variance": math.nan}, r"'noise_variance' \[nan\]"),
        ({"noise_variance": 1e-30}, "do not resolve"),
        ({"layers": ["layers.3"]}, r"no hidden layers \['layers.3'\]"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SymbreakError, match=sentence):
        information.measure(mlp(), samples(40), seed=0, **options)


def test_unbounded_activations_have_no_range_of_their_own() -> None:
    with pytest.raises(SymbreakError, match="set 'range' to 'data'"):
        information.measure(mlp(1, "relu"), samples(40), seed=0, range="activation")
    with pytest.raises(SymbreakError, match="expected finite ones in"):
        binned_information(torch.tensor([[0.0], [2.0]]), np.array([0, 1]), bins=3, low=-1, high=1, seed=0)


def test_too_few_samples_and_too_many_activations_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SymbreakError, match="at least 16 samples, found 15"):
        information.measure(mlp(), samples(15), seed=0)
    assert information.measure(mlp(), samples(15), seed=0, noise_variance=()).results["width"].value.shape == (3,)
    data = samples(40)
    with pytest.raises(SymbreakError, match="40 inputs"):
        information.measure(mlp(), Data(data.x, data.y[1:]), seed=0)
    monkeypatch.setattr(information_layers, "MOST_BYTES", 9_900)
    with pytest.raises(SymbreakError, match="use fewer samples"):
        information.measure(mlp(), data, seed=0)


def test_equal_seeds_give_equal_reports_and_values_do_not_depend_on_the_seed() -> None:
    first, second, other = (information.measure(mlp(), samples(90), seed=s).results for s in (1, 1, 2))
    for name, found in first.items():
        np.testing.assert_array_equal(found.value, second[name].value)
        np.testing.assert_allclose(found.value, other[name].value, atol=1e-6)
    assert not np.array_equal(first["ixt_upper"].error, other["ixt_upper"].error)  # type: ignore[arg-type]

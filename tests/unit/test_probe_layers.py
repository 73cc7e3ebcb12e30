"""The probe ``layers``."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from symbreak.config.models import CnnSpec, MlpSpec, ResnetSpec
from symbreak.errors import SymbreakError
from symbreak.models import model
from symbreak.probes import layers_field
from symbreak.probes.layers import measure, weight_fields
from symbreak.probes.layers_features import Names, features_of
from symbreak.probes.layers_field import adjacent, adjacent_null, depth, low_null, low_share
from symbreak.probes.layers_frozen import freeze_out, relative_changes
from symbreak.probes.layers_samples import alignment, gram, sample_cosine
from symbreak.probes.network import Data, Network, of_model, of_module

Array = NDArray[np.float64]


def orders(layers: int, count: int = 500) -> NDArray[np.intp]:
    return np.random.default_rng(0).permuted(np.tile(np.arange(layers), (count, 1)), axis=1)


def ar1(layers: int, coordinates: int, rho: float) -> Array:
    """A stationary autoregression along depth, of variance 1."""
    rng = np.random.default_rng(1)
    field = np.empty((layers, coordinates))
    field[0] = rng.standard_normal(coordinates)
    for layer in range(1, layers):
        field[layer] = rho * field[layer - 1] + np.sqrt(1 - rho**2) * rng.standard_normal(coordinates)
    return field


def ar1_power(layers: int, rho: float) -> Array:
    """E|DFT|^2 / L of it, from its covariance rho^|l - l'|."""
    lags = np.subtract.outer(np.arange(layers), np.arange(layers))
    waves = [np.cos(2 * np.pi * k * lags / layers) for k in range(layers // 2 + 1)]
    return np.array([(rho ** np.abs(lags) * wave).sum() / layers for wave in waves])


def test_a_plane_wave_has_all_its_power_at_its_wave_number() -> None:
    layers, k, amplitude = 24, 5, 3.0
    field = amplitude * np.cos(2 * np.pi * k * np.arange(layers) / layers)[:, None] * np.ones(7)
    expected = np.zeros(13)
    expected[k] = amplitude**2 * layers / 4  # half of the mean square times L, the other half is at L - k
    np.testing.assert_allclose(depth(field).power, expected, atol=1e-12)


@pytest.mark.parametrize(("rho", "layers"), [(0.0, 17), (0.0, 16), (0.8, 17), (-0.5, 16)])
def test_white_noise_and_autoregressions_have_their_spectrum(rho: float, layers: int) -> None:
    found = depth(ar1(layers, 20_000, rho))
    far = (found.power - ar1_power(layers, rho)) / found.power_error
    assert np.abs(far).max() < 4
    assert 0.3 < np.sqrt((far**2).mean()) < 1.8
    lags = rho ** np.abs(np.subtract.outer(np.arange(layers), np.arange(layers)))
    centre = np.eye(layers) - 1 / layers
    expected = centre @ lags @ centre
    norm = np.sqrt(np.diag(expected))
    assert found.cosine is not None
    np.testing.assert_allclose(found.cosine, expected / np.outer(norm, norm), atol=0.04)


def test_power_sums_to_the_mean_square() -> None:
    field = ar1(9, 50, 0.3)
    power = depth(field).power
    both = power[0] + 2 * power[1:].sum()
    assert both / 9 == pytest.approx((field**2).mean())


def test_chunks_and_a_ragged_last_one_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    field = ar1(6, 103, 0.5).astype(np.float32)
    whole = depth(field)
    monkeypatch.setattr(layers_field, "COORDINATES", 10)
    parts = depth(field)
    for name in ("gram", "cosine", "power", "power_error"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-10, atol=1e-10)


def test_nulls_are_those_of_all_orders() -> None:
    """The oracle goes through all 720 orders of six layers and takes the statistics of the reordered field."""
    field, layers = ar1(6, 40, 0.6), 6
    every = np.array(list(permutations(range(layers))))
    found = depth(field)
    assert found.cosine is not None
    reordered = [depth(field[order]) for order in every]
    near = np.array([adjacent(d.cosine) for d in reordered if d.cosine is not None])
    low = np.array([low_share(d.power, layers) for d in reordered])
    for null, values, own in (
        (adjacent_null(found.cosine, every), near, adjacent(found.cosine)),
        (low_null(found.gram, every), low, low_share(found.power, layers)),
    ):
        assert null.mean == pytest.approx(values.mean())
        assert null.spread == pytest.approx(values.std(ddof=1))
        assert null.p == pytest.approx((1 + (values >= own - 1e-12).sum()) / 721)


def test_smooth_fields_stand_out_and_white_ones_do_not() -> None:
    smooth, white = depth(ar1(20, 500, 0.9)), depth(ar1(20, 500, 0.0))
    assert smooth.cosine is not None
    assert white.cosine is not None
    assert adjacent_null(smooth.cosine, orders(20)).p == pytest.approx(1 / 501)
    assert low_null(smooth.gram, orders(20)).p == pytest.approx(1 / 501)
    assert 0.02 < adjacent_null(white.cosine, orders(20)).p < 0.98
    assert adjacent_null(white.cosine, orders(20)).mean == pytest.approx(-1 / 19, abs=5e-3)
    assert low_share(white.power, 20) == pytest.approx(low_null(white.gram, orders(20)).mean, rel=0.1)


def test_sample_cosine_is_the_mean_over_pairs_with_the_jackknife_error() -> None:
    features = np.random.default_rng(2).standard_normal((12, 5)) + 0.5

    def slow(x: Array) -> float:
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        return float(np.mean([unit[i] @ unit[j] for i in range(len(x)) for j in range(len(x)) if i != j]))

    value, error = sample_cosine(gram(features))
    without = np.array([slow(np.delete(features, n, axis=0)) for n in range(12)])
    assert value == pytest.approx(slow(features))
    assert error == pytest.approx(np.sqrt(11 / 12 * ((without - without.mean()) ** 2).sum()))


def test_alignment_is_one_with_itself_and_none_with_noise_of_many_dimensions() -> None:
    rng = np.random.default_rng(3)
    features, rotation = rng.standard_normal((80, 400)), np.linalg.qr(rng.standard_normal((400, 400)))[0]
    own = gram(features)
    assert alignment(own, gram(3 * features @ rotation + 1))[0] == pytest.approx(1)
    value, error = alignment(own, gram(rng.standard_normal((80, 400))))
    assert abs(value) < 4 * error < 0.2
    assert np.isnan(alignment(own, gram(np.ones((80, 3))))[0])


def test_alignment_is_the_unbiased_estimate() -> None:
    """The oracle is the mean over all ordered quadruples of different samples (Song et al., eq. 4)."""
    rng = np.random.default_rng(4)
    x = rng.standard_normal((7, 2))
    y = x @ rng.standard_normal((2, 3)) + 0.5 * rng.standard_normal((7, 3))
    k, m = gram(x), gram(y)

    def hsic(a: Array, b: Array) -> float:
        terms = [a[i, j] * (b[i, j] + b[q, r] - 2 * b[i, q]) for i, j, q, r in permutations(range(7), 4)]
        return float(np.mean(terms))

    from symbreak.probes.layers_samples import _alignment

    assert _alignment(k, m) == pytest.approx(hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m)))


def test_freeze_out_is_the_end_of_the_last_interval_that_moves() -> None:
    times = [0.0, 1.0, 3.0, 10.0]
    changes = np.array([[0.5, 0.0, 0.2], [0.5, 0.0, 0.0], [0.001, 0.01, 0.3]])
    at, error = freeze_out(changes, times, 0.01)
    assert at.tolist() == [3.0, 0.0, 10.0]
    assert error.tolist() == [2.0, 0.0, 7.0]
    value = torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 4.5], [0.0, 0.0]])
    expected = [1.0, 0.5 / np.sqrt(9 + 20.25), 1.0]
    np.testing.assert_allclose(relative_changes(value), expected, rtol=1e-6)
    assert relative_changes(torch.zeros(2, 3)).tolist() == [0.0]


def samples(n: int = 50, shape: tuple[int, ...] = (2, 4, 4)) -> Data:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn((n, *shape), generator=generator, dtype=torch.float64)
    return Data(x, torch.randint(0, 3, (n,), generator=generator))


def our(spec: Any, sets: int = 2) -> Network:
    built = model.build(spec, (2, 4, 4), 3, torch.float64)
    states = [built.init(seed) for seed in range(sets)]
    return of_model(built, {name: torch.stack([state[name] for state in states]) for name in states[0]})


def test_fields_are_weights_of_one_shape_in_the_order_of_their_numbers() -> None:
    network = our(MlpSpec(family="mlp", hidden=(5,) * 13))
    shuffled = Network(dict(sorted(network.parameters.items())), {}, network.call, network.stack)
    (label, field), *rest = weight_fields(shuffled).items()
    assert (label, rest) == ("layers.*.weight 5x5", [])
    for r in (0, 1):
        expected = torch.stack([network.parameters[f"layers.{layer}.weight"][r] for layer in range(1, 13)])
        assert torch.equal(field[r], expected)


def test_two_convolutions_of_a_block_are_two_fields() -> None:
    fields = weight_fields(our(ResnetSpec(family="resnet", widths=(4,), blocks=3)))
    assert set(fields) == {"stages.*.*.conv1.weight 4x4x3x3", "stages.*.*.conv2.weight 4x4x3x3"}


def test_a_resnet_gives_all_results_with_errors() -> None:
    network = our(ResnetSpec(family="resnet", widths=(4,), blocks=4))
    report = measure(network, samples(), seed=0, permutations=50)
    shapes = {name: value.value.shape for name, value in report.results.items()}
    assert shapes["weights[stages.*.*.conv1.weight 4x4x3x3].spectrum"] == (2, 3)
    assert shapes["features[4x4x4].spectrum"] == shapes["branches[4x4x4].spectrum"] == (2, 3)
    assert {shapes[n] for n in ("sample_cosine", "input_alignment", "label_alignment", "branch_ratio")} == {(2, 4)}
    exact = {name.rsplit(".", 1)[-1] for name, value in report.results.items() if value.error is None}
    assert exact == {"adjacent_cosine", "low_share"}
    assert all(np.isfinite(value.value).all() for value in report.results.values())


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(6, 6)

    def forward(self, h: Tensor) -> Tensor:
        return h + torch.tanh(self.inner(h))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(32, 6), nn.Linear(6, 3)
        self.blocks = nn.ModuleList([Block() for _ in range(4)])

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x.flatten(1))
        for block in self.blocks:
            h = block(h)
        found: Tensor = self.head(h)
        return found


NAMES = [f"blocks.{n}" for n in range(4)]


@torch.no_grad()
def test_branch_ratios_and_features_of_a_module_are_those_of_its_forward_pass() -> None:
    torch.manual_seed(0)
    net, data = Residual().double(), samples()
    network = of_module(net)
    found = measure(network, data, seed=0, blocks=NAMES, permutations=10).results
    h, maps = net.stem(data.x.flatten(1)), []
    for n, block in enumerate(net.blocks):
        ratio = (block(h) - h).norm(dim=1) / h.norm(dim=1)
        assert found["branch_ratio"].value[0, n] == pytest.approx(float(ratio.mean()))
        error = found["branch_ratio"].error
        assert error is not None
        assert error[0, n] == pytest.approx(float(ratio.std()) / np.sqrt(50))
        h = block(h)
        maps.append(h)
    field = torch.stack(maps).flatten(1).numpy()
    np.testing.assert_allclose(found["features[6].spectrum"].value[0], depth(field).power)
    inner = [f"blocks.{n}.inner" for n in range(4)]
    named = features_of(network, 0, data.x, Names(layers=inner))
    stream = net.stem(data.x.flatten(1))
    torch.testing.assert_close(named.maps[0], net.blocks[0].inner(stream))  # type: ignore[operator]


def test_branches_behind_a_relu_are_said_to_be_hidden() -> None:
    class Rectified(Block):
        def forward(self, h: Tensor) -> Tensor:
            return torch.relu(super().forward(h))

    torch.manual_seed(0)
    net = Residual().double()
    net.blocks[1] = Rectified().double()
    report = measure(of_module(net), samples(), seed=0, blocks=NAMES, permutations=10)
    assert "branch_ratio" not in report.results
    assert "features[6].spectrum" in report.results
    assert any("ReLU follows" in sentence for sentence in report.warnings)


def test_hidden_activations_of_our_stacks_are_those_of_the_model() -> None:
    network = our(MlpSpec(family="mlp", hidden=(5, 5, 5), activation="tanh"))
    data = samples(4)
    maps = features_of(network, 1, data.x, Names()).maps
    h = data.x.flatten(1)
    for layer, found in enumerate(maps):
        state = network.one(1)
        h = torch.tanh(h @ state[f"layers.{layer}.weight"].T + state[f"layers.{layer}.bias"])
        torch.testing.assert_close(found, h)
    assert len(maps) == 3


def test_a_trajectory_has_updates_and_freezes() -> None:
    network = our(MlpSpec(family="mlp", hidden=(5,) * 5), sets=4)
    for name, value in network.parameters.items():
        value[2:] = value[1] if name != "layers.0.weight" else value[2:]
    report = measure(network, samples(), seed=0, times=[0, 10, 30, 60], permutations=10)
    results = report.results
    at = dict(zip(network.parameters, results["freeze_out"].value, strict=True))
    assert at["layers.0.weight"] == 60.0
    assert {value for name, value in at.items() if name.endswith("weight")} == {10.0, 60.0}
    assert at["layers.0.bias"] == 0.0  # zero from the start
    field = weight_fields(network)["layers.*.weight 5x5"]
    expected = depth((field[1] - field[0]).flatten(1).numpy()).power
    np.testing.assert_allclose(results["updates[layers.*.weight 5x5].spectrum"].value[0], expected)
    assert results["weights[layers.*.weight 5x5].spectrum"].axes == ("time", "k")
    assert any("still move" in sentence for sentence in report.warnings)
    assert any(sentence.startswith("updates[") for sentence in report.warnings)  # zero updates have no cosine


def test_tied_layers_and_constant_features_are_said_so() -> None:
    network = our(MlpSpec(family="mlp", hidden=(5, 5, 5, 5)), sets=1)
    for layer in range(1, 4):
        network.parameters[f"layers.{layer}.weight"][:] = network.parameters["layers.1.weight"]
    network.parameters["layers.0.weight"][:] = 0  # and biases are 0: features do not depend on the input
    network.parameters["layers.0.bias"][:] = 1
    report = measure(network, samples(), seed=0, permutations=10)
    assert any("mean of all" in sentence for sentence in report.warnings)
    assert "weights[layers.*.weight 5x5].adjacent_cosine" not in report.results
    np.testing.assert_allclose(report.results["weights[layers.*.weight 5x5].spectrum"].value[0, 1:], 0, atol=1e-12)
    assert np.isnan(report.results["input_alignment"].value).all()
    assert any("same for all samples" in sentence for sentence in report.warnings)
    assert report.results["sample_cosine"].value[0, 0] == pytest.approx(1)


def test_a_model_without_known_features_is_said_so() -> None:
    report = measure(our(CnnSpec(family="cnn", channels=(3,))), samples(), seed=0, permutations=10)
    assert any("no weights of 3" in sentence for sentence in report.warnings)
    assert any("no feature maps" in sentence for sentence in report.warnings)
    assert "sample_cosine" not in report.results


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"samples": 20}, "at least 40 samples"),
        ({"tolerance": 0.0}, "'tolerance'"),
        ({"times": [0.0, 1.0]}, "increasing 'times'"),
        ({"features": ["nowhere"]}, "no submodules"),
        ({"features": ["blocks"]}, "one tensor"),
        ({"blocks": ["stem"]}, "not of the form"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], sentence: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(SymbreakError, match=sentence):
        measure(of_module(Residual().double()), samples(), seed=0, **options)


def test_features_are_named_of_user_modules_only() -> None:
    with pytest.raises(SymbreakError, match="your own module"):
        measure(our(MlpSpec(family="mlp", hidden=(5,))), samples(), seed=0, features=["layers.0"])

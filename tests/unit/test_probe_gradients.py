"""Signal and noise of gradients: against a loop of autograd and a jackknife that really leaves items out."""

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks import probe_gradients as benchmark
from symbreak.config.models import CnnSpec, GaussnetSpec, MlpSpec, ModelSpec, ResnetSpec, RnnSpec
from symbreak.errors import SymbreakError
from symbreak.models.model import build
from symbreak.probes import gradients_items
from symbreak.probes.gradients import measure, moments, signals
from symbreak.probes.gradients_jackknife import KEYS, Signal
from symbreak.probes.network import Data, Network, of_model, of_module
from symbreak.training.losses import LOSSES

SHAPE, CLASSES = (3, 4, 4), 3  # three channels: their convolutions are beyond vmap
SAMPLES, SETS = 14, 2

MODELS: dict[str, ModelSpec] = {
    "mlp": MlpSpec(family="mlp", hidden=[6, 5]),
    "mlp without biases": MlpSpec(family="mlp", hidden=[6], activation="tanh", bias=False),
    "linear": MlpSpec(family="mlp", hidden=[]),
    "mlp with BatchNorm": MlpSpec(family="mlp", hidden=[6], norm="batch"),
    "mlp with LayerNorm": MlpSpec(family="mlp", hidden=[6], norm="layer"),
    "gaussnet": GaussnetSpec(family="gaussnet", width=5),
    "cnn": CnnSpec(family="cnn", channels=[2, 3]),
    "resnet": ResnetSpec(family="resnet", widths=[2, 3], blocks=1),
    "rnn": RnnSpec(family="rnn", width=4),
}
Array = NDArray[np.float64]


def network(name: str, dtype: torch.dtype = torch.float64, sets: int = SETS) -> Network:
    model = build(MODELS[name], SHAPE, CLASSES, dtype)
    states = [model.init(seed) for seed in range(sets)]
    return of_model(model, {key: torch.stack([state[key] for state in states]) for key in states[0]})


def samples(count: int = SAMPLES, dtype: torch.dtype = torch.float64) -> Data:
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(count, *SHAPE, generator=draw, dtype=torch.float64).to(dtype)
    return Data(x, torch.randint(CLASSES, (count,), generator=draw))


def loop(net: Network, data: Data, loss: str, batch: int) -> dict[str, Array]:
    """The oracle: each item's gradient by autograd, one backward pass after the other, ``[R, n, ...]``."""
    found: dict[str, list[list[Tensor]]] = {name: [] for name in net.parameters}
    for r in range(net.count):
        leaves = {name: value.clone().requires_grad_() for name, value in net.one(r).items()}
        for gradients in found.values():
            gradients.append([])
        for start in range(0, len(data.x) - batch + 1, batch):
            rows = slice(start, start + batch)
            value = LOSSES[loss](net.call(leaves | net.held(r), data.x[rows])[None], data.y[None, rows]).mean()
            for name, gradient in zip(leaves, torch.autograd.grad(value, list(leaves.values())), strict=True):
                found[name][r].append(gradient)
    return {name: np.stack([torch.stack(one).numpy() for one in sets]) for name, sets in found.items()}


def statistics(gradients: Array) -> Array:
    """|m|, |s| and their ratio of gradients ``[n, ...]``, as numpy has them."""
    mean, std = np.linalg.norm(gradients.mean(0)), np.linalg.norm(gradients.std(0, ddof=1))
    return np.array([mean, std, mean / std])


def jackknife(gradients: Array) -> Array:
    """Standard errors of the three, each item really left out."""
    n = len(gradients)
    left_out = np.stack([statistics(np.delete(gradients, i, axis=0)) for i in range(n)])
    return np.sqrt((n - 1) * left_out.var(axis=0))


@pytest.fixture(params=["all at once", "ragged chunks"])
def chunking(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "ragged chunks":
        monkeypatch.setattr(gradients_items, "_chunk", lambda part, x, batch: 3)


CASES = [(name, loss, batch) for name in MODELS for loss in LOSSES for batch in (1, 3)]


@pytest.mark.usefixtures("chunking")
@pytest.mark.parametrize(("name", "loss", "batch"), CASES)
def test_moments_signals_and_errors_are_those_of_a_loop_over_items(name: str, loss: str, batch: int) -> None:
    net, data = network(name), samples()
    found, signal = (way(net, data, loss=loss, batch=batch) for way in (moments, signals))
    expected = loop(net, data, loss, batch)
    assert found.keys() == signal.keys() == expected.keys()
    for parameter, gradients in expected.items():
        scale = np.abs(gradients).max()
        assert gradients.shape[1] == SAMPLES // batch
        np.testing.assert_allclose(found[parameter].mean, gradients.mean(1), rtol=0, atol=1e-13 * scale)
        np.testing.assert_allclose(found[parameter].variance, gradients.var(1, ddof=1), rtol=0, atol=1e-13 * scale**2)
        for r in range(SETS):
            values, errors = ([part[key][r] for key in KEYS] for part in vars(signal[parameter]).values())
            np.testing.assert_allclose(values, statistics(gradients[r]), rtol=1e-9)
            np.testing.assert_allclose(errors, jackknife(gradients[r]), rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in MODELS if network(name).stack is not None])
@pytest.mark.parametrize("batch", [1, 3])
def test_written_out_gradients_are_those_of_torch_func(name: str, batch: int) -> None:
    net, data = network(name), samples()
    generic = Network(net.parameters, net.buffers, net.call)
    for way in (moments, signals):
        fast, slow = way(net, data, batch=batch), way(generic, data, batch=batch)
        for parameter in net.parameters:
            for one, other in zip(flat(fast[parameter]), flat(slow[parameter]), strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-15)


def flat(found: object) -> list[Array]:
    """All arrays of a result."""
    parts = list(vars(found).values())
    return [np.asarray(a) for part in parts for a in (part.values() if isinstance(part, dict) else [part])]


@pytest.mark.parametrize("count", [255, 256, 257, 600])
def test_squares_are_summed_over_all_parts(count: int) -> None:
    draw = torch.Generator().manual_seed(1)
    for shared in (True, False):
        delta = torch.randn(2, 3, count, generator=draw, dtype=torch.float64)
        x = torch.randn(1 if shared else 2, 4, count, generator=draw, dtype=torch.float64)
        expected = torch.einsum("roi,rni->ron", delta**2, x.expand(2, -1, -1) ** 2)
        factored = gradients_items.Factored(delta, x)
        torch.testing.assert_close(factored.squares(), expected, rtol=1e-12, atol=0)
        torch.testing.assert_close(factored.squares(torch.ones(2, 3, 4).double()), expected + 1, rtol=1e-12, atol=0)


@pytest.mark.parametrize("memory", [1, 2000, 2**26])
def test_chunks_hold_what_fits_and_at_least_one_item(memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradients_items, "MEMORY", memory)
    net, data = network("cnn"), samples()
    sizes = [
        chunk["head.weight"].lengths().shape[1]
        for part in gradients_items.parts(net)[:1]
        for chunk in gradients_items.chunks(part, data, "mse", 1)
    ]
    most = max(1, memory // (net.size * 8))
    assert sum(sizes) == SAMPLES
    assert max(sizes) == min(most, SAMPLES)


def test_a_report_has_samples_and_minibatches() -> None:
    net, data = network("mlp"), samples(40)
    report = measure(net, data, seed=3, batch=7, axis="time")
    single = signals(net, data)
    for layer, name in enumerate(net.parameters):
        np.testing.assert_array_equal(report.results["snr"].value[:, layer], single[name].values["snr"])
    assert report.results["batch_mean"].axes == ("time", "layer")
    assert report.results["std"].unit == "nats per unit of weight"
    assert any("5 of 40 samples" in sentence for sentence in report.warnings)
    norm = float(net.parameters["layers.1.weight"][1].norm())
    assert report.results["weight"].value[1, 2] == pytest.approx(norm, rel=1e-12)
    other = measure(net, data, seed=4, batch=7)
    assert not np.array_equal(other.results["batch_std"].value, report.results["batch_std"].value)
    np.testing.assert_array_equal(other.results["std"].value, report.results["std"].value)


def test_minibatches_of_b_independent_samples_have_a_std_smaller_by_the_root_of_b() -> None:
    report = measure(network("mlp", sets=1), samples(4000), seed=0, batch=16)
    one, many = report.results["std"], report.results["batch_std"]
    assert one.error is not None and many.error is not None
    z = (many.value - one.value / 4) / np.hypot(many.error, one.error / 4)
    assert np.abs(z).max() < 4


def test_jackknife_errors_are_the_scatter_between_independent_data() -> None:
    net, whole = network("mlp", sets=1), samples(40 * 100)
    rows = [slice(100 * k, 100 * (k + 1)) for k in range(40)]
    found = [signals(net, Data(whole.x[one], whole.y[one]))["layers.1.weight"] for one in rows]
    for key in ("std", "snr"):
        scatter = np.std([one.values[key][0] for one in found], ddof=1)
        claimed = np.mean([one.errors[key][0] for one in found])
        assert 0.65 < claimed / scatter < 1.5  # the scatter of 40 is known to 11 %


@settings(max_examples=20, deadline=None)
@given(scale=st.floats(1e-3, 1e3), shift=st.integers(0, SAMPLES - 1))
def test_snr_ignores_the_order_of_samples_and_the_scale_of_outputs_weights(scale: float, shift: int) -> None:
    net, data = network("linear", sets=1), samples()
    rolled = Data(data.x.roll(shift, 0) * scale, data.y.roll(shift))
    found = signals(scaled(net, 1 / scale), rolled)["layers.0.weight"]
    expected = signals(net, data)["layers.0.weight"]
    assert found.values["snr"][0] == pytest.approx(expected.values["snr"][0], rel=1e-9)
    assert found.values["std"][0] == pytest.approx(scale * expected.values["std"][0], rel=1e-9)


def scaled(net: Network, factor: float) -> Network:
    weight = {"layers.0.weight": net.parameters["layers.0.weight"] * factor}
    return Network(net.parameters | weight, net.buffers, net.call, stack=net.stack)


def test_gradients_that_do_not_differ_have_no_snr_and_it_is_said() -> None:
    data = samples()
    same = Data(data.x[:1].expand(SAMPLES, *SHAPE).clone(), data.y[:1].expand(SAMPLES).clone())
    for dtype in (torch.float32, torch.float64):
        report = measure(network("mlp", dtype), Data(same.x.to(dtype), same.y), seed=0)
        assert np.isnan(report.results["snr"].value).all()
        assert any("do not differ" in sentence for sentence in report.warnings)


def test_a_dead_layer_has_no_gradient_and_no_snr() -> None:
    net = network("mlp")
    net.parameters["layers.0.bias"].fill_(-1e3)
    report = measure(net, samples(), seed=0)
    assert (report.results["mean"].value[:, 0] == 0).all()
    assert np.isnan(report.results["snr"].value[:, 0]).all()
    assert report.as_json()["snr"]["value"][0][0] is None


def test_a_mean_that_is_noise_is_said_to_be() -> None:
    net, data = network("linear", sets=1), samples(300)
    for value in net.parameters.values():
        value.zero_()
    balanced = Data(torch.cat([data.x, data.x]), torch.cat([data.y, (data.y + 1) % CLASSES]))
    unrelated = Data(balanced.x, torch.arange(600) % CLASSES)
    assert any("mostly noise" in sentence for sentence in measure(net, unrelated, seed=0).warnings)
    one_class = Data(data.x + 5, torch.zeros_like(data.y))
    report = measure(net, one_class, seed=0)
    assert not any("mostly noise" in sentence for sentence in report.warnings)


def test_float32_is_as_good_as_float32_can_be() -> None:
    exact = signals(network("mlp"), samples(200))
    for name, found in signals(network("mlp", torch.float32), samples(200, torch.float32)).items():
        for key in ("mean", "std", "snr"):
            np.testing.assert_allclose(found.values[key], exact[name].values[key], rtol=1e-4)
            np.testing.assert_allclose(found.errors[key], exact[name].errors[key], rtol=1e-3)


class Scaling(nn.Module):
    """A user's module whose one parameter is a scalar."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x.flatten(1)[:, :CLASSES]


def test_a_users_module_with_a_scalar_parameter() -> None:
    net, data = of_module(Scaling()), samples()
    gradients = loop(net, data, "mse", 1)["scale"][0]
    assert measure(net, data, seed=0, loss="mse").results["weight"].value == 2
    assert signals(net, data, loss="mse")["scale"].values["snr"][0] == pytest.approx(
        statistics(gradients)[2], rel=1e-12
    )


def batch_statistics() -> Network:
    return of_module(
        nn.Sequential(nn.Flatten(), nn.Linear(48, 3), nn.BatchNorm1d(3, track_running_stats=False)).double()
    )


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "NaN input": (lambda: measure(network("mlp"), Data(samples().x * torch.nan, samples().y), seed=0), "NaN"),
    "infinite weights": (lambda: measure(scaled(network("linear"), torch.inf), samples(), seed=0), "NaN or infinity"),
    "overflow": (lambda: measure(scaled(network("linear"), 1e308), samples(), seed=0), "outputs are NaN"),
    "a label too many": (
        lambda: measure(network("mlp"), Data(samples().x, samples().y + 1), seed=0),
        "labels are int64",
    ),
    "labels of another length": (
        lambda: measure(network("mlp"), Data(samples().x, samples().y[1:]), seed=0),
        "13 labels",
    ),
    "another type": (lambda: measure(network("mlp", torch.float32), samples(), seed=0), "float64"),
    "unknown loss": (lambda: measure(network("mlp"), samples(), seed=0, loss="hinge"), "'hinge'"),
    "unknown axis": (lambda: measure(network("mlp"), samples(), seed=0, axis="epoch"), "'epoch'"),
    "too few samples": (lambda: measure(network("mlp"), samples(2), seed=0), "at least 3"),
    "too few minibatches": (lambda: measure(network("mlp"), samples(), seed=0, batch=5), "3 minibatches of 5"),
    "no batch at all": (lambda: moments(network("mlp"), samples(), batch=0), "minibatches of 0"),
    "coupled samples": (lambda: measure(batch_statistics(), samples(), seed=0), "depends on the others"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_measured_is_refused(case: str) -> None:
    work, reason = REFUSED[case]
    with pytest.raises(SymbreakError, match=re.escape(reason)):
        work()


def test_a_gradient_that_overflows_is_refused() -> None:
    data = samples()
    with pytest.raises(SymbreakError, match="or its square is NaN or infinite"):
        moments(scaled(network("linear"), 1e-300), Data(data.x * 1e300, data.y), loss="mse")


def test_a_missing_class_is_no_obstacle() -> None:
    data = Data(samples().x, samples().y.clamp_max(1))
    gradients = loop(network("mlp"), data, "cross_entropy", 1)["layers.2.bias"]
    found: Signal = signals(network("mlp"), data)["layers.2.bias"]
    assert found.values["snr"][1] == pytest.approx(statistics(gradients[1])[2], rel=1e-10)


def test_the_benchmarks_contenders_agree_and_a_wrong_one_is_refused() -> None:
    model = build(MlpSpec(family="mlp", hidden=[6]), SHAPE, CLASSES, torch.float32)
    net = of_model(model, {name: value[None] for name, value in model.init(0).items()})
    data = samples(dtype=torch.float32)
    works = benchmark.contenders(net, Data(data.x.flatten(1), data.y))
    assert {"symbreak", "plain"} <= works.keys()
    benchmark.assert_equal(works)
    wrong = {name: (mean, 1.01 * variance) for name, (mean, variance) in works["plain"]().items()}
    with pytest.raises(SymbreakError, match="another variance"):
        benchmark.assert_equal(works | {"wrong": lambda: wrong})

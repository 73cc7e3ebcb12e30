"""Gradients along a line: against autograd a point at a time, sums written out, and rectifier nets as simulated."""

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from symbreak.config.models import CnnSpec, GaussnetSpec, MlpSpec, ModelSpec, ResnetSpec
from symbreak.errors import SymbreakError
from symbreak.models.model import build
from symbreak.probes import shattering_inputs
from symbreak.probes.network import Data, Network, State, of_model, of_module
from symbreak.probes.shattering import (
    autocorrelation,
    covariance,
    line_gradients,
    measure,
)
from symbreak.probes.shattering_depth import depth_regression, pair_correlation
from symbreak.theory import shattering as theory

SHAPE, CLASSES = (3, 4, 4), 3
MODELS: dict[str, ModelSpec] = {
    "mlp": MlpSpec(family="mlp", hidden=[6, 5]),
    "mlp tanh": MlpSpec(family="mlp", hidden=[6], activation="tanh"),
    "mlp with BatchNorm": MlpSpec(family="mlp", hidden=[6], norm="batch"),
    "gaussnet": GaussnetSpec(family="gaussnet", width=5),
    "cnn": CnnSpec(family="cnn", channels=[2, 3]),
    "resnet": ResnetSpec(family="resnet", widths=[2, 3], blocks=1),
}
Array = NDArray[np.float64]


def network(name: str, shape: tuple[int, int, int] = SHAPE, sets: int = 2) -> Network:
    model = build(MODELS[name], shape, CLASSES, torch.float64)
    states = [model.init(seed) for seed in range(sets)]
    return of_model(model, {key: torch.stack([state[key] for state in states]) for key in states[0]})


def samples(count: int, *shape: int) -> Data:
    draw = torch.Generator().manual_seed(2)
    x = torch.randn(count, *shape, generator=draw, dtype=torch.float64)
    return Data(x, torch.zeros(count, dtype=torch.int64))


def one_by_one(net: Network, start: Tensor, end: Tensor, points: int) -> Array:
    """The oracle: every output's derivative by t, one point and one backward pass after the other, ``[R, C, n]``."""
    found = np.zeros((net.count, CLASSES, points))
    for r, c, i in np.ndindex(found.shape):
        t = torch.tensor(i / (points - 1), dtype=torch.float64, requires_grad=True)
        output = net.call(net.one(r) | net.held(r), (start + t * (end - start))[None])[0, c]
        found[r, c, i] = torch.autograd.grad(output, t)[0].item()
    return found


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("chunk", [512, 4])
def test_gradients_along_a_line_are_those_of_single_points(
    name: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shattering_inputs, "SAMPLES", chunk)
    net, x = network(name), samples(2, *SHAPE).x
    expected = one_by_one(net, x[0], x[1], 7)
    np.testing.assert_allclose(line_gradients(net, x[0], x[1], 7, "each"), expected, rtol=1e-9, atol=1e-13)
    summed = line_gradients(net, x[0], x[1], 7, "sum")[:, 0]
    np.testing.assert_allclose(summed, expected.sum(axis=1), rtol=1e-9, atol=1e-13)


def test_the_coordinate_of_a_scalar_input_is_the_input() -> None:
    net, data = network("mlp tanh", (1, 1, 1), sets=4), samples(1, 1, 1, 1)
    report = measure(net, data, seed=0, points=9, ends=[-1.0, 3.0])
    x = torch.linspace(-1, 3, 9, dtype=torch.float64).view(-1, 1, 1, 1)
    exact = [
        torch.autograd.functional.jacobian(lambda x, r=r: net.call(net.one(r), x).sum(1), x).sum((0, 2, 3, 4))
        for r in range(4)
    ]
    expected = np.cov(torch.stack(exact).numpy(), rowvar=False)
    np.testing.assert_allclose(report.results["covariance"].value[0], expected, rtol=1e-10)
    np.testing.assert_allclose(report.results["coordinate"].value, x.flatten(), rtol=1e-14)


def direct(series: Array) -> Array:
    """The autocorrelation of one series by its sums."""
    centred = series - series.mean()
    lags = range(len(series))
    return np.array([sum(centred[i] * centred[i + k] for i in range(len(series) - k)) for k in lags]) / (
        centred @ centred
    )


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=3, max_size=40).filter(lambda v: np.ptp(v) > 1e-3))
def test_autocorrelation_by_fft_is_that_of_the_sums(values: list[float]) -> None:
    series = np.array(values)
    found = autocorrelation(series)
    np.testing.assert_allclose(found, direct(series), atol=1e-9)
    assert found[0] == pytest.approx(1, abs=1e-12)
    assert found[1:].sum() == pytest.approx(-0.5, abs=1e-9)  # deviations sum to zero


def test_autocorrelation_takes_many_series_at_once() -> None:
    series = np.random.default_rng(0).standard_normal((3, 2, 17))
    found = autocorrelation(series)
    for place in np.ndindex(3, 2):
        np.testing.assert_allclose(found[place], direct(series[place]), atol=1e-12)


def test_covariance_and_its_error_are_those_of_leaving_each_replica_out() -> None:
    gradients = np.random.default_rng(1).standard_normal((9, 5)) ** 3
    found, error = covariance(gradients)
    left_out = np.stack([np.cov(np.delete(gradients, r, axis=0), rowvar=False) for r in range(9)])
    np.testing.assert_allclose(found, np.cov(gradients, rowvar=False), rtol=1e-12)
    np.testing.assert_allclose(error, np.sqrt(8 * left_out.var(axis=0)), rtol=1e-10)


def test_the_error_of_a_pair_correlation_is_that_of_leaving_each_replica_out() -> None:
    net, x = network("mlp tanh", sets=6), samples(5, *SHAPE).x

    def correlation(sets: list[int]) -> float:
        products, squares = 0.0, 0.0
        for r in sets:
            g = torch.autograd.functional.jacobian(lambda x, r=r: net.call(net.one(r), x).sum(), x).flatten(1)
            gram = g @ g.T
            products += float(gram.sum() - gram.trace()) / 4
            squares += float(gram.trace())
        return products / squares

    found, error = pair_correlation(net, x)
    left_out = [correlation([r for r in range(6) if r != gone]) for gone in range(6)]
    assert found[0] == pytest.approx(correlation(list(range(6))), rel=1e-10)
    assert error[0] == pytest.approx(np.sqrt(5 * np.var(left_out)), rel=1e-8)


def noise(points: int, what: str) -> tuple[Array, Array]:
    """Mean autocorrelation of simulated series and its standard error."""
    draw = np.random.default_rng(points).standard_normal((20_000, points))
    series = autocorrelation(draw if what == "white" else draw.cumsum(axis=1))
    return series.mean(0), series.std(0) / np.sqrt(len(series))


@pytest.mark.parametrize("points", [3, 12, 64])
@pytest.mark.parametrize("what", ["white", "brownian"])
def test_references_are_the_mean_over_simulated_series(points: int, what: str) -> None:
    expected: Array = getattr(theory, f"{what}_autocorrelation")(points)
    mean, error = noise(points, what)
    assert expected[0] == pytest.approx(1, abs=1e-12)
    assert expected[1:].sum() == pytest.approx(-0.5, abs=1e-12)
    assert np.abs((mean - expected)[1:] / np.maximum(error[1:], 1e-12)).max() < 4.5


def test_the_quadrature_of_brownian_motion_has_converged(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [theory.brownian_autocorrelation(points) for points in (2, 3, 256)]
    monkeypatch.setattr(theory, "NODES", np.linspace(-40, 40, 5001))
    for expected, points in zip(found, (2, 3, 256), strict=True):
        np.testing.assert_allclose(theory.brownian_autocorrelation(points), expected, atol=1e-10)


def centred_stack(x: Tensor, depth: int, width: int, sets: int, kind: str, beta: float = 1.0) -> Network:
    """Rectifier nets whose pre-activations are centred over the inputs ``x`` ``[N, D]``, by shifts kept as buffers.

    ``plain``: h <- relu(c(W h)); ``residual``: h <- h + W relu(c(h)); ``normed``: h <- h + beta W relu(n(h)), where c
    takes a unit's mean over the inputs off, and n also divides by its standard deviation. The first h has variance 1.
    """
    draw = torch.Generator().manual_seed(depth + 1000 * sets)
    shapes = {"in": (width, x.shape[1]), **{str(layer): (width, width) for layer in range(depth)}, "out": (1, width)}
    weights = {
        name: torch.randn(sets, *shape, generator=draw, dtype=torch.float64) * ((1 + name.isdigit()) / shape[1]) ** 0.5
        for name, shape in shapes.items()
    }
    held: dict[str, list[Tensor]] = {f"{what}{layer}": [] for layer in range(depth) for what in ("mean", "std")}

    def call(state: State, inputs: Tensor, record: bool = False) -> Tensor:
        def unit(z: Tensor, layer: int) -> Tensor:
            if record:
                held[f"mean{layer}"].append(z.mean(0))
                held[f"std{layer}"].append(z.std(0, correction=0) if kind == "normed" else torch.ones_like(z[0]))
            mean, std = (held[f"{w}{layer}"][-1] if record else state[f"{w}{layer}"] for w in ("mean", "std"))
            return torch.relu((z - mean) / std)

        h = inputs @ state["in"].T
        for layer in range(depth):
            if kind == "plain":
                h = unit(h if layer == 0 else h @ state[str(layer)].T, layer)
            else:
                h = h + beta * unit(h, layer) @ state[str(layer)].T
        return h @ state["out"].T

    for r in range(sets):
        call({name: value[r] for name, value in weights.items()}, x, record=True)
    return Network(weights, {name: torch.stack(values) for name, values in held.items()}, call)


INPUTS = torch.randn(48, 128, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def test_centred_rectifier_nets_decorrelate_by_a_half_a_layer() -> None:
    depths = [1, 2, 3, 4]
    found = [pair_correlation(centred_stack(INPUTS, depth, 128, 40, "plain"), INPUTS) for depth in depths]
    for depth, (value, error) in zip(depths, found, strict=True):
        assert value[0] == pytest.approx(float(theory.plain(depth)), abs=4 * error[0] + 0.01)
    line = depth_regression(depths, [value[0] for value, _ in found], [error[0] for _, error in found])
    assert abs(line.slope + np.log(2)) < 4 * line.slope_error + 0.03
    assert abs(line.slope - np.log(0.75)) > 10 * line.slope_error


@pytest.mark.parametrize("depth", [1, 2])
def test_residual_rectifier_nets_decorrelate_by_a_quarter_a_block(depth: int) -> None:
    value, error = pair_correlation(centred_stack(INPUTS, depth, 128, 40, "residual"), INPUTS)
    assert value[0] == pytest.approx(float(theory.residual(depth)), abs=4 * error[0] + 0.03)
    assert value[0] - float(theory.plain(depth)) > 8 * error[0]


@pytest.mark.parametrize(("depth", "beta"), [(1, 1.0), (2, 1.0), (16, 0.1)])
def test_normed_residual_nets_decorrelate_sublinearly(depth: int, beta: float) -> None:
    value, error = pair_correlation(centred_stack(INPUTS, depth, 128, 40, "normed", beta), INPUTS)
    assert value[0] == pytest.approx(theory.residual_normed_exact(depth, beta), abs=4 * error[0] + 0.03)


def test_the_papers_form_for_normed_residual_nets_is_the_product_up_to_its_factor() -> None:
    assert theory.residual_normed_exact(1) == pytest.approx(0.75)
    assert theory.residual_normed_exact(2) == pytest.approx(1.5 / 2 * 1.25 / 1.5)
    assert theory.residual_normed_exact(50, 0.1) == pytest.approx(float(theory.residual_normed(50, 0.1)), rel=2e-3)
    ratio = theory.residual_normed_exact(10_000) / float(theory.residual_normed(10_000))
    assert ratio == pytest.approx(2 / np.sqrt(np.pi), rel=1e-3)


def test_a_deep_centred_net_is_white_and_a_shallow_one_brown() -> None:
    x = torch.linspace(-2, 2, 64, dtype=torch.float64)[:, None]
    data = Data(x, torch.zeros(64, dtype=torch.int64))
    deep, shallow = (measure(centred_stack(x, depth, 100, 10, "plain"), data, seed=0, points=64) for depth in (24, 1))
    found = [report.results["mean_autocorrelation"].value[0, 1] for report in (deep, shallow)]
    white, brown = (deep.results[name].value[1] for name in ("white", "brown"))
    assert abs(found[0] - white) < 0.1
    assert abs(found[1] - brown) < 0.1


def test_a_report_has_averages_with_errors_and_the_closed_forms() -> None:
    net, data = network("mlp tanh", sets=5), samples(6, *SHAPE)
    report = measure(net, data, seed=0, points=8, outputs="each", rows=[4, 1], depth=1, beta=0.5)
    shapes = {name: value.value.shape for name, value in report.results.items()}
    assert shapes["autocorrelation"] == (5, CLASSES, 8)
    assert shapes["covariance"] == (CLASSES, 8, 8)
    series = report.results["autocorrelation"].value
    mean = report.results["mean_autocorrelation"]
    np.testing.assert_allclose(mean.value, series.mean(0), rtol=1e-13)
    assert mean.error is not None
    np.testing.assert_allclose(mean.error, series.std(0, ddof=1) / np.sqrt(5), rtol=1e-10)
    np.testing.assert_array_equal(series, autocorrelation(line_gradients(net, data.x[4], data.x[1], 8, "each")))
    np.testing.assert_allclose(report.results["pair_correlation"].value, pair_correlation(net, data.x, "each")[0])
    forms = [float(report.results[name].value) for name in ("plain", "residual", "residual_normed")]
    assert forms == pytest.approx([0.5, 0.75, 1.25**-0.5])


def test_moments_of_one_training_and_few_replicas_are_not_averaged() -> None:
    data = samples(4, *SHAPE)
    times = measure(network("mlp", sets=5), data, seed=0, points=8, axis="time")
    assert times.results["autocorrelation"].axes == ("time", "output", "lag")
    assert not {"covariance", "mean_autocorrelation"} & times.results.keys()
    single = measure(network("mlp", sets=1), data, seed=0, points=8)
    assert "covariance" not in single.results
    assert any("need 3 sets" in sentence for sentence in single.warnings)


def test_a_norm_that_was_never_trained_is_warned_of() -> None:
    net, data = network("mlp with BatchNorm"), samples(4, *SHAPE)
    assert any("does nothing" in sentence for sentence in measure(net, data, seed=0, points=8).warnings)
    for name, value in net.buffers.items():
        value.add_(0.1 if name.endswith("mean") else 0.3)
    assert not any("does nothing" in sentence for sentence in measure(net, data, seed=0, points=8).warnings)


class Bounded(nn.Module):
    """A module whose gradient overflows where its output does not."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sqrt(x.abs()) * self.weight

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, dtype=torch.float64))


def module(*layers: nn.Module) -> Network:
    return of_module(nn.Sequential(nn.Flatten(), *layers).double())


IMAGES, SCALARS = samples(4, *SHAPE), samples(4, 1)


def images(**options: object) -> object:
    return measure(network("mlp"), IMAGES, seed=0, **options)  # type: ignore[arg-type]


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "batch statistics": (
        lambda: measure(module(nn.Linear(48, 3), nn.BatchNorm1d(3, track_running_stats=False)), IMAGES, seed=0),
        "depends on the others",
    ),
    "a linear network": (lambda: measure(module(nn.Linear(48, 3)), IMAGES, seed=0), "does not vary"),
    "an infinite gradient": (lambda: measure(of_module(Bounded()), SCALARS, seed=0, points=5), "NaN or infinite"),
    "NaN inputs": (lambda: measure(network("mlp"), Data(IMAGES.x * torch.nan, IMAGES.y), seed=0), "NaN"),
    "two points": (lambda: images(points=2), "at least 3"),
    "equal rows": (lambda: images(rows=[1, 1]), "equal"),
    "a missing row": (lambda: images(rows=[0, 4]), "0 and 4"),
    "three rows": (lambda: images(rows=[0, 1, 2]), "two values"),
    "ends of images": (lambda: images(ends=[0.0, 1.0]), "'ends' are values"),
    "ends that fall": (
        lambda: measure(network("mlp", (1, 1, 1)), samples(4, 1, 1, 1), seed=0, ends=[1.0, 0.0]),
        "order",
    ),
    "unknown outputs": (lambda: images(outputs="mean"), "'mean'"),
    "unknown axis": (lambda: images(axis="epoch"), "'epoch'"),
    "depth of too few replicas": (lambda: images(depth=2), "need 3 sets"),
    "depth of a trajectory": (lambda: images(depth=2, axis="time"), "needs replicas"),
    "no depth": (lambda: images(depth=0), "at least 1"),
    "a regression on two depths": (lambda: depth_regression([1, 2, 2], [0.5, 0.2, 0.2], [0.1] * 3), "3 depths"),
    "a correlation below zero": (lambda: depth_regression([1, 2, 3], [0.5, 0.2, -0.1], [0.1] * 3), "positive"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_measured_is_refused(case: str) -> None:
    work, reason = REFUSED[case]
    with pytest.raises(SymbreakError, match=re.escape(reason)):
        work()


def test_a_regression_finds_its_line_and_its_errors_are_the_scatter() -> None:
    depths, error = np.arange(1.0, 7), 0.02 * 0.5 ** np.arange(1.0, 7)
    exact = depth_regression(depths, 0.9 * 0.5**depths, error)
    assert (exact.slope, exact.intercept) == pytest.approx((np.log(0.5), np.log(0.9)))
    draw = np.random.default_rng(7)
    lines = [depth_regression(depths, 0.9 * 0.5**depths + error * draw.standard_normal(6), error) for _ in range(400)]
    for value, claimed in (("slope", "slope_error"), ("intercept", "intercept_error")):
        scatter = np.std([getattr(line, value) for line in lines])
        assert getattr(exact, claimed) == pytest.approx(scatter, rel=0.15)

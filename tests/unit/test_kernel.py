"""Probe, theory, evidence and figure of ``gaussnet-kernel``."""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from symbreak.claims.gaussnet import kernel as evidence
from symbreak.claims.tables import Tables
from symbreak.config.specs import ArmSpec
from symbreak.errors import SymbreakError
from symbreak.figures import gaussnet_kernel as figure
from symbreak.probes.kernel import BLOCK, VARIANTS, _factor, _log_gains, inputs, probe, two_point_functions
from symbreak.probes.source import Source
from symbreak.theory.gaussnet import kernel, log_normaliser, log_normaliser_authors, moment, two_point

Array = NDArray[np.float64]
OPTIONS: dict[str, Any] = {"ensembles": [(2, 4000), (20, 1000)], "scale": 0.5, "mean_w1": 0.05}


def source(*seeds: int) -> Source:
    return Source(ArmSpec(experiment="gaussnet_kernel", arm="a", seeds=seeds, probes={"kernel": {}}))


def quadrature(points: Array, sigma_w: float, sigma_b: float) -> float:
    """E[prod_a s(x_a)] of one neuron with d = 1, by Gauss-Hermite over W0 and b0, from the talk's own formula."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(100)
    w0, b0 = np.meshgrid(sigma_w * nodes, sigma_b * nodes)
    weight = np.outer(weights, weights) / (2 * np.pi)
    product = np.ones_like(w0)
    for x in points[:, 0]:
        product *= np.exp(w0 * x + b0) / np.sqrt(np.exp(2 * (sigma_b**2 + sigma_w**2 * x**2)))
    return float((weight * product).sum())


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize(("sigma_w", "sigma_b"), [(1.0, 1.0), (1.3, 0.4)])
def test_moments_are_the_integral_over_one_neuron(n: int, sigma_w: float, sigma_b: float) -> None:
    points = np.array([[0.5], [-0.3], [0.1], [0.7]])[:n]
    assert moment(points, sigma_w, sigma_b) == pytest.approx(quadrature(points, sigma_w, sigma_b), rel=1e-9)


def test_moments_at_the_origin_are_those_of_the_catalogue() -> None:
    assert [moment(np.zeros((n, 3))) for n in (2, 4, 6, 8)] == pytest.approx(np.exp([0.0, 4.0, 12.0, 24.0]))


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize(("sigma_w", "sigma_b"), [(1.0, 1.0), (1.3, 0.4)])
def test_kernel_is_the_second_moment(d: int, sigma_w: float, sigma_b: float) -> None:
    x = np.random.default_rng(0).standard_normal((4, d))
    talk = kernel(x, x, sigma_w, sigma_b)
    np.testing.assert_allclose(np.diag(talk), sigma_b**2 + sigma_w**2)
    for i, j in combinations(range(4), 2):
        expected = sigma_b**2 + sigma_w**2 * moment(x[[i, j]], sigma_w, sigma_b)
        assert talk[i, j] == pytest.approx(expected, rel=1e-13)


def test_kernel_knows_the_input_dimension() -> None:
    x, y = np.zeros((1, 2)), np.ones((1, 2))
    assert kernel(x, y)[0, 0] == pytest.approx(1 + np.exp(-0.5))
    assert kernel(np.zeros((1, 4)), np.ones((1, 4)), 2.0, 0.5)[0, 0] == pytest.approx(0.25 + 4 * np.exp(-2.0))


def test_authors_normaliser_is_the_talks_only_at_d_1() -> None:
    """K(x, x) = 1 + e^{2 (1 - 1/d)}: 3.72 and 4.79 for d = 2 and 3, instead of 2."""
    for d, expected in {1: 2.0, 2: 1 + np.exp(1.0), 3: 1 + np.exp(4 / 3)}.items():
        x = np.random.default_rng(1).standard_normal((3, d))
        gain = log_normaliser(x) - log_normaliser_authors(x)
        np.testing.assert_allclose(np.diag(two_point(x, 7, gain)), expected, rtol=1e-12)


def test_shifted_two_point_function_is_the_sum_over_neurons() -> None:
    """E f f' = sb^2 + sum_jk E[W1_j W1_k] E[s_j s'_k], term by term."""
    x, width, mean, sigma_w, sigma_b = np.array([[0.2], [-0.4]]), 3, 0.7, 1.2, 0.5
    log_gain = np.array([0.1, -0.2])
    first = np.exp(log_gain) * [quadrature(x[[i]], sigma_w, sigma_b) for i in range(2)]
    second = np.exp(log_gain.sum()) * quadrature(x, sigma_w, sigma_b)
    expected = sigma_b**2
    for j in range(width):
        for k in range(width):
            weights = mean**2 + (sigma_w**2 / width if j == k else 0.0)
            expected += weights * (second if j == k else first[0] * first[1])
    assert two_point(x, width, log_gain, mean, sigma_w, sigma_b)[0, 1] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("d", [1, 2, 3, 784])
def test_preactivations_have_the_covariance_of_w0_x_plus_b0(d: int) -> None:
    x = inputs(d, 0.5)
    a = _factor(x)
    np.testing.assert_allclose(a @ a.T, 1 + x @ x.T / d, atol=1e-12)
    assert a.shape[1] == {1: 2, 2: 3, 3: 4, 784: 3}[d]


def test_inputs_keep_their_size_in_every_dimension() -> None:
    for d in (2, 3, 784):
        np.testing.assert_allclose(np.sum(inputs(d, 0.5)[1:] ** 2, axis=1) / d, 0.25)
    with pytest.raises(SymbreakError, match="must be even, found 785"):
        inputs(785, 0.5)


def standard_error(x: Array, width: int, nets: int) -> Array:
    """Exact standard error of the mean of f(x) f(y): var = K_xx K_yy + K_xy^2 + G4_c(x, x, y, y)."""
    talk = kernel(x, x)
    m2 = talk - 1
    error = np.empty_like(talk)
    for i, j in np.ndindex(talk.shape):
        connected = (3 * moment(x[[i, i, j, j]]) - m2[i, i] * m2[j, j] - 2 * m2[i, j] ** 2) / width
        error[i, j] = np.sqrt((talk[i, i] * talk[j, j] + talk[i, j] ** 2 + connected) / nets)
    return error


@pytest.mark.parametrize(("width", "nets"), [(2, 100_000), (50, 20_000)])
@pytest.mark.parametrize("d", [1, 3, 784])
def test_sampled_nets_have_the_kernel_and_wrong_kernels_are_seen(d: int, width: int, nets: int) -> None:
    x = inputs(d, 0.5)
    measured = two_point_functions(x, width, nets, 0.05, np.random.default_rng(d))["formula"]
    error = standard_error(x, width, nets)
    assert (np.abs(measured - kernel(x, x)) / error).max() < 4.5
    constant = np.full_like(measured, 2.0)
    assert (np.abs(measured - constant) / error).max() > 10
    if d == 3:
        no_dimension = 1 + np.exp(-np.sum((x[:, None] - x[None]) ** 2, axis=-1) / 2)
        assert (np.abs(measured - no_dimension) / error).max() > 10


@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("width", [20, 100])
def test_every_variant_is_on_its_own_closed_form(d: int, width: int) -> None:
    x = inputs(d, 0.5)
    measured = two_point_functions(x, width, 60_000, 0.05, np.random.default_rng(9))
    assert tuple(measured) == VARIANTS
    for variant in VARIANTS:
        expected = two_point(x, width, _log_gains(x)[variant], 0.05 if variant == "shifted" else 0.0)
        np.testing.assert_allclose(measured[variant], expected, rtol=0.06, err_msg=variant)


def test_one_net_of_more_neurons_than_a_block_is_a_block() -> None:
    x = inputs(1, 0.5)
    measured = two_point_functions(x, BLOCK + 1, 3, 0.0, np.random.default_rng(0))["formula"]
    assert np.linalg.matrix_rank(measured) == 3


def test_equal_seeds_give_equal_tables_and_others_do_not() -> None:
    table = probe(source(1, 2), dimension=2, **OPTIONS)
    pd.testing.assert_frame_equal(table, probe(source(1, 2), dimension=2, **OPTIONS))
    second = probe(source(2), dimension=2, **OPTIONS)
    pd.testing.assert_frame_equal(table[table["seed"] == 2].reset_index(drop=True), second)
    assert not table[table["seed"] == 1]["g2"].isin(second["g2"]).any()
    assert len(table) == 2 * 2 * len(VARIANTS) * 15


def planted(offsets: dict[int, float], variant: str = "formula") -> pd.DataFrame:
    """Five seeds and two pairs of inputs whose mean ratio at each width is 1 + offset +- the seed's part."""
    rows = [
        {"seed": s, "width": n, "variant": variant, "g2": k * (1 + o + 1e-4 * (s - 3) + pair), "kernel": k}
        for s in range(1, 6)
        for n, o in offsets.items()
        for k, pair in ((2.0, 0.01), (1.5, -0.01))
    ]
    return pd.DataFrame(rows)


def write(root: Path, **arms: pd.DataFrame) -> Tables:
    for arm, table in arms.items():
        (root / "gaussnet_kernel" / arm).mkdir(parents=True)
        table.to_parquet(root / "gaussnet_kernel" / arm / "kernel.parquet")
    return Tables(root, "gaussnet_kernel", list(arms))


def test_claim_is_judged_at_its_worst_and_control_at_its_best_width(tmp_path: Path) -> None:
    table = pd.concat([planted({2: 0.01, 10: -0.03, 100: 0.02}), planted({2: 0.9, 10: -0.4, 100: 0.8}, "authors")])
    tables = write(tmp_path, d2=table)
    expected = 1 + 1e-4 * np.arange(-2, 3)
    assert [u.value for u in evidence.ratio_d2(tables)] == pytest.approx(expected - 0.03)
    assert [u.value for u in evidence.authors_d2(tables)] == pytest.approx(expected - 0.4)
    assert [u.unit for u in evidence.ratio_d2(tables)] == [f"seed {s}, N=10" for s in range(1, 6)]


def test_slope_is_per_factor_ten_and_mean_over_dimensions(tmp_path: Path) -> None:
    rising = {width: 0.03 * np.log10(width) for width in (2, 10, 100, 1000)}
    flat = dict.fromkeys(rising, 0.5)
    units = evidence.slope(write(tmp_path, d1=planted(rising), d2=planted(flat)))
    assert [u.value for u in units] == pytest.approx([0.015] * 5)


def test_far_pairs_see_the_exponent_and_only_the_furthest_pairs_count(tmp_path: Path) -> None:
    right = pd.DataFrame(
        {"seed": seed, "width": 2, "variant": "formula", "distance2": d2, "g2": 1 + np.exp(-c * d2), "kernel": 1.0}
        for seed, c in ((1, 0.5), (2, 0.4))
        for d2 in (0.0, 0.5, 1.0)
    )
    tables = write(tmp_path, d1=right, d2=right)
    assert [u.value for u in evidence.far_pairs(tables)] == pytest.approx([1, (1 + np.exp(-0.4)) / (1 + np.exp(-0.5))])
    assert evidence.far_pairs_without_half(tables)[0].value == pytest.approx((1 + np.exp(-0.5)) / (1 + np.exp(-1)))


def test_figure_shows_measurement_theory_and_controls(tmp_path: Path) -> None:
    arms = {f"d{d}": probe(source(1, 2, 3), dimension=d, **OPTIONS) for d in (1, 2, 784)}
    claim: dict[str, Any] = {"statement": "K.", "verdict": "supported", "margin": 0.01, "n": 3, "control": "shown"}
    claim |= {"underpowered": False, "parts": {"d1": {"rule": {"equals": 1.0, "within": 0.02}}}}
    drawn = figure.draw(write(tmp_path, **arms), claim)
    texts = [t.get_text() for ax in drawn.axes for t in ax.get_legend().get_texts()]
    for word in ("talk: K", "control: normaliser", "accepted: 0.98 to 1.02", "closed forms", "last layer with a mean"):
        assert any(word in text for text in texts), word
    assert drawn.axes[1].get_xscale() == "log"

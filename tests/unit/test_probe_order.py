"""The probe ``order``: order parameter, susceptibility and critical learning rate of a sweep."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from symbreak.errors import SymbreakError
from symbreak.probes.order import NEEDS, Sweep, measure, read, resampled, susceptibility
from symbreak.probes.order_curves import FIELD, LOGISTIC, POWER, Fitter, aicc, compare, kink, logistic
from symbreak.probes.report import Report
from symbreak.theory.potential import Potential, critical_eta, mass2

ETA = np.linspace(0.05, 1.5, 20)
Curve = Callable[[float], float]


def sweep(curve: Curve, *, noise: float = 0.02, seeds: int = 10, eta: Any = ETA, seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    rows = [(rate, s, curve(rate) + noise * draw.standard_normal()) for rate in eta for s in range(seeds)]
    return pd.DataFrame(rows, columns=["eta", "seed", "value"])


def field(mu2: float, lam: float, power: float = 2.0) -> Curve:
    """The order parameter in the fit's own units; eta_c = 2 mu / sqrt(lam) whatever the power."""
    critical = 2 * math.sqrt(mu2 / lam)
    return lambda eta: math.sqrt(max(0.0, mu2 * (1 - (eta / critical) ** power)))


def value(report: Report, name: str) -> float:
    return float(report.results[name].value)


def error(report: Report, name: str) -> float:
    found = report.results[name].error
    assert found is not None
    return float(found)


@pytest.mark.parametrize(("mu2", "lam"), [(0.8, 3.2), (2.0, 9.0), (0.1, 0.3)])
def test_the_couplings_of_a_simulated_field_are_found_within_their_errors(mu2: float, lam: float) -> None:
    report = measure(sweep(field(mu2, lam), noise=0.03 * math.sqrt(mu2)), seed=0, resamples=100)
    expected = {"mu_squared": mu2, "lambda": lam, "critical_eta": 2 * math.sqrt(mu2 / lam), "exponent": 2.0}
    for name, truth in expected.items():
        assert abs(value(report, name) - truth) < 4 * error(report, name), name
        assert error(report, name) < 0.05 * truth, name
        low, high = report.results[f"{name}_interval"].value
        assert low < value(report, name) < high
    assert value(report, "kink_over_smooth") > 10
    assert not any("kink" in warning for warning in report.warnings)


def test_the_minimum_of_the_papers_potential_has_its_critical_rate_and_slope_one() -> None:
    """Without noise the fit is exact: |w*|^2 = mu^2/lam - eta^2/4."""
    mu2, lam = 0.7, 2.0
    report = measure(
        sweep(lambda eta: Potential(mass2(mu2, lam, eta), lam).radius(), noise=0.0, seeds=4), seed=0, resamples=50
    )
    assert value(report, "mu_squared") == pytest.approx(mu2 / lam, rel=1e-6)
    assert value(report, "lambda") == pytest.approx(1.0, rel=1e-6)
    assert value(report, "critical_eta") == pytest.approx(critical_eta(mu2, lam), rel=1e-6)
    assert value(report, "exponent") == pytest.approx(2.0, rel=1e-4)
    assert error(report, "critical_eta") < 1e-12


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0, 4.0])
def test_the_exponent_of_the_learning_rate_is_found(power: float) -> None:
    report = measure(sweep(field(0.8, 3.2, power)), seed=0, resamples=50)
    low, high = report.results["exponent_interval"].value
    assert abs(value(report, "exponent") - power) < 4 * error(report, "exponent")
    assert low - 0.1 < power < high + 0.1
    assert high - low < 0.5 * power
    assert abs(value(report, "critical_eta_of_power") - 1.0) < 4 * error(report, "critical_eta_of_power")
    criterion = dict(zip(("field", "power", "logistic", "quadratic"), report.results["aicc"].value, strict=True))
    assert (criterion["field"] < criterion["power"] + 4) == (power == 2.0)


SMOOTH: dict[str, Curve] = {
    "logistic": lambda eta: 1 / (1 + math.exp((eta - 0.7) / 0.12)),
    "wide": lambda eta: 1 / (1 + math.exp((eta - 0.6) / 0.2)),
    "gaussian": lambda eta: math.exp(-2 * eta**2),
    "arctan": lambda eta: 0.5 - math.atan(8 * (eta - 0.8)) / math.pi,
}


@pytest.mark.parametrize("name", SMOOTH)
def test_a_smooth_curve_is_told_from_a_kink(name: str) -> None:
    report = measure(sweep(SMOOTH[name]), seed=0, resamples=50)
    assert value(report, "kink_over_smooth") < 0
    assert any("a kink is not shown" in warning for warning in report.warnings)
    errors = report.results["cross_validation"].value
    assert errors[2:].min() < errors[:2].min()


def test_noise_that_hides_the_difference_is_no_evidence_of_a_kink() -> None:
    report = measure(sweep(field(0.8, 3.2), noise=1.0), seed=0, resamples=50)
    assert any("a kink is not shown" in warning for warning in report.warnings)


def test_the_interval_covers_the_critical_rate_as_often_as_it_says() -> None:
    inside, rates = 0, np.linspace(0.05, 1.5, 12)
    fitter = Fitter(FIELD, rates)
    for seed in range(25):
        samples = resampled(read(sweep(field(0.8, 3.2), noise=0.1, eta=rates, seed=seed)), 60, seed)
        low, high = np.quantile([fitter.fit(sample).theta[0] for sample in samples], [0.05, 0.95])
        inside += low <= 1.0 <= high
    assert inside >= 18  # of 25; 22.5 expected, somewhat fewer from ten seeds


def test_order_parameter_and_susceptibility_are_means_and_variances_over_replicas() -> None:
    table = sweep(field(0.8, 3.2), seeds=6)
    report = measure(table.sample(frac=1, random_state=0), seed=0, size=50.0, resamples=50)
    groups = table.groupby("eta")["value"]
    np.testing.assert_allclose(report.results["eta"].value, ETA)
    np.testing.assert_allclose(report.results["order_parameter"].value, groups.mean())
    np.testing.assert_allclose(report.results["order_parameter"].error, groups.std() / math.sqrt(6))
    np.testing.assert_allclose(report.results["susceptibility"].value, 50 * groups.var())


def test_the_susceptibility_of_a_spread_that_is_known() -> None:
    draw = np.random.default_rng(1)
    found, errors = susceptibility(Sweep(np.arange(300.0), [*0.5 * draw.standard_normal((300, 12))], False), 4.0)
    assert found.mean() == pytest.approx(1.0, abs=0.1)
    assert np.sqrt((errors**2).mean()) == pytest.approx(found.std(), rel=0.3)


def test_a_susceptibility_that_peaks_elsewhere_is_warned_of() -> None:
    draw = np.random.default_rng(2)
    here, there = sweep(field(0.8, 3.2)), sweep(field(0.8, 3.2))
    for table, place in ((here, 1.0), (there, 0.05)):
        table["value"] += 0.5 * np.exp(-(((table["eta"] - place) / 0.05) ** 2)) * draw.standard_normal(len(table))
    warnings = [" ".join(measure(t, seed=0, resamples=50).warnings) for t in (here, there)]
    assert "susceptibility is largest" not in warnings[0]
    assert "susceptibility is largest at eta = 0.05" in warnings[1]


def test_seeds_are_resampled_as_a_whole_and_loose_trainings_one_by_one() -> None:
    """If every seed is shifted by its own constant, paired samples are shifted by one number at all rates."""
    shifts = np.random.default_rng(0).standard_normal(8)
    values = [10.0 * k + shifts for k in range(9)]
    together = resampled(Sweep(np.arange(9.0), values, True), 200, 0)
    apart = resampled(Sweep(np.arange(9.0), values, False), 200, 0)
    rest = together - 10.0 * np.arange(9)
    np.testing.assert_allclose(rest, rest[:, :1].repeat(9, axis=1), atol=1e-12)
    assert (apart - 10.0 * np.arange(9)).std(axis=1).min() > 0.05
    assert rest[:, 0].std() == pytest.approx(shifts.std() / math.sqrt(8), rel=0.2)


def test_which_rows_are_of_one_training_decides_what_is_paired() -> None:
    table = sweep(field(0.8, 3.2))
    assert read(table).paired
    assert read(table.rename(columns={"seed": "replica"})).paired
    assert not read(table.drop(columns="seed")).paired
    assert not read(table.iloc[1:]).paired
    for other in (table.drop(columns="seed"), table.iloc[1:]):
        assert any("resampled at each rate" in warning for warning in measure(other, seed=0, resamples=50).warnings)


def test_equal_seeds_give_equal_results() -> None:
    table = sweep(field(0.8, 3.2))
    one, again, other = (measure(table, seed=seed, resamples=50) for seed in (3, 3, 4))
    assert one.as_json() == again.as_json()
    assert error(one, "critical_eta") != error(other, "critical_eta")


def test_doubts_are_said() -> None:
    signs = sweep(lambda eta: 0.05 + field(0.8, 3.2)(eta), seeds=5)
    signs.loc[(signs["eta"] == ETA[0]) & (signs["seed"] == 0), "value"] = -0.1
    warnings = " ".join(measure(signs, seed=0, resamples=50).warnings)
    assert "above critical_eta the order parameter is not zero" in warnings
    assert "trainings differ in sign" in warnings
    assert "fewer than 8 trainings" in warnings


@pytest.mark.parametrize("curve", [FIELD, POWER, LOGISTIC], ids=lambda curve: curve.name)
def test_a_fit_finds_the_curve_that_made_the_values(curve: Any) -> None:
    theta = np.array([0.93, 1.37] if curve is POWER else [0.93, 0.11] if curve is LOGISTIC else [0.93])
    fit = Fitter(curve, ETA).fit(2.5 * curve.shape(ETA, theta))
    np.testing.assert_allclose(fit.theta, theta, rtol=1e-5)
    assert fit.amplitude == pytest.approx(2.5, rel=1e-6)
    np.testing.assert_allclose(curve.at(fit, np.array([0.3])), 2.5 * curve.shape(np.array([0.3]), theta), rtol=1e-6)


def test_shapes_are_their_formulas() -> None:
    eta = np.array([0.0, 0.5, 1.0, 2.0])
    np.testing.assert_allclose(kink(eta, np.array([1.0])), [1, math.sqrt(0.75), 0, 0])
    np.testing.assert_allclose(kink(eta, np.array([1.0, 1.0])), [1, math.sqrt(0.5), 0, 0])
    expected = [1 / (1 + math.exp((e - 0.5) / 0.1)) for e in eta]
    np.testing.assert_allclose(logistic(eta, np.array([0.5, 0.1])), expected, rtol=1e-9)


def test_the_criterion_is_akaikes_with_its_correction() -> None:
    values = np.arange(1.0, 13.0)
    assert aicc(6.0, values, 2) == pytest.approx(12 * math.log(0.5) + 6 + 2 * 3 * 4 / 8)
    assert math.isfinite(aicc(0.0, values, 2))


def test_leaving_one_out_predicts_a_parabola_by_the_parabola_alone() -> None:
    _, errors = compare(ETA, 3 - ETA - 0.4 * ETA**2)
    assert errors["quadratic"] < 1e-10
    assert min(errors["field"], errors["power"], errors["logistic"]) > 1e-3


def changed(**columns: Any) -> pd.DataFrame:
    return sweep(field(0.8, 3.2)).assign(**columns)


def with_value(number: float) -> pd.DataFrame:
    table = sweep(field(0.8, 3.2))
    table.loc[3, "value"] = number
    return table


GOOD = sweep(field(0.8, 3.2))
REFUSED: list[tuple[pd.DataFrame, dict[str, Any], str]] = [
    (GOOD.drop(columns="value"), {}, r"missing: \['value'\]"),
    (changed(width=3), {}, r"unknown: \['width'\]"),
    (changed(replica=1), {}, r"unknown: \['replica'\]"),
    (changed(value="a"), {}, "finite numbers"),
    (with_value(math.nan), {}, "finite numbers"),
    (with_value(math.inf), {}, "finite numbers"),
    (changed(eta=-1.0, seed=range(200)), {}, "must not be negative"),
    (pd.concat([GOOD, GOOD.iloc[:1]]), {}, "occurs twice"),
    (GOOD.iloc[:0], {}, "found 0"),
    (GOOD[GOOD["eta"] < 0.5], {}, "at least 8 learning rates"),
    (GOOD[GOOD["seed"] < 3], {}, "4 trainings each, found 20 with at least 3"),
    (changed(value=-GOOD["value"]), {}, "must be positive at the smallest"),
    (GOOD[GOOD["eta"] < 1.1], {}, "needs 4 learning rates on either side, found 13 below and 1 above"),
    (GOOD[GOOD["eta"] > 0.8], {}, "needs 4 learning rates on either side, found 3 below"),
    (sweep(lambda eta: 1.0), {}, "there is no transition to fit"),
    (GOOD, {"size": 0.0}, "expected size > 0"),
    (GOOD, {"resamples": 10}, "resamples >= 50"),
    (GOOD, {"level": 1.0}, "0 < level < 1"),
]


@pytest.mark.parametrize(("table", "options", "words"), REFUSED, ids=[words[:24] for *_, words in REFUSED])
def test_what_it_cannot_measure_is_refused(table: pd.DataFrame, options: dict[str, Any], words: str) -> None:
    with pytest.raises(SymbreakError, match=words):
        measure(table, seed=0, **options)


def test_it_needs_a_sweep() -> None:
    assert NEEDS == "sweep"

"""Simulated power against closed forms."""

import time

import numpy as np
import pytest
from scipy import stats

from symbreak.claims.evidence import Unit
from symbreak.claims.intervals import interval
from symbreak.claims.power import power
from symbreak.config.registry import Power, Rule


def noncentral_t(shift: float, spread: float, n: int, level: float) -> float:
    """Chance that the lower end of a t interval lies above a bound that is ``shift`` below the true mean."""
    critical = stats.t.ppf((1 + level) / 2, n - 1)
    return stats.nct.sf(critical, n - 1, shift / spread * np.sqrt(n))


@pytest.mark.parametrize(("shift", "n"), [(0.5, 6), (1.0, 6), (2.0, 6), (1.0, 12), (0.0, 8)])
def test_power_of_the_t_interval_is_the_noncentral_t_tail(shift: float, n: int) -> None:
    found = power(Rule(at_least=1.0), Power(effect=1.0 + shift, spread=0.7), "t", 0.95, n)
    assert found == pytest.approx(noncentral_t(shift, 0.7, n, 0.95), abs=0.02)


@pytest.mark.parametrize(("effect", "n"), [(0.5, 6), (1.0, 12), (0.0, 8)])
def test_power_of_welchs_interval_is_the_two_sample_noncentral_t_tail(effect: float, n: int) -> None:
    found = power(Rule(above=0.0), Power(effect=effect, spread=0.7), "welch", 0.95, n)
    critical = stats.t.ppf(0.975, 2 * n - 2)
    expected = stats.nct.sf(critical, 2 * n - 2, effect / 0.7 * np.sqrt(n / 2))
    assert found == pytest.approx(expected, abs=0.02)


def test_power_of_an_equivalence_needs_both_ends_inside() -> None:
    wide = power(Rule(equals=0, within=1), Power(effect=0.0, spread=0.2), "t", 0.95, 6)
    one_sided = power(Rule(at_least=-1), Power(effect=0.0, spread=0.2), "t", 0.95, 6)
    narrow = power(Rule(equals=0, within=0.15), Power(effect=0.0, spread=0.2), "t", 0.95, 6)
    assert wide > 0.9
    assert one_sided >= wide
    assert narrow < 0.1


@pytest.mark.parametrize(
    ("method", "spread"), [("wilson", 0.0), ("wilson", 0.01), ("clopper_pearson", 0.01), ("t", 0.01)]
)
def test_power_is_how_often_the_whole_decision_is_passed_when_it_is_simulated_slowly(
    method: str, spread: float
) -> None:
    rule, generator, passed = Rule(at_least=0.9), np.random.default_rng(5), []
    for _ in range(400):
        counts = generator.binomial(200, np.clip(generator.normal(0.935, spread, size=6), 0, 1))
        values = counts / 200 if method != "t" else generator.normal(0.935, spread, size=6)
        drawn = [
            Unit(str(i), float(v), **({} if method == "t" else {"count": int(k), "trials": 200}))
            for i, (v, k) in enumerate(zip(values, counts, strict=True))
        ]
        found = interval(drawn, "statistical", method, 0.95)
        passed.append(found.low is not None and found.low >= 0.9)
    assert 0.1 < np.mean(passed) <= 1
    power_found = power(rule, Power(effect=0.935, spread=spread), method, 0.95, 6, 200)
    assert power_found == pytest.approx(np.mean(passed), abs=0.075)  # three standard errors of 400 draws


def test_spread_between_networks_costs_power() -> None:
    rule = Rule(at_least=0.9)
    found = [power(rule, Power(effect=0.93, spread=s), "wilson", 0.95, 5, 2000) for s in (0.0, 0.01, 0.04)]
    assert found[0] > found[1] > found[2]


def test_a_perfect_score_needs_enough_images() -> None:
    perfect = Power(effect=1.0, spread=0.0)
    level = 1 - 0.05 / 43
    assert power(Rule(at_least=0.999), perfect, "t", level, 5, 5000) == 1.0
    assert power(Rule(at_least=0.999), perfect, "t", level, 5, 1000) == 0.0


@pytest.mark.parametrize(("method", "n"), [("t", 4), ("wilson", 4), ("bca", 9)])
def test_too_few_units_have_no_power(method: str, n: int) -> None:
    sure = Power(effect=1.0, spread=0.01)
    assert power(Rule(above=0), sure, method, 0.95, n, 1000) == 0.0
    assert power(Rule(above=0), sure, method, 0.95, n + 1, 1000) == 1.0


def test_no_spread_without_counts_has_no_power() -> None:
    assert power(Rule(above=0), Power(effect=1.0, spread=0.0), "t", 0.95, 8) == 0.0


def test_power_is_the_same_every_time_and_fast() -> None:
    effect = Power(effect=0.95, spread=0.02)
    start = time.process_time()
    found = {power(Rule(at_least=0.9), effect, m, 0.9988, 8, 5000) for m in ("clopper_pearson",) * 2}
    assert len(found) == 1
    assert time.process_time() - start < 0.6

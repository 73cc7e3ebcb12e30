"""Interval methods: closed forms of scipy and statsmodels, coverage in simulations, and what has no interval."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from symbreak.claims.evidence import Unit
from symbreak.claims.intervals import count_interval, interval, t_interval
from symbreak.errors import SymbreakError

Facts = dict[str, Any]
VALUES = [0.31, 0.35, 0.29, 0.40, 0.33, 0.36]
LEVEL = 1 - 0.05 / 43


def units(values: Sequence[float], clusters: Any = None, error: float = 0.0) -> list[Unit]:
    names = clusters or [None] * len(values)
    return [Unit(f"seed {i}", v, cluster=c, error=error) for i, (v, c) in enumerate(zip(values, names, strict=True))]


def counted(counts: Sequence[int], trials: int, clusters: Any = None) -> list[Unit]:
    names = clusters or [None] * len(counts)
    return [
        Unit(f"seed {i}", k / trials, cluster=c, count=k, trials=trials)
        for i, (k, c) in enumerate(zip(counts, names, strict=True))
    ]


def test_t_is_statsmodels_interval_of_the_mean() -> None:
    found = interval(units(VALUES), "statistical", "t", LEVEL)
    assert (found.low, found.high) == pytest.approx(DescrStatsW(VALUES).tconfint_mean(alpha=1 - LEVEL), abs=1e-14)
    assert found.estimate == pytest.approx(np.mean(VALUES))
    assert (found.method, found.level, found.n, found.clusters) == ("t", LEVEL, 6, None)


def test_t_with_clusters_is_over_their_means_whatever_their_sizes() -> None:
    values = [1.0, 1.2, 2.0, 3.0, 3.4, 3.8, 4.0, 5.5]
    clusters = ["a", "a", "b", "c", "c", "c", "d", "e"]
    found = interval(units(values, clusters), "statistical", "t", 0.95)
    means = [1.1, 2.0, 3.4, 4.0, 5.5]
    assert (found.low, found.high) == pytest.approx(DescrStatsW(means).tconfint_mean(alpha=0.05), abs=1e-14)
    assert (found.n, found.clusters) == (8, 5)
    assert found.estimate == pytest.approx(np.mean(means))


def sides(this: Sequence[float], other: Sequence[float], clusters: Any = None) -> list[Unit]:
    names = clusters or [None] * (len(this) + len(other))
    groups = ["this"] * len(this) + ["other"] * len(other)
    rows = enumerate(zip([*this, *other], groups, names, strict=True))
    return [Unit(f"run {i}", v, cluster=c, group=g) for i, (v, g, c) in rows]


def test_welch_is_statsmodels_interval_of_the_difference_of_means() -> None:
    other = [0.10, 0.52, 0.21, 0.33, 0.05, 0.44, 0.29]
    found = interval(sides(VALUES, other), "statistical", "welch", LEVEL)
    compared = CompareMeans(DescrStatsW(VALUES), DescrStatsW(other))
    expected = compared.tconfint_diff(alpha=1 - LEVEL, usevar="unequal")
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-14)
    assert found.estimate == pytest.approx(np.mean(VALUES) - np.mean(other))
    assert (found.method, found.n, found.clusters) == ("welch", 13, None)


def test_welch_with_clusters_is_over_their_means_side_by_side() -> None:
    this, other = [1.0, 1.2, 2.0, 3.0, 3.4, 3.8], [0.1, 0.3, 0.4, 0.6, 0.8]
    found = interval(sides(this, other, [*"aabcde", *"abcde"]), "statistical", "welch", 0.95)
    plain = interval(sides([1.1, 2.0, 3.0, 3.4, 3.8], other), "statistical", "welch", 0.95)
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high), abs=1e-14)


def test_welch_needs_five_units_and_some_spread_a_side() -> None:
    assert interval(sides(VALUES, [1.0, 2.0, 3.0, 4.0]), "statistical", "welch", 0.95).low is None
    alike = interval(sides([1.0] * 5, [2.0] * 5), "statistical", "welch", 0.95)
    assert alike.low is None
    assert alike.reason is not None


def test_welch_is_widened_by_the_errors_of_both_sides() -> None:
    exact = interval(sides(VALUES, [0.1, 0.2, 0.3, 0.4, 0.6]), "statistical", "welch", 0.95)
    rough = [
        Unit(u.unit, u.value, group=u.group, error=0.2 if u.group == "this" else 0.1)
        for u in sides(VALUES, [0.1, 0.2, 0.3, 0.4, 0.6])
    ]
    wider = interval(rough, "statistical", "welch", 0.95)
    assert exact.low is not None and wider.low is not None
    assert exact.low - wider.low == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("method", "given"),
    [("welch", units(VALUES)), ("t", sides(VALUES, VALUES)), ("welch", [*sides(VALUES, []), Unit("one", 0.2)])],
)
def test_groups_belong_to_welch(method: str, given: list[Unit]) -> None:
    with pytest.raises(SymbreakError, match="name their group"):
        interval(given, "statistical", method, 0.95)


@pytest.mark.parametrize(("method", "name"), [("wilson", "wilson"), ("clopper_pearson", "beta")])
def test_counts_that_vary_less_than_coin_tosses_give_statsmodels_interval_of_the_pooled_counts(
    method: str, name: str
) -> None:
    found = interval(counted([980, 981, 982, 980, 979], 1000), "statistical", method, LEVEL)
    expected = proportion_confint(980 + 981 + 982 + 980 + 979, 5000, alpha=1 - LEVEL, method=name)
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-14)


def test_replicas_of_one_cluster_count_once() -> None:
    clusters = [c for c in "abcde" for _ in range(3)]
    one = interval(counted([980, 981, 982, 980, 979], 1000), "statistical", "wilson", LEVEL)
    three = [k for k in (980, 981, 982, 980, 979) for _ in range(3)]
    thrice = interval(counted(three, 1000, clusters), "statistical", "wilson", LEVEL)
    assert (thrice.low, thrice.high) == pytest.approx((one.low, one.high), abs=1e-14)
    assert (thrice.n, thrice.clusters) == (15, 5)


def test_counts_that_vary_more_than_coin_tosses_are_divided_by_the_design_effect() -> None:
    counts, trials = np.array([900, 950, 990, 920, 970]), 1000
    rate = counts.sum() / 5000
    effect = np.var(counts / trials, ddof=1) / (rate * (1 - rate) / trials)
    assert effect > 5
    effect *= (stats.t.ppf(0.975, 4) / stats.norm.ppf(0.975)) ** 2  # it is estimated from five units
    expected = proportion_confint(counts.sum() / effect, 5000 / effect, alpha=0.05, method="wilson")
    found = interval(counted([int(k) for k in counts], trials), "statistical", "wilson", 0.95)
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("method", ["t", "wilson", "clopper_pearson", "bca"])
def test_without_spread_the_interval_is_the_exact_one_on_counts_of_clusters(method: str) -> None:
    clusters = [f"order {i // 2}" for i in range(20)]
    found = interval(counted([5000] * 20, 5000, clusters), "statistical", method, LEVEL)
    # Clopper and Pearson's lower end for k = n is (alpha/2)^(1/n), n = 10 clusters of 5000 trials.
    assert found.low == pytest.approx(((1 - LEVEL) / 2) ** (1 / 50_000), abs=1e-14)
    assert found.high == 1.0
    assert found.method == "clopper_pearson (no spread)"


def test_without_spread_and_counts_there_is_no_interval() -> None:
    found = interval(units([0.5] * 6), "statistical", "t", LEVEL)
    assert (found.low, found.high, found.estimate) == (None, None, 0.5)
    assert "agree to the last digit" in found.reason


def test_equal_values_in_clusters_of_different_size_have_no_spread_although_their_means_round_differently() -> None:
    values, clusters = [0.1] * 9, ["a", "a", "a", "b", "c", "d", "e", "e", "e"]
    assert np.mean([0.1] * 3) != 0.1, "the trap that this test is about"
    assert interval(units(values, clusters), "statistical", "t", 0.95).low is None


@pytest.mark.parametrize(("method", "n"), [("t", 4), ("wilson", 4), ("clopper_pearson", 4), ("bca", 9)])
def test_too_few_independent_units_have_no_interval(method: str, n: int) -> None:
    found = interval(counted(range(1, n + 1), 50), "statistical", method, 0.95)
    assert found.low is None
    assert f"{n} independent units; the interval '{method}' needs at least {n + 1}" in found.reason
    assert interval(counted(range(1, n + 2), 50), "statistical", method, 0.95).low is not None


def test_many_units_in_four_clusters_are_too_few() -> None:
    found = interval(units(VALUES * 2, list("aaabbbcccddd")), "statistical", "t", 0.95)
    assert found.low is None
    assert "4 independent clusters" in found.reason


def test_bca_is_scipys_and_the_same_every_time() -> None:
    values = np.random.default_rng(3).exponential(size=12)
    found = [interval(units(values.tolist()), "statistical", "bca", 0.95) for _ in range(2)]
    assert found[0] == found[1]
    expected = stats.bootstrap((values,), np.mean, method="BCa", n_resamples=20_000, rng=np.random.default_rng(1))
    ends = expected.confidence_interval
    assert (found[0].low, found[0].high) == pytest.approx((ends.low, ends.high), abs=0.03)


def test_exact_and_numeric_intervals_are_the_hull_of_units_with_their_errors() -> None:
    mixed = [Unit("a", 1.0, error=0.5), Unit("b", 3.0, error=0.0), Unit("c", 2.9, error=0.2)]
    found = interval(mixed, "numeric", None, LEVEL)
    assert (found.low, found.high, found.level, found.method) == (0.5, pytest.approx(3.1), None, "hull")


def test_errors_widen_a_statistical_interval() -> None:
    plain, widened = (interval(units(VALUES, error=e), "statistical", "t", 0.95) for e in (0.0, 0.01))
    assert (widened.low, widened.high) == pytest.approx((plain.low - 0.01, plain.high + 0.01))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize(("regime", "method"), [("exact", None), ("statistical", "t")])
def test_a_unit_that_is_not_finite_is_named_and_never_dropped(regime: str, method: str, bad: float) -> None:
    found = interval(units([*VALUES, bad]), regime, method, 0.95)
    assert (found.low, found.high, found.n) == (None, None, 7)
    assert found.reason == "not a finite number in 1 of 7 units: seed 6"


def test_t_covers_as_often_as_it_says() -> None:
    values = np.random.default_rng(0).normal(2.0, 0.3, size=(20_000, 5))
    low, high = t_interval(values, 0.95)
    assert np.mean((low <= 2.0) & (high >= 2.0)) == pytest.approx(0.95, abs=0.005)


def test_wilson_with_design_effect_covers_more_than_without_where_networks_differ() -> None:
    generator = np.random.default_rng(0)
    rates = generator.normal(0.9, 0.02, size=(4000, 8))
    counts = generator.binomial(1000, rates).astype(float)
    low, high = count_interval(counts, np.full_like(counts, 1000), "wilson", 0.95)
    naive = proportion_confint(counts.sum(axis=1), 8000, method="wilson")
    covered = np.mean((low <= 0.9) & (high >= 0.9))
    assert np.mean((naive[0] <= 0.9) & (naive[1] >= 0.9)) < 0.75
    assert covered > 0.94


def test_few_overdispersed_units_miss_no_oftener_than_the_level_says() -> None:
    generator = np.random.default_rng(1)
    counts = generator.binomial(5000, generator.normal(0.1, 0.008, size=(20000, 6))).astype(float)
    low, high = count_interval(counts, np.full_like(counts, 5000), "wilson", LEVEL)
    assert np.mean((low > 0.1) | (high < 0.1)) < 2 * (1 - LEVEL)


def test_clopper_pearson_covers_at_least_as_often_as_it_says() -> None:
    counts = np.random.default_rng(0).binomial(200, 0.97, size=(4000, 5)).astype(float)
    low, high = count_interval(counts, np.full_like(counts, 200), "clopper_pearson", 0.95)
    assert np.mean((low <= 0.97) & (high >= 0.97)) >= 0.95


@pytest.mark.parametrize(
    ("evidence", "regime", "method", "words"),
    [
        ([], "exact", None, "no units"),
        ([Unit("a", 1.0), Unit("a", 2.0)], "exact", None, "twice: a"),
        ([Unit("a", 1.0, cluster="x"), Unit("b", 2.0)], "exact", None, "every unit has one or none"),
        ([Unit("a", 1.0)], "statistical", None, "a method is named in regime 'statistical' only"),
        ([Unit("a", 1.0)], "exact", "t", "a method is named in regime 'statistical' only"),
        ([Unit("a", 1.0)], "statistical", "wilson", "no 'count' and 'trials'"),
    ],
)
def test_evidence_that_does_not_suit_the_interval_is_refused_with_a_sentence(
    evidence: list[Unit], regime: str, method: str, words: str
) -> None:
    with pytest.raises(SymbreakError, match=words):
        interval(evidence, regime, method, 0.95)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"count": 1}, "belong together"),
        ({"count": 6, "trials": 5}, "6 of 5"),
        ({"count": 1, "trials": 5}, "is not count/trials"),
        ({"error": -1.0}, "'error' is -1.0"),
        ({"error": math.nan}, "'error' is nan"),
    ],
)
def test_a_unit_whose_facts_contradict_each_other_is_refused(facts: Facts, words: str) -> None:
    with pytest.raises(SymbreakError, match=words):
        Unit("a", 0.5, **facts)

"""What verdicts hang on, against closed forms: t tests, Holm's formula by hand, planted outliers and tolerances."""

import math
from typing import Any, Literal

import numpy as np
import pytest
from scipy import stats

from symbreak.claims.decide import decide
from symbreak.claims.evidence import Unit
from symbreak.claims.holm import SMALLEST, SMALLEST_BCA, holm, p_value, step_down
from symbreak.claims.leave_one_out import leave_one_out
from symbreak.claims.tolerance import at_half_and_double, judge, tolerance
from symbreak.config.registry import Part, Rule
from symbreak.errors import SymbreakError

Facts = dict[str, Any]
ABSENT = {"evidence": "c", "quantity": "without cause", "regime": "exact", "rule": {"equals": 0.0, "within": 0.01}}
MUST_FAIL = {"evidence": "c", "quantity": "without cause", "kind": "must_fail", "regime": "exact"}
NOTHING = [Unit("none", 0.0)]
TWO_NOTHINGS = [Unit("x", 0.0), Unit("y", 0.0)]
VALUES = 1.0 + 0.05 * np.random.default_rng(7).standard_normal(20)
EDGE = VALUES.mean() - stats.t.ppf(1 - 0.035 / 2, 19) * stats.sem(VALUES)  # p is 0.035
OTHERS = 0.4 + 0.1 * np.random.default_rng(8).standard_normal(12)


def part(rule: Facts, control: Facts = ABSENT, target: str = "T1", **more: Any) -> Part:
    facts = {"target": target, "evidence": "e", "quantity": "effect", "regime": "exact", "unit": "point", "basis": "b"}
    return Part.model_validate(facts | {"rule": rule, "control": control} | more)


def statistical(rule: Facts, method: str = "t", control: Facts = ABSENT, target: str = "T1") -> Part:
    more = {"regime": "statistical", "interval": method, "power": {"effect": 1.0, "spread": 0.1}}
    return part(rule, control, target, **more)


def seeds(values: Any, group: Literal["this", "other"] | None = None, error: float = 0.0) -> list[Unit]:
    side = f"{group}, " if group else ""
    return [Unit(f"{side}seed {i}", float(v), group=group, error=error) for i, v in enumerate(values)]


def counted(counts: list[int], trials: int) -> list[Unit]:
    return [Unit(f"seed {i}", c / trials, count=c, trials=trials) for i, c in enumerate(counts)]


def one_sided(edge: float, alternative: str) -> float:
    return float(stats.ttest_1samp(VALUES, edge, alternative=alternative).pvalue)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"at_least": 0.97}, 2 * one_sided(0.97, "greater")),
        ({"above": 0.97}, 2 * one_sided(0.97, "greater")),
        ({"at_most": 1.04}, 2 * one_sided(1.04, "less")),
        ({"equals": 1.0, "within": 0.04}, 2 * max(one_sided(0.96, "greater"), one_sided(1.04, "less"))),
        ({"equals": 1.02, "within": 0.04}, 2 * max(one_sided(0.98, "greater"), one_sided(1.06, "less"))),
    ],
)
def test_p_of_a_t_interval_is_that_of_one_sided_t_tests_of_a_band_the_greater(rule: Facts, expected: float) -> None:
    assert 1e-6 < expected < 0.9
    assert p_value(statistical(rule), seeds(VALUES)) == pytest.approx(expected, rel=1e-5)


def test_p_of_welchs_interval_is_that_of_welchs_t_test() -> None:
    units = seeds(VALUES, "this") + seeds(OTHERS, "other")
    expected = 2 * stats.ttest_ind(VALUES - 0.55, OTHERS, equal_var=False, alternative="greater").pvalue
    assert p_value(statistical({"above": 0.55}, "welch"), units) == pytest.approx(expected, rel=1e-5)


def test_an_error_of_the_units_moves_the_edges_of_the_test() -> None:
    expected = 2 * one_sided(0.97 + 0.005, "greater")
    assert p_value(statistical({"at_least": 0.97}), seeds(VALUES, error=0.005)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("entry", "units"),
    [
        (statistical({"equals": 1.0, "within": 0.04}), seeds(VALUES)),
        (statistical({"at_least": 0.98}, "bca"), seeds(VALUES)),
        (statistical({"at_least": 0.95}, "wilson"), counted([96, 99, 98, 97, 97, 99], 100)),
        (statistical({"at_least": 0.95}, "clopper_pearson"), counted([96, 99, 98, 97, 97, 99], 100)),
        (statistical({"at_least": 0.99}), counted([100] * 8, 100)),
    ],
    ids=["t", "bca", "wilson", "clopper_pearson", "no spread"],
)
def test_a_part_is_supported_exactly_at_the_levels_that_p_allows(entry: Part, units: list[Unit]) -> None:
    p = p_value(entry, units)
    assert SMALLEST_BCA < p < 0.9
    assert judge(entry, units, NOTHING, 1 - 1.001 * p).verdict == "supported"
    assert judge(entry, units, NOTHING, 1 - 0.999 * p).verdict == "inconclusive"


def test_p_is_one_where_no_level_has_an_interval_inside() -> None:
    assert p_value(statistical({"at_least": 1.2}), seeds(VALUES)) == 1
    assert p_value(statistical({"at_least": 0.0}), seeds(VALUES[:4])) == 1
    assert p_value(statistical({"at_least": 0.0}), [*seeds(VALUES), Unit("broken", math.nan)]) == 1


def test_p_stops_at_the_smallest_alpha_that_is_tried() -> None:
    assert p_value(statistical({"at_least": -10.0}), seeds(VALUES)) == SMALLEST
    assert p_value(statistical({"at_least": -10.0}, "bca"), seeds(VALUES)) == SMALLEST_BCA


def test_an_exact_part_has_no_p() -> None:
    with pytest.raises(SymbreakError, match="statistical"):
        p_value(part({"at_least": 0.0}), seeds(VALUES))


def test_holm_is_the_formula_written_out_over_the_whole_family() -> None:
    p, size = [0.011, 0.2, 0.004, 0.011, 0.9], 9
    expected = []
    for own in p:
        rank = [(size - i) * q for i, q in enumerate(sorted([*p, *[1.0] * 4])) if q <= own]
        expected.append(min(1.0, max(rank)))
    assert step_down(p, size) == pytest.approx(expected, rel=1e-12)
    assert step_down([0.01, 0.04], 2) == pytest.approx([0.02, 0.04])
    assert step_down([0.01, 0.04], 3) == pytest.approx([0.03, 0.08])
    assert step_down([], 3) == []
    with pytest.raises(SymbreakError, match="family_size"):
        step_down([0.1, 0.1], 1)


def rows(control: Facts = ABSENT, **extra: Part) -> Any:
    """Two targets of a family of two: p of T1 is below 0.025, p of T2 is 0.035."""
    parts = {
        "c/first": statistical({"at_least": 0.95}),
        "c/easy": statistical({"at_least": 0.0}, target="T2"),
        "c/second": statistical({"at_least": EDGE}, control=control, target="T2"),
    } | extra
    units = {name: seeds(VALUES) if entry.regime == "statistical" else NOTHING for name, entry in parts.items()}
    decisions = {name: decide(parts[name], units[name], NOTHING, 1 - 0.05 / 2) for name in parts}
    p = {name: p_value(parts[name], units[name]) for name in parts if parts[name].regime == "statistical"}
    return {row.target: row for row in holm(decisions, p, 0.05, 2)}


def test_a_target_has_the_p_of_its_least_favourable_part_and_holm_may_pass_what_the_family_level_does_not() -> None:
    found = rows()
    assert found["T2"].part == "c/second"
    assert (found["T2"].p, found["T2"].family, found["T2"].holm) == pytest.approx((0.035, 0.07, 0.035), rel=1e-5)
    assert (found["T2"].verdict, found["T2"].holm_verdict) == ("inconclusive", "supported")
    assert (found["T1"].verdict, found["T1"].holm_verdict) == ("supported", "supported")
    assert not found["T1"].bound


def test_holm_passes_no_target_whose_control_or_exact_part_does_not_hold() -> None:
    shows_effect = ABSENT | {"rule": {"equals": 1.0, "within": 0.01}}
    assert rows(control=shows_effect)["T2"].holm_verdict == "inconclusive (control)"
    failing = part({"at_least": 0.5}, target="T2")
    assert rows(**{"c/exact": failing})["T2"].holm_verdict == "refuted"


def test_a_planted_outlier_alone_changes_the_verdict_and_its_absence_is_the_end_of_the_range() -> None:
    values = VALUES.copy()
    values[13] = 0.0
    found = leave_one_out(statistical({"at_least": 0.95}), seeds(values), TWO_NOTHINGS, 0.99)
    assert (found.n, found.verdict) == (22, "inconclusive")
    (change,) = found.changes
    assert (change.name, change.held_by, change.verdict, change.decided) == ("seed 13", "part", "supported", True)
    means = [np.delete(values, i).mean() for i in range(20)]
    assert (found.low, found.high) == (pytest.approx(min(means)), pytest.approx(max(means)))
    assert found.high == pytest.approx(np.delete(values, 13).mean())
    assert found.estimate == pytest.approx(values.mean())


def test_the_same_seed_is_left_out_of_part_and_control_together() -> None:
    own, control = [Unit(f"seed {i}", 1.0) for i in range(3)], [Unit(f"seed {i}", 0.0) for i in range(1, 4)]
    own[1], control[0] = Unit("seed 1", 0.0), Unit("seed 1", 1.0)
    found = leave_one_out(part({"at_least": 0.9}), own, control, 0.95)
    assert (found.n, found.verdict) == (4, "inconclusive (control)")
    assert [(c.name, c.held_by, c.verdict) for c in found.changes] == [("seed 1", "both", "supported")]


def test_a_cluster_is_left_out_whole() -> None:
    values = {"a": (1.0, 1.1), "b": (0.2, 0.3), "c": (1.0, 1.2)}
    units = [Unit(f"{c}{i}", v, cluster=c) for c, pair in values.items() for i, v in enumerate(pair)]
    found = leave_one_out(part({"at_least": 0.9}), units, TWO_NOTHINGS, 0.95)
    assert found.n == 5
    assert [(c.name, c.estimate) for c in found.changes] == [("b", pytest.approx(4.3 / 4))]


def test_too_few_units_without_one_are_inconclusive_and_say_so() -> None:
    found = leave_one_out(statistical({"at_least": 0.9}), seeds(VALUES[:5]), TWO_NOTHINGS, 0.95)
    assert (found.verdict, len(found.changes)) == ("supported", 5)
    assert all(not c.decided and "at least 5" in str(c.reason) for c in found.changes)
    one, other = leave_one_out(part({"at_least": 0.9}), [Unit("one", 1.0)], NOTHING, 0.95).changes
    assert (one.name, one.verdict, one.decided, one.reason) == ("one", "inconclusive", False, "no unit would be left")
    assert (other.name, other.held_by, other.verdict) == ("none", "control", "inconclusive (control)")
    assert leave_one_out(part({"at_least": 0.9}), [Unit("one", 1.0)], TWO_NOTHINGS, 0.95).low is None


def test_what_a_tolerance_is() -> None:
    assert tolerance(Rule(equals=1.0, within=0.2), "statistical") == 0.2
    assert tolerance(Rule(at_most=1e-6), "numeric") == 1e-6
    assert tolerance(Rule(at_most=1e-6), "exact") == 1e-6
    assert tolerance(Rule(at_most=1e-6), "statistical") is None
    assert tolerance(Rule(at_most=-1.0), "numeric") is None
    assert all(tolerance(Rule(**{key: 1.0}), "numeric") is None for key in ("at_least", "above", "below"))


@pytest.mark.parametrize(
    ("high", "half", "registered", "double"),
    [
        (0.05, "supported", "supported", "supported"),
        (0.050001, "inconclusive", "supported", "supported"),
        (0.1, "inconclusive", "supported", "supported"),
        (0.2, "inconclusive", "inconclusive", "supported"),
        (0.200001, "inconclusive", "inconclusive", "inconclusive"),
    ],
)
@pytest.mark.parametrize("rule", [{"equals": 0.0, "within": 0.1}, {"at_most": 0.1}])
def test_verdicts_at_half_and_double_of_a_planted_interval(
    rule: Facts, high: float, half: str, registered: str, double: str
) -> None:
    units = [Unit("low", 0.0), Unit("high", high)]
    row, control = at_half_and_double(part(rule), units, NOTHING, 0.95)
    assert (row.of, row.tolerance, row.half, row.registered, row.double) == ("rule", 0.1, half, registered, double)
    assert row.changes is (half != registered or double != registered)
    assert (control.of, control.tolerance, control.changes) == ("control", 0.01, False)


def test_the_controls_tolerance_is_a_row_of_its_own() -> None:
    _, row = at_half_and_double(part({"at_least": 0.5}), [Unit("a", 1.0)], [Unit("b", 0.007)], 0.95)
    assert (row.of, row.half, row.registered, row.double) == (
        "control", "inconclusive (control)", "supported", "supported",
    )  # fmt: skip


def test_a_control_that_must_fail_moves_with_the_parts_rule() -> None:
    entry = part({"equals": 0.0, "within": 0.1}, MUST_FAIL)
    (row,) = at_half_and_double(entry, [Unit("a", 0.0)], [Unit("b", 0.15)], 0.95)
    assert (row.half, row.registered, row.double) == ("supported", "supported", "inconclusive (control)")


def test_what_has_no_half_or_double_says_why() -> None:
    bound, _ = at_half_and_double(part({"at_least": 0.5}), [Unit("a", 1.0)], NOTHING, 0.95)
    assert (bound.tolerance, bound.half, bound.double, bound.changes) == (None, None, None, False)
    assert "bound" in str(bound.reason)
    zero, _ = at_half_and_double(part({"at_most": 0.0}), [Unit("a", 0.0)], NOTHING, 0.95)
    assert (zero.tolerance, zero.half, zero.registered) == (0.0, None, "supported")
    assert "zero" in str(zero.reason)
    entry = part({"equals": 1.0, "within": 0.1}, refuted_if={"below": 0.85})
    overlapping, _ = at_half_and_double(entry, [Unit("a", 1.0)], NOTHING, 0.95)
    assert (overlapping.half, overlapping.double) == ("supported", None)
    assert "overlap" in str(overlapping.reason)

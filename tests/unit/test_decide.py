"""Decisions on cases made by hand, each one where a wrong comparison would decide otherwise."""

from typing import Any

import pytest

from symbreak.claims.decide import PartDecision, combine, decide
from symbreak.claims.evidence import Unit
from symbreak.config.registry import Part
from symbreak.errors import SymbreakError

Facts = dict[str, Any]
ABSENT = {"evidence": "c", "quantity": "effect without cause", "rule": {"equals": 0.10, "within": 0.01}}
MUST_FAIL = {"evidence": "c", "quantity": "the same without cause", "kind": "must_fail"}


def part(rule: Facts, control: Facts = ABSENT, **more: Any) -> Part:
    facts = {"target": "T1", "evidence": "e", "quantity": "effect", "regime": "exact", "unit": "point", "basis": "b"}
    return Part.model_validate(facts | {"rule": rule, "control": control} | more)


def hull(low: float, high: float) -> list[Unit]:
    return [Unit("low", low), Unit("high", high)]


INSIDE_ABSENT = hull(0.1, 0.1)


@pytest.mark.parametrize(
    ("rule", "low", "high", "verdict"),
    [
        ({"at_least": 0.9}, 0.9, 1.0, "supported"),
        ({"at_least": 0.9}, 0.8999999, 1.0, "inconclusive"),
        ({"at_least": 0.9}, 0.8, 0.9, "inconclusive"),
        ({"at_least": 0.9}, 0.8, 0.8999999, "refuted"),
        ({"above": 0.9}, 0.9, 1.0, "inconclusive"),
        ({"above": 0.9}, 0.9000001, 1.0, "supported"),
        ({"above": 0.9}, 0.8, 0.9, "refuted"),
        ({"at_most": 1e-6}, -5.0, 1e-6, "supported"),
        ({"at_most": 1e-6}, 1e-6, 1.0, "inconclusive"),
        ({"at_most": 1e-6}, 2e-6, 1.0, "refuted"),
        ({"below": 1e-6}, -5.0, 1e-6, "inconclusive"),
        ({"below": 1e-6}, 1e-6, 2.0, "refuted"),
        ({"equals": 0.1, "within": 0.01}, 0.09, 0.11, "supported"),
        ({"equals": 0.1, "within": 0.01}, 0.0899999, 0.11, "inconclusive"),
        ({"equals": 0.1, "within": 0.01}, 0.11, 0.2, "inconclusive"),
        ({"equals": 0.1, "within": 0.01}, 0.0, 0.2, "inconclusive"),
        ({"equals": 0.1, "within": 0.01}, 0.1100001, 0.2, "refuted"),
        ({"equals": 0.1, "within": 0.01}, 0.01, 0.0899999, "refuted"),
        ({"equals": 0, "within": 0}, 0.0, 0.0, "supported"),
        ({"equals": 0, "within": 0}, 0.0, 1e-300, "inconclusive"),
    ],
)
def test_an_interval_passes_only_wholly_inside_and_fails_only_wholly_outside(
    rule: Facts, low: float, high: float, verdict: str
) -> None:
    assert decide(part(rule), hull(low, high), INSIDE_ABSENT, 0.95).verdict == verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.995, 0.997, "inconclusive"), (0.5, 0.99, "inconclusive"), (0.5, 0.98999, "refuted"), (0.999, 1.0, "supported")],
)
def test_an_own_refuted_if_replaces_lying_outside(low: float, high: float, verdict: str) -> None:
    entry = part({"at_least": 0.999}, refuted_if={"below": 0.99})
    assert decide(entry, hull(low, high), INSIDE_ABSENT, 0.95).verdict == verdict


def test_rule_and_refuted_if_may_not_overlap_but_may_touch_where_one_is_open() -> None:
    decide(part({"at_least": 0.99}, refuted_if={"below": 0.99}), hull(1, 1), INSIDE_ABSENT, 0.95)
    with pytest.raises(SymbreakError, match="overlap"):
        decide(part({"at_least": 0.99}, refuted_if={"at_most": 0.99}), hull(1, 1), INSIDE_ABSENT, 0.95)


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [(0.09, 0.11, True), (0.08, 0.11, False), (0.11, 0.12, False), (0.0, 1.0, False), (0.2, 0.3, False)],
)
def test_an_absent_effect_is_an_equivalence_the_whole_interval_inside_the_band(
    low: float, high: float, shown: bool
) -> None:
    found = decide(part({"at_least": 0.9}), hull(0.95, 1.0), hull(low, high), 0.95)
    assert found.control.shown is shown
    assert found.verdict == ("supported" if shown else "inconclusive (control)")


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [(0.1, 0.2, True), (0.1, 0.8999999, True), (0.1, 0.9, False), (0.1, 0.95, False), (0.95, 0.99, False)],
)
def test_a_control_that_must_fail_lies_wholly_outside_the_rule(low: float, high: float, shown: bool) -> None:
    found = decide(part({"at_least": 0.9}, MUST_FAIL), hull(0.95, 1.0), hull(low, high), 0.95)
    assert found.control.shown is shown
    assert found.control.margin == pytest.approx(0.9 - high)


def test_a_refuted_part_whose_control_is_not_shown_is_inconclusive_too() -> None:
    found = decide(part({"at_least": 0.9}), hull(0.1, 0.2), hull(0.5, 0.5), 0.95)
    assert found.verdict == "inconclusive (control)"
    assert found.reason == "the control shows what must be absent from it"


def test_too_few_units_are_inconclusive_and_say_so() -> None:
    statistical = {"regime": "statistical", "interval": "t", "power": {"effect": 1.0, "spread": 0.1}}
    control = ABSENT | {"regime": "exact"}
    few = [Unit(f"seed {i}", 1.0 + i / 100) for i in range(2)]
    found = decide(part({"at_least": 0.9}, control, **statistical), few, INSIDE_ABSENT, 0.95)
    assert (found.verdict, found.margin, found.underpowered) == ("inconclusive", None, True)
    assert "2 independent units" in found.reason
    found = decide(part({"at_least": 0.9}, **statistical), few, few, 0.95)
    assert found.verdict == "inconclusive (control)"
    assert "2 independent units" in found.reason


def test_a_statistical_control_takes_the_parts_interval_unless_it_names_its_own() -> None:
    more = {"regime": "statistical", "interval": "t", "power": {"effect": 1.0, "spread": 0.1}}
    ten = [Unit(f"seed {i}", (90 + i) / 100, count=90 + i, trials=100) for i in range(6)]
    assert decide(part({"at_least": 0.5}, **more), ten, ten, 0.95).control.interval.method == "t"
    named = part({"at_least": 0.5}, ABSENT | {"interval": "wilson"}, **more)
    assert decide(named, ten, ten, 0.95).control.interval.method == "wilson"


@pytest.mark.parametrize(
    ("rule", "low", "high", "margin"),
    [
        ({"at_least": 0.9}, 0.95, 1.0, 0.05),
        ({"equals": 1.0, "within": 0.5}, 0.6, 1.1, 0.1),
        ({"equals": 1.0, "within": 0.5}, 0.9, 1.4, 0.1),
        ({"equals": 1.0, "within": 0.5}, 1.4, 1.7, -0.2),
        ({"equals": 1.0, "within": 0.5}, 1.6, 2.7, -0.1),
        ({"at_most": 0.5}, 0.4, 0.75, -0.25),
        ({"at_most": 0.5}, 0.6, 0.75, -0.1),
    ],
)
def test_the_margin_is_the_distance_from_the_nearest_edge_positive_inside(
    rule: Facts, low: float, high: float, margin: float
) -> None:
    assert decide(part(rule), hull(low, high), INSIDE_ABSENT, 0.95).margin == pytest.approx(margin)


def decided(target: str, low: float, high: float, control: float = 0.1) -> PartDecision:
    return decide(part({"at_least": 0.9}, target=target), hull(low, high), hull(control, control), 0.95)


SUPPORTED, REFUTED, OPEN, LOST = (0.95, 1.0), (0.1, 0.2), (0.5, 1.0), (0.95, 1.0, 0.5)


@pytest.mark.parametrize(
    ("parts", "verdict"),
    [
        ([SUPPORTED, SUPPORTED], "supported"),
        ([SUPPORTED, OPEN], "inconclusive"),
        ([SUPPORTED, LOST], "inconclusive (control)"),
        ([OPEN, LOST], "inconclusive (control)"),
        ([REFUTED, SUPPORTED], "refuted"),
        ([REFUTED, OPEN], "refuted"),
        ([LOST, REFUTED], "refuted"),
    ],
)
def test_a_claim_is_refuted_if_any_part_is_and_supported_only_if_all_are(parts: Any, verdict: str) -> None:
    both = {f"p{i}": decided("T1", *p) for i, p in enumerate(parts)}
    assert combine(both).verdict == verdict
    assert combine(both).targets == {"T1": verdict}


def test_targets_have_verdicts_of_their_own_and_the_least_margin_decides() -> None:
    found = combine({"a": decided("T1", 0.97, 1), "b": decided("T1", 0.93, 1), "c": decided("T2", 0.95, 1)})
    assert (found.verdict, found.deciding) == ("supported", "b")
    found = combine({"a": decided("T1", *SUPPORTED), "b": decided("T2", *OPEN), "c": decided("T2", *SUPPORTED)})
    assert found.targets == {"T1": "supported", "T2": "inconclusive"}
    assert (found.verdict, found.deciding) == ("inconclusive", "b")

"""What people read says what is decided: the sentences of every rule, and the edge that they name."""

from typing import Any

import pytest

from symbreak.claims.sentences import control_must, number, outcome, refuted_if, supported_if
from symbreak.config.registry import Part

Facts = dict[str, Any]
LEVEL = 1 - 0.05 / 43


def part(rule: Facts, kind: str = "statistical", **more: Any) -> Part:
    facts = {
        "target": "T1",
        "evidence": "e",
        "quantity": "training accuracy",
        "regime": kind,
        "unit": "seed",
        "basis": "b",
    }
    control = {"evidence": "c", "quantity": "test accuracy", "rule": {"equals": 0.1, "within": 0.01}}
    method = {"interval": "t", "power": {"effect": 1, "spread": 0.1}} if kind == "statistical" else {}
    return Part.model_validate(facts | method | {"rule": rule, "control": control} | more)


@pytest.mark.parametrize(
    ("rule", "inside", "outside"),
    [
        ({"at_least": 0.99}, "is at least 0.99", "is below 0.99"),
        ({"above": 0}, "is above 0", "is at most 0"),
        ({"at_most": 1e-6}, "is at most 1e-06", "is above 1e-06"),
        ({"below": 0.5}, "is below 0.5", "is at least 0.5"),
        (
            {"equals": 0.1, "within": 0.01},
            "lies between 0.09 and 0.11",
            "lies wholly below 0.09 or wholly above 0.11",
        ),
        ({"equals": 4, "within": 0}, "equals 4", "differs from 4"),
    ],
)
def test_every_rule_says_what_supports_and_what_refutes(rule: Facts, inside: str, outside: str) -> None:
    whole = "the whole 99.88 % interval of training accuracy"
    assert supported_if(part(rule), LEVEL) == f"Supported if {whole} {inside}."
    assert refuted_if(part(rule), LEVEL) == f"Refuted if {whole} {outside}."


def test_an_own_refuted_if_is_what_is_said() -> None:
    entry = part({"at_least": 0.999}, refuted_if={"below": 0.99})
    assert refuted_if(entry, LEVEL).endswith("of training accuracy is below 0.99.")


def test_a_hull_speaks_of_every_unit_and_of_no_level() -> None:
    text = supported_if(part({"at_most": 1e-10}, "exact"), LEVEL)
    assert text == "Supported if training accuracy, in every unit and with its numerical error, is at most 1e-10."


def test_controls_say_what_must_be_seen() -> None:
    absent = control_must(part({"at_least": 0.9}), LEVEL)
    assert absent == "The control is shown if the whole 99.88 % interval of test accuracy lies between 0.09 and 0.11."
    control = {"evidence": "c", "quantity": "test accuracy", "kind": "must_fail"}
    fails = control_must(part({"at_least": 0.9}, control=control), LEVEL)
    assert fails.endswith("own rule fails there: the whole 99.88 % interval of test accuracy is below 0.9.")


def test_numbers_lose_no_digit() -> None:
    assert [number(x) for x in (0.9999999, 1e-12, 5, 0.30000000000000004)] == [
        "0.9999999",
        "1e-12",
        "5",
        "0.30000000000000004",
    ]


def test_the_outcome_marks_what_is_underpowered() -> None:
    facts = {"verdict": "supported", "margin": 0.00123456, "n": 8, "control": "shown", "underpowered": True}
    assert outcome(facts) == "supported (underpowered)  |  margin 0.0012  |  n = 8  |  control shown"
    open_ = facts | {"verdict": "inconclusive", "margin": None, "underpowered": False}
    assert outcome(open_) == "inconclusive  |  no margin  |  n = 8  |  control shown"

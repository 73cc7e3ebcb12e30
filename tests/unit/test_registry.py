"""What a registry entry may not say: every contradiction is refused when claims.yaml is read."""

import copy
from typing import Any

import pytest
from pydantic import ValidationError

from symbreak.config.registry import Registry

PART = {
    "target": "C1",
    "evidence": "train",
    "quantity": "training accuracy",
    "regime": "statistical",
    "unit": "seed",
    "interval": "t",
    "rule": {"at_least": 0.99},
    "basis": "table 1",
    "power": {"effect": 1.0, "spread": 0.1},
    "control": {"evidence": "test", "quantity": "test accuracy", "rule": {"equals": 0.1, "within": 0.01}},
}
CLAIM = {
    "paper": "ssb",
    "targets": ["C1"],
    "statement": "s",
    "source": "s",
    "experiment": "toy",
    "probes": ["accuracy"],
    "figure": "f",
    "caption": "c",
    "parts": {"fit": PART},
}
PAPER = {"title": "T", "reference": "r", "alpha": 0.05, "family_size": 43, "targets": ["C1", "C2"]}
TREE: dict[str, Any] = {"papers": {"ssb": PAPER}, "claims": {"ssb-fit": CLAIM}}
FIT = "claims.ssb-fit.parts.fit"


def changed(*changes: tuple[str, Any]) -> dict[str, Any]:
    tree = copy.deepcopy(TREE)
    for path, value in changes:
        *parents, last = path.split(".")
        place = tree
        for key in parents:
            place = place[key]
        place[last] = value
    return tree


def test_the_entry_that_the_mistakes_start_from_is_valid() -> None:
    assert Registry.model_validate(TREE).claims["ssb-fit"].parts["fit"].rule.at_least == 0.99


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (f"{FIT}.rule", {"at_least": 0.9, "at_most": 1.0}, "exactly one of"),
        (f"{FIT}.rule", {}, "exactly one of"),
        (f"{FIT}.rule", {"equals": 0.1}, "'equals' and 'within' belong together"),
        (f"{FIT}.rule", {"at_least": 0.1, "within": 0.1}, "'equals' and 'within' belong together"),
        (f"{FIT}.rule", {"equals": 0.1, "within": -0.1}, "greater than or equal to 0"),
        (f"{FIT}.rule", {"atleast": 0.1}, "did you mean 'at_least'"),
        (f"{FIT}.interval", None, "needed in regime 'statistical'"),
        (f"{FIT}.power", None, "needed in regime 'statistical'"),
        (f"{FIT}.regime", "exact", "needed in regime 'statistical' and only there"),
        (f"{FIT}.interval", "normal", "'t', 'welch', 'wilson', 'clopper_pearson' or 'bca'"),
        (f"{FIT}.control.rule", None, "of kind 'absent' needs 'rule'"),
        (f"{FIT}.control.kind", "must_fail", "of kind 'must_fail' has none"),
        (f"{FIT}.target", "C2", "the targets of 'parts'"),
        ("claims.ssb-fit.targets", ["C1", "C2"], "the targets of 'parts'"),
        ("papers.ssb.targets", ["C2"], "are not in papers.ssb.targets"),
        (
            "claims.ssb-fit.amended",
            [{"reason": "r", "part": "fot", "old_rule": {"above": 1}}],
            "parts that are not there",
        ),
        ("claims.noether-fit", CLAIM, "must start with its paper"),
        ("papers.ssb.alpha", 1.0, "less than 1"),
        ("papers.ssb.family_size", 0, "greater than or equal to 1"),
    ],
)
def test_a_contradiction_is_refused(path: str, value: Any, words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Registry.model_validate(changed((path, value)))
    assert words in str(refused.value)

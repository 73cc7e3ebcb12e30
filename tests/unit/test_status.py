"""The status table, its JSON, its targets, and the README's table of verdicts."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from symbreak.config.registry import Registry
from symbreak.errors import SymbreakError
from symbreak.files import write_json
from symbreak.provenance.freshness import Freshness
from symbreak.readme import rewritten
from symbreak.status import Row, as_json, pinned_rows, rows, show, target_rows

Facts = dict[str, Any]
LONG = "ssb-a-claim-with-a-very-long-name-that-no-narrow-log-may-cut-off"


def part(target: str) -> Facts:
    control = {"evidence": "c", "quantity": "q", "rule": {"at_most": 1}}
    facts = {"target": target, "evidence": "e", "quantity": "q", "regime": "exact", "unit": "point", "basis": "b"}
    return facts | {"rule": {"at_least": 0}, "control": control}


def claim(paper: str, *targets: str) -> Facts:
    facts = {"paper": paper, "targets": targets, "statement": f"What {paper} says", "source": "s", "experiment": "x"}
    parts = {t.lower(): part(t) for t in targets}
    return facts | {"probes": ["p"], "figure": "f", "caption": "c", "parts": parts}


@pytest.fixture
def registry() -> Registry:
    facts = {"title": "T", "reference": "r", "alpha": 0.05, "family_size": 3}
    papers = {"ssb": facts | {"targets": ["A1", "A2", "C1"]}, "noether": facts | {"targets": ["A1", "B7"]}}
    claims = {LONG: claim("ssb", "A1", "A2"), "noether-law": claim("noether", "A1")}
    return Registry.model_validate({"papers": papers, "claims": claims})


def evidence(verdict: str = "supported", targets: Any = None, **more: Any) -> Facts:
    targets = targets or {"A1": verdict}
    parts = {
        t.lower(): {"target": t, "verdict": v, "margin": 0.25, "n": 7, "reason": None, "underpowered": False}
        | {"control": {"shown": True}}
        for t, v in targets.items()
    }
    facts = {"verdict": verdict, "targets": targets, "margin": 0.0123456, "n": 5, "control": "shown", "diverged": []}
    return facts | {"underpowered": False, "parts": parts, "deciding": next(iter(parts))} | more


def fresh(claim: str) -> Freshness:
    return Freshness("fresh") if claim == LONG else Freshness("missing", "not computed here")


def printed(lines: list[Row], width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    show(lines, console)
    return console.file.getvalue()


def test_rows_say_what_is_computed_and_what_is_only_pinned(registry: Registry, tmp_path: Path) -> None:
    write_json(tmp_path / "results/desk/claims" / f"{LONG}.json", evidence())
    (tmp_path / "figures/desk").mkdir(parents=True)
    (tmp_path / f"figures/desk/{LONG}.svg").touch()
    pin = {"claim_file": evidence("refuted", underpowered=True)}
    write_json(tmp_path / "results/pinned/desk/noether-law.json", pin)
    found = rows(registry, "desk", tmp_path, fresh)
    assert [r.id for r in found] == [LONG, "noether-law"]
    assert (found[0].verdict, found[0].margin, found[0].n, found[0].freshness) == ("supported", 0.0123456, 5, "fresh")
    assert found[0].figure == f"figures/desk/{LONG}.svg"
    assert (found[1].verdict, found[1].control, found[1].figure) == (None, None, None)
    assert found[1].reason.endswith("results/pinned/desk/noether-law.json has: refuted (underpowered)")


def test_json_has_the_keys_that_scripts_rely_on(registry: Registry, tmp_path: Path) -> None:
    write_json(tmp_path / "results/desk/claims" / f"{LONG}.json", evidence())
    for row in json.loads(as_json(rows(registry, "desk", tmp_path, fresh))):
        assert set(row) >= {"id", "paper", "verdict", "margin", "n", "control", "freshness", "figure"}
    first, second = json.loads(as_json(rows(registry, "desk", tmp_path, fresh)))
    assert (first["margin"], first["paper"]) == (0.0123456, "ssb")
    assert (second["verdict"], second["freshness"]) == (None, "missing")


@pytest.mark.parametrize("width", [20, 80, 200])
def test_a_plain_log_cuts_off_nothing_whatever_its_width(registry: Registry, tmp_path: Path, width: int) -> None:
    reason = "a long reason that would be folded at eighty columns " * 3
    facts = evidence("inconclusive", underpowered=True)
    facts["parts"]["a1"]["reason"] = reason.strip()
    write_json(tmp_path / "results/desk/claims" / f"{LONG}.json", facts)
    lines = printed(rows(registry, "desk", tmp_path, fresh), width).splitlines()
    assert len(lines) == 3
    assert [line.strip() for line in lines if LONG in line and reason.strip() in line]
    assert "inconclusive (underpowered)" in lines[1]
    assert "0.012 " in lines[1]
    assert "not computed" in lines[2]


def test_diverged_replicas_are_counted_in_the_reason(registry: Registry, tmp_path: Path) -> None:
    facts = evidence(diverged=[{"arm": "plain", "seed": 1003}])
    write_json(tmp_path / "results/desk/claims" / f"{LONG}.json", facts)
    assert rows(registry, "desk", tmp_path, fresh)[0].reason == "1 diverged: plain/1003"


def test_by_target_lists_every_target_of_every_catalogue(registry: Registry, tmp_path: Path) -> None:
    targets = {"A1": "supported", "A2": "inconclusive"}
    facts = evidence("inconclusive", targets)
    facts["parts"]["a2"] |= {"margin": -0.5, "n": 4, "reason": "too wide"}
    write_json(tmp_path / "results/desk/claims" / f"{LONG}.json", facts)
    found = {(r.paper, r.target): r for r in target_rows(registry, "desk", tmp_path, fresh)}
    assert list(found) == [("ssb", "A1"), ("ssb", "A2"), ("ssb", "C1"), ("noether", "A1"), ("noether", "B7")]
    assert (found["ssb", "A1"].verdict, found["ssb", "A1"].margin, found["ssb", "A1"].n) == ("supported", 0.25, 7)
    assert (found["ssb", "A2"].verdict, found["ssb", "A2"].margin, found["ssb", "A2"].reason) == (
        "inconclusive",
        -0.5,
        "too wide",
    )
    assert (found["ssb", "C1"].verdict, found["ssb", "C1"].id) == ("not registered", None)
    assert (found["noether", "A1"].verdict, found["noether", "A1"].id) == (None, "noether-law")
    assert printed(list(found.values())).count("not registered") == 2
    assert all("target" in row for row in json.loads(as_json(list(found.values()))))


def test_a_broken_claim_file_is_a_sentence(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "results/desk/claims" / f"{LONG}.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"verdict": "supp')
    with pytest.raises(SymbreakError, match=r"not JSON .* delete it and compute the claim again"):
        rows(registry, "desk", tmp_path, fresh)


README = "# T\n<!-- verdicts:begin -->\nold\n<!-- verdicts:end -->\nrest\n"


def test_the_readmes_table_is_that_of_the_pinned_results(registry: Registry, tmp_path: Path) -> None:
    pin = {"claim_file": evidence("refuted", underpowered=True)}
    write_json(tmp_path / "results/pinned/desk/noether-law.json", pin)
    new = rewritten(README, registry, tmp_path)
    assert new.startswith("# T\n<!-- verdicts:begin -->\n| claim |")
    assert new.endswith("|\n<!-- verdicts:end -->\nrest\n")
    assert "| `noether-law` | What noether says | refuted (underpowered) | 0.012 | 5 | shown |" in new
    assert f"| `{LONG}` | What ssb says | not computed | - | - | - |" in new
    assert rewritten(new, registry, tmp_path) == new
    write_json(tmp_path / "results/pinned/desk/noether-law.json", {"claim_file": evidence("supported")})
    assert rewritten(new, registry, tmp_path) != new


@pytest.mark.parametrize("text", ["nothing", README * 2, "<!-- verdicts:end --><!-- verdicts:begin -->"])
def test_a_readme_without_its_marks_is_refused(registry: Registry, tmp_path: Path, text: str) -> None:
    with pytest.raises(SymbreakError, match="expected the lines"):
        rewritten(text, registry, tmp_path)


def test_pinned_rows_have_no_freshness(registry: Registry, tmp_path: Path) -> None:
    assert [(r.verdict, r.freshness) for r in pinned_rows(registry, "desk", tmp_path)] == [(None, None)] * 2

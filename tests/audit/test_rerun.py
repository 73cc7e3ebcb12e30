"""``symbreak audit [--rev REV]``. Oracle: a working tree equal to its pins; then one number moves by a known share."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from symbreak.audit.differences import Difference
from symbreak.audit.finding import Finding
from symbreak.audit.rerun import audit_rerun
from symbreak.audit.tolerance import tolerance
from symbreak.cli import app
from symbreak.errors import SymbreakError
from symbreak.files import sha256, write_json

from .project import commit, git

CLAIM, OTHER = "results/desk/claims/ssb-random-labels.json", "results/desk/claims/ssb-goldstone.json"
PIN = "results/pinned/desk/ssb-random-labels.json"


def edit(root: Path, name: str, *steps: str, to: Any = None, by: float = 0.0) -> None:
    """Set one value of a JSON file, or move a number."""
    content = json.loads((root / name).read_text())
    at = content
    for step in steps[:-1]:
        at = at[step]
    at[steps[-1]] = at[steps[-1]] + by if by else to
    write_json(root / name, content)
    if name in (CLAIM, OTHER):
        as_if_written_so(root, name)


def as_if_written_so(root: Path, name: str) -> None:
    """Let the manifest of a claim file say that its job wrote what lies there now."""
    edit(root, name.replace(".json", ".manifest.json"), "outputs", Path(name).name, to=sha256(root / name))


def find(findings: list[Finding], key: str, file: str = CLAIM) -> Finding:
    return next(f for f in findings if (f.file, f.key) == (file, key))


def test_the_same_results_pass_with_nothing_that_differs(whole: Path) -> None:
    findings, differences = audit_rerun(whole)
    assert {f.state for f in findings} == {"passed"}
    assert {f.file for f in findings} == {CLAIM, OTHER}
    assert {f.margin for f in findings if f.key.endswith("estimate")} == {1.0}
    assert differences == []


@pytest.mark.parametrize(("share", "state"), [(0.4, "passed"), (-0.4, "passed"), (1.6, "failed"), (-1.6, "failed")])
def test_a_number_is_measured_in_its_tolerance(whole: Path, share: float, state: str) -> None:
    edit(whole, CLAIM, "parts", "near", "estimate", by=share * 0.02)
    finding = find(audit_rerun(whole)[0], "parts.near.estimate")
    assert finding.state == state
    assert finding.margin == pytest.approx(1 - abs(share))
    assert finding.reason == "tolerance 0.02: within of the rule"


BLOCK = {"regime": "statistical", "low": 0.93, "high": 0.97}


@pytest.mark.parametrize(
    ("block", "rule", "expected", "meaning"),
    [
        (BLOCK, {"equals": 0.95, "within": 0.1}, 0.1, "within of the rule"),
        (BLOCK, {"at_least": 0.9}, 0.02, "half the pinned interval"),
        (BLOCK | {"regime": "numeric"}, {"at_least": 0.9}, 0.03, "distance to the rule's edge"),
        (BLOCK | {"regime": "numeric"}, {"below": 0.9}, 0.03, "distance to the rule's edge"),
        (BLOCK | {"low": None, "high": None}, {"at_least": 0.9}, 0.0, "equality, for the pinned one has no interval"),
    ],
)
def test_a_tolerance_comes_from_the_rule_or_the_interval(
    block: dict[str, Any], rule: dict[str, float], expected: float, meaning: str
) -> None:
    assert tolerance(block, rule) == (pytest.approx(expected, abs=1e-12), meaning)


@pytest.mark.parametrize(
    ("steps", "to"),
    [
        (("verdict",), "refuted"),
        (("targets", "C2"), "inconclusive"),
        (("control",), "not shown"),
        (("n",), 4),
        (("parts", "fit", "verdict"), "inconclusive"),
        (("parts", "fit", "control", "shown"), False),
        (("parts", "fit", "method"), "t"),
        (("parts", "fit", "low"), None),
    ],
)
def test_another_verdict_or_count_fails(whole: Path, steps: tuple[str, ...], to: Any) -> None:
    edit(whole, CLAIM, *steps, to=to)
    failed = [f for f in audit_rerun(whole)[0] if f.state == "failed"]
    assert [(f.file, f.key, f.found) for f in failed] == [(CLAIM, ".".join(steps), to)]


def test_another_device_version_code_or_source_is_told_and_is_no_failure(whole: Path) -> None:
    edit(whole, "results/desk/claims/ssb-random-labels.manifest.json", "versions", "scipy", to="0.1")
    edit(whole, "results/desk/claims/ssb-random-labels.manifest.json", "code", "files", "symbreak.seeding", to="0")
    edit(whole, "results/desk/claims/ssb-random-labels.manifest.json", "code", "end", to="1" * 16)
    run = "results/desk/runs/toy/true.manifest.json"
    edit(whole, run, "device", to="cuda")
    edit(whole, run, "threads", to=2)
    edit(whole, run, "inputs", "data", "sources", "test_batch.bin", "source", to="a mirror")
    findings, differences = audit_rerun(whole)
    assert {f.state for f in findings} == {"passed"}
    told = {d.what: (d.pinned, d.here) for d in differences}
    path = "results/desk/runs/toy/true.safetensors"
    assert told["version of scipy"][1] == "0.1"
    assert told["code (symbreak.seeding)"][1] == "1" * 16
    assert told[f"device of {path}"] == ("cpu", "cuda")
    assert told[f"threads of {path}"] == ("1", "2")
    assert "from a mirror, npm" in told[f"data of {path}"][1]
    assert len(told) == 5


def test_units_and_tables_that_are_not_the_same_bytes_are_counted(whole: Path) -> None:
    content = json.loads((whole / CLAIM).read_text())
    content["parts"]["fit"]["units"][3]["value"] += 1e-12
    write_json(whole / CLAIM, content)
    as_if_written_so(whole, CLAIM)
    manifest = "results/desk/claims/ssb-random-labels.manifest.json"
    edit(whole, manifest, "inputs", "true/accuracy", "sha256", to="0" * 64)
    assert {(d.what, d.here) for d in audit_rerun(whole)[1]} == {
        ("units of fit", "1 differ"),
        ("bytes of tables", "1 of them differ"),
    }


def test_a_claim_without_its_manifest_or_runs_says_so(whole: Path) -> None:
    (whole / "results/desk/claims/ssb-goldstone.manifest.json").unlink()
    (whole / "results/desk/runs/toy/true.manifest.json").unlink()
    differences = audit_rerun(whole)[1]
    assert (
        Difference("ssb-random-labels", "run results/desk/runs/toy/true.safetensors", "pinned", "not here")
        in differences
    )
    assert [d.what for d in differences if d.claim == "ssb-goldstone"] == ["manifest"]


def test_what_is_not_computed_or_not_pinned_is_not_checked(whole: Path) -> None:
    (whole / OTHER).rename(whole / "results/desk/claims/ssb-new.json")
    unchecked = {f.file: f.reason for f in audit_rerun(whole)[0] if f.state == "not checked"}
    assert unchecked == {OTHER: "not computed here", "results/desk/claims/ssb-new.json": "no pin of this claim at HEAD"}


def test_a_claim_file_edited_after_its_job_or_tainted_is_no_reproduction(whole: Path) -> None:
    (whole / OTHER).write_text((whole / OTHER).read_text() + " ")
    edit(whole, CLAIM.replace(".json", ".manifest.json"), "tainted", to=True)
    failed = {(f.check, f.file, f.key) for f in audit_rerun(whole)[0] if f.state == "failed"}
    assert failed == {("manifest", OTHER, "sha256"), ("manifest", CLAIM, "tainted")}


def test_a_claim_file_of_another_form_is_named(whole: Path) -> None:
    write_json(whole / CLAIM, {"claim": "ssb-random-labels"})
    as_if_written_so(whole, CLAIM)
    assert "KeyError 'verdict', in it or in" in find(audit_rerun(whole)[0], "").found


def test_an_older_pin_with_a_number_that_is_none_is_named_and_not_trusted(whole: Path) -> None:
    edit(whole, OTHER.replace("results/", "results/pinned/").replace("claims/", ""), "claim_file", to={"verdict": 1})
    commit(whole, "a broken pin")
    assert find(audit_rerun(whole)[0], "", OTHER).state == "failed"


def test_an_earlier_revision_is_compared_by_its_own_pins(whole: Path) -> None:
    pin = json.loads((whole / PIN).read_text())
    pin["claim_file"]["verdict"] = "inconclusive"
    write_json(whole / PIN, pin)
    commit(whole, "another verdict is pinned")
    finding = find(audit_rerun(whole)[0], "verdict")
    assert (finding.expected, finding.found, finding.state) == ("inconclusive", "supported", "failed")
    assert find(audit_rerun(whole, "HEAD~1")[0], "verdict").state == "passed"


def test_nothing_computed_nothing_pinned_and_no_such_revision_are_errors(clone: Path, tmp_path: Path) -> None:
    with pytest.raises(SymbreakError, match="Nothing is computed here"):
        audit_rerun(clone)
    with pytest.raises(SymbreakError, match="Nothing is pinned at HEAD~1"):
        audit_rerun(clone, "HEAD~1")
    with pytest.raises(SymbreakError, match="There is no revision 'nowhere'"):
        audit_rerun(clone, "nowhere")
    git(clone, "checkout", "--quiet", "--orphan", "empty")
    with pytest.raises(SymbreakError, match="not a git clone with a commit"):
        audit_rerun(clone)


def test_the_command_ends_with_1_only_if_something_failed(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(whole)
    assert CliRunner().invoke(app, ["audit"]).exit_code == 0
    edit(whole, CLAIM, "verdict", to="refuted")
    done = CliRunner().invoke(app, ["audit", "--rev", "HEAD", "--json"])
    assert done.exit_code == 1
    assert json.loads(done.output)["counts"]["failed"] == 1
    done = CliRunner().invoke(app, ["audit", "--rev", "HEAD", "--pinned"])
    assert done.exit_code == 2
    assert "Name one." in done.output

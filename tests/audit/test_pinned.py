"""``symbreak audit --pinned`` as a whole. Oracle: a project whose pins are right by construction."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from symbreak.audit.history import History
from symbreak.audit.numbers import numbers
from symbreak.audit.pin import read
from symbreak.audit.pinned import audit_pinned
from symbreak.audit.project import Project
from symbreak.cli import app
from symbreak.errors import SymbreakError
from symbreak.plan import Plan

from .mutations import mutate
from .project import git


def test_a_fresh_clone_fails_nothing_and_says_what_it_could_not_check(clone: Path) -> None:
    findings = audit_pinned(clone)
    assert [f for f in findings if f.state == "failed"] == []
    unchecked = {f.file for f in findings if f.state == "not checked"}
    assert {
        "results/desk/runs/toy/true.safetensors",
        "results/desk/probes/toy/true/accuracy.parquet",
        "results/desk/claims/ssb-goldstone.json",
        "figures/desk/ssb-goldstone.svg",
        "results/desk/runs/toy",
    } <= unchecked
    passed = {f.check for f in findings if f.state == "passed"}
    assert {"shape", "recomputed", "claim bytes", "registered", "rule before run", "dvc.lock", "quoted"} <= passed


def test_where_everything_was_computed_every_artifact_is_compared(whole: Path) -> None:
    findings = audit_pinned(whole)
    assert {f.state for f in findings} == {"passed"}
    files = {f.file for f in findings if f.check == "artifact"}
    assert {"results/desk/runs/toy/random.steps.parquet", "results/desk/claims/ssb-goldstone.manifest.json"} <= files


def test_the_repositorys_own_claim_files_follow_from_their_units(repo_root: Path) -> None:
    """Only of pins that have today's keys and were judged by today's entry; at least the check itself must run."""
    plan = Plan.load(repo_root)
    project = Project(repo_root, plan, History(repo_root))
    for path in sorted((repo_root / "results/pinned/desk").glob("*.json")):
        pin, findings = read(repo_root, path)
        assert findings
        if pin and pin.claim in plan.claims:
            wrong = [f for f in numbers(project, pin) if f.state == "failed"]
            assert wrong == [] or any(f.key == "claim_file.entry_sha256" for f in wrong)


def audit(root: Path, *options: str) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        return CliRunner().invoke(app, ["audit", *options])


def test_the_command_is_green_then_red_and_changes_nothing(clone: Path) -> None:
    before = {p: p.read_bytes() for p in clone.rglob("*") if p.is_file()}
    done = audit(clone, "--pinned")
    assert done.exit_code == 0
    assert "0 failed" in done.output
    assert "not checked: artifact" in done.output
    assert {p: p.read_bytes() for p in clone.rglob("*") if p.is_file()} == before
    old = mutate(clone, ["claim_file", "parts", "fit", "margin"], 0.5)
    done = audit(clone, "--pinned")
    assert done.exit_code == 1
    lines = [line.strip() for line in done.output.splitlines()]
    at_key = lines.index("failed  recomputed   results/pinned/desk/ssb-random-labels.json: claim_file.parts.fit.margin")
    assert lines[at_key + 1 : at_key + 3] == [f"expected {old}", "found    0.5"]


def test_json_and_verbose_hold_every_comparison(clone: Path) -> None:
    content = json.loads(audit(clone, "--pinned", "--json").output)
    assert content["counts"]["failed"] == 0
    assert len(content["findings"]) == sum(content["counts"].values())
    assert any(f["margin"] == 1.0 for f in content["findings"])
    shown = audit(clone, "--pinned", "--verbose").output
    assert shown.count("passed ") >= content["counts"]["passed"]


def test_nothing_pinned_is_an_error_not_a_pass(clone: Path) -> None:
    git(clone, "rm", "-r", "--quiet", "results")
    with pytest.raises(SymbreakError, match="nothing is pinned here"):
        audit_pinned(clone)


FORBIDDEN = """
import sys

class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "dvc", "snakemake"):
            raise ImportError(f"{name} was imported")

sys.meta_path.insert(0, Forbid())
from symbreak.cli import app
sys.argv = ["symbreak", "audit", "--pinned"]
app()
"""


def test_neither_torch_nor_dvc_nor_snakemake_is_imported(clone: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FORBIDDEN], cwd=clone, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "0 failed" in done.stdout

"""``symbreak audit --retrain`` with the true Snakemake. Oracle: the miniature's own pinned bytes."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from symbreak.audit.scratch import compute
from symbreak.files import sha256

from .conftest import Workspace

PIN = "results/pinned/desk/ssb-goldstone.json"


@pytest.fixture(scope="module")
def pinned_template(mini_template: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The miniature, recorded and committed."""
    root = tmp_path_factory.mktemp("pinned") / "mini"
    shutil.copytree(mini_template.root, root, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    workspace = Workspace(root, mini_template.mirror)
    workspace.call("symbreak", "record")
    workspace.commit("pinned")
    return workspace


def audited(workspace: Workspace, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = workspace.call("symbreak", "audit", "--retrain", *arguments, "--cores", "1", "--json", check=False)
    assert "jobs done" in done.stderr  # how far it is, for hours
    return done.returncode, json.loads(done.stdout)


def snapshot(root: Path) -> dict[Path, tuple[int, str]]:
    """Every file of a working tree that is not Python's cache or git's index, with time and content."""
    files = (path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path: (path.stat().st_mtime_ns, sha256(path)) for path in files if path.name != "index"}


def test_data_runs_probes_and_claim_are_made_again_to_the_last_bit(pinned_template: Workspace) -> None:
    before = snapshot(pinned_template.root)
    code, content = audited(pinned_template, "gaussnet-mnist")
    assert snapshot(pinned_template.root) == before
    assert code == 0, content["findings"]
    said = content["made"]["judged"]["gaussnet-mnist"]
    assert "to the last bit" in said
    assert "equal bytes: 6 of 6 runs, 12 of 12 probes, 1 of 1 claims" in said
    unchecked = {(f["file"], f["reason"]) for f in content["findings"] if f["state"] == "not checked"}
    assert unchecked == {("data/mnist.npz", "linked from the working tree by its hash, not prepared again")}


def test_another_thread_count_is_judged_within_tolerance_and_a_forged_pin_fails(
    pinned_template: Workspace, tmp_path: Path
) -> None:
    pinned_template.call("git", "clone", "--quiet", ".", str(tmp_path / "clone"))
    clone = Workspace(tmp_path / "clone", pinned_template.mirror)
    pin = json.loads((clone.root / PIN).read_text())
    pin["claim_file"]["parts"]["slope"]["estimate"] += 1e-3
    (clone.root / PIN).write_text(json.dumps(pin))
    clone.commit("a forged number")
    code, content = audited(clone, "ssb-goldstone", "--threads", "2")
    assert code == 1
    assert "within tolerance, since how the pinned bytes were made is not known" in str(content["made"]["judged"])
    failed = [(f["check"], f["key"]) for f in content["findings"] if f["state"] == "failed"]
    assert failed == [("number", "parts.slope.estimate")]
    estimate = next(f for f in content["findings"] if f["key"] == "parts.slope.estimate")
    assert estimate["found"] == pytest.approx(-0.25, abs=1e-6)


def test_a_snakemake_that_fails_says_why(pinned_template: Workspace, tmp_path: Path) -> None:
    pinned_template.call("git", "clone", "--quiet", ".", str(tmp_path / "clone"))
    said = compute(tmp_path / "clone", ["results/desk/claims/nobodys.json"], 1)
    assert said.startswith("Snakemake failed with exit code 1:")
    assert "MissingRuleException" in said


def test_fresh_seeds_reach_the_jobs(pinned_template: Workspace, tmp_path: Path) -> None:
    code, content = audited(pinned_template, "ssb-goldstone", "--fresh-seeds", "--keep", str(tmp_path / "kept"))
    assert code == 0, content["findings"]
    drawn = content["made"]["fresh_seeds"]
    written = pinned_template.yaml("params.yaml")["experiments"]["goldstone"]["seeds"]
    claim = json.loads((tmp_path / "kept/results/desk/claims/ssb-goldstone.json").read_text())
    names = " ".join(unit["unit"] for unit in claim["parts"]["order_parameter"]["units"])
    assert {int(seed) for seed in re.findall(r"\bseed (\d+)", names)} == {drawn[str(seed)] for seed in written}

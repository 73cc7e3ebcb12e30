"""``symbreak record``: what this machine has computed becomes what the repository has pinned.

``dvc commit`` after a failed or half-done run would bind new parameters to old outputs and call it clean, so this
refuses unless Snakemake has nothing to do, nothing is tainted and every registry entry is committed.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from symbreak.errors import SymbreakError
from symbreak.files import sha256, write_json
from symbreak.plan import Plan, Step
from symbreak.provenance.dvcfile import LOCK, files
from symbreak.provenance.freshness import judge
from symbreak.provenance.manifest import outputs, read_manifest, run_path
from symbreak.provenance.registration import Registration, registration
from symbreak.provenance.tools import call

NOTHING = "Nothing to be done"


def record(root: Path, scale: str = "desk") -> list[Path]:
    """Write DVC's lock (scale desk) and ``results/pinned/SCALE/CLAIM.json`` from what lies in the working tree.

    Args:
        root: The project's root folder.
        scale: The scale to pin; only desk has DVC stages.

    Returns:
        The pinned files.

    Raises:
        SymbreakError: Something is missing, stale, tainted, uncommitted or generated from older sources.
    """
    plan = Plan.load(root, scale)
    _refuse_uncommitted(root)
    _refuse_unfinished(root, scale)
    _refuse_unfaithful(plan, root)
    registrations = {claim: registration(root, claim, plan.claims[claim]) for claim in plan.claims}
    started = {claim: _started(plan, claim, root) for claim in plan.claims}
    _refuse_afterthoughts(plan, registrations, started)
    if scale == "desk":
        _refuse_drift(plan, root)
        call(root, "dvc", "commit", "--force")
    return [_pin(plan, claim, registrations[claim], started[claim], root) for claim in plan.claims]


def _refuse_unfinished(root: Path, scale: str) -> None:
    output = call(root, "snakemake", "--dry-run", "--cores", "1", "figures/all", "--config", f"scale={scale}")
    if NOTHING not in output:
        raise SymbreakError(
            "Snakemake still has jobs to run, so nothing was recorded. Run 'snakemake --cores 8 figures/all' first."
        )


def _refuse_uncommitted(root: Path) -> None:
    changed = call(root, "git", "status", "--porcelain", "--", "src", "params*.yaml", LOCK).splitlines()
    if changed:
        raise SymbreakError(
            "A pin names committed code and parameters, but these are not committed:\n  " + "\n  ".join(changed)
        )


def _refuse_unfaithful(plan: Plan, root: Path) -> None:
    """Snakemake may have been told that all is well; the manifests and the files themselves are asked too."""
    problems = [problem for step in plan.steps() if (problem := _problem(step, root))]
    if problems:
        raise SymbreakError(
            "Nothing was recorded, since not everything is what its manifest and its sources say. Delete what is named "
            "and run 'snakemake --cores 8 figures/all':\n  " + "\n  ".join(problems)
        )


def _problem(step: Step, root: Path) -> str:
    judged = judge(step, root)
    if judged.state != "fresh":
        return judged.reason
    recorded, found = read_manifest(root / step.path)["outputs"], _hashes(step, root)
    differing = sorted(name for name in recorded.keys() | found.keys() if recorded.get(name) != found.get(name))
    return f"{step.path}: not the content that its manifest has: {', '.join(differing)}" if differing else ""


def _started(plan: Plan, claim: str, root: Path) -> str | None:
    """When the first of a claim's runs or probes ended (ISO 8601), or null where no run file says so (after a pull)."""
    paths = [run_path(root / step.path) for step in (*_runs(plan, claim), *plan.tables(claim))]
    dates = [json.loads(path.read_text())["date"] for path in paths if path.is_file()]
    return min(dates, key=datetime.fromisoformat) if dates else None


def _refuse_afterthoughts(plan: Plan, entries: dict[str, Registration], started: dict[str, str | None]) -> None:
    late = [
        f"{claim}: entry of {entries[claim].date}, first job ended {date}"
        for claim, date in started.items()
        if date and datetime.fromisoformat(entries[claim].date) > datetime.fromisoformat(date)
        if not plan.claims[claim].amended
    ]
    if late:
        raise SymbreakError(
            "These entries of claims.yaml were written after their runs. Run them again, or say under 'amended' what "
            "was changed and why:\n  " + "\n  ".join(late)
        )


def _refuse_drift(plan: Plan, root: Path) -> None:
    for name, text in files(plan).items():
        path = root / name
        if not path.is_file() or yaml.safe_load(path.read_text()) != yaml.safe_load(text):
            raise SymbreakError(
                f"{name} is older than its sources. Run 'python -m symbreak.provenance.dvcfile' and commit it."
            )


def _pin(plan: Plan, claim: str, entry: Registration, started: str | None, root: Path) -> Path:
    step, figure = plan.claim(claim), plan.figure(claim)
    path = root / "results" / "pinned" / plan.scale / f"{claim}.json"
    manifest = read_manifest(root / step.path)
    pinned = {
        "claim_file": yaml.safe_load((root / step.path).read_text()),
        "registered": {"commit": entry.commit, "date": entry.date, "sha256": entry.sha256},
        "first_job_ended": started,
        "manifest": {key: value for key, value in manifest.items() if key != "params"},
        "tables": {table.path: _hashes(table, root) for table in plan.tables(claim)},
        "runs": {run.path: _run(run, root) for run in _runs(plan, claim)},
        "figure": _hashes(figure, root),
    }
    write_json(path, pinned)
    return path


def _runs(plan: Plan, claim: str) -> list[Step]:
    experiment = plan.claims[claim].experiment
    return [plan.run(experiment, arm) for arm in plan.arms[experiment] if plan.has_run(experiment, arm)]


def _hashes(step: Step, root: Path) -> dict[str, str]:
    artifact = root / step.path
    return {path.name: sha256(path) for path in outputs(artifact)}


def _run(step: Step, root: Path) -> dict[str, Any]:
    manifest = read_manifest(root / step.path)
    kept = ("params", "inputs", "outputs", "versions", "device", "threads", "diverged")
    return {key: manifest[key] for key in kept} | {"code": manifest["code"]["end"]}

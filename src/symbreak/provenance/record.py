"""``symbreak record``: what this machine has computed becomes what the repository has pinned.

``dvc commit`` after a failed or half-done run would bind new parameters to old outputs and call it clean, so this
refuses unless Snakemake has nothing to do, nothing is tainted and every registry entry is committed.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from symbreak.audit.history import History
from symbreak.errors import SymbreakError
from symbreak.files import write_json
from symbreak.plan import Plan, Step
from symbreak.provenance.dvcfile import LOCK, files
from symbreak.provenance.faithful import hashes, problems
from symbreak.provenance.manifest import read_manifest, run_path
from symbreak.provenance.registration import Registration, registration
from symbreak.provenance.tools import call

NOTHING, REGISTRY = "Nothing to be done", "claims.yaml"


def record(root: Path, scale: str = "desk") -> list[Path]:
    """Write DVC's lock (scale desk) and ``results/pinned/SCALE/CLAIM.json`` from what lies in the working tree.

    Args:
        root: The project's root folder.
        scale: The scale to pin; only desk has DVC stages.

    Returns:
        The pinned files.

    Raises:
        SymbreakError: Something is missing, stale, tainted, uncommitted or generated from older sources, or a rule or a
            paper's level was changed after the run that it judges.
    """
    plan = Plan.load(root, scale)
    _refuse_uncommitted(root)
    _refuse_unfinished(root, scale)
    _refuse_unfaithful(plan, root)
    registrations = {claim: registration(root, claim, plan.claims[claim]) for claim in plan.claims}
    started = {claim: _started(plan, claim, root) for claim in plan.claims}
    _refuse_afterthoughts(plan, registrations, started)
    _refuse_other_levels(plan, History(root), started)
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
    found = problems(plan, root)
    if found:
        raise SymbreakError(
            "Nothing was recorded, since not everything is what its manifest and its sources say. Delete what is named "
            "and run 'snakemake --cores 8 figures/all':\n  " + "\n  ".join(problem.reason for problem in found)
        )


def _started(plan: Plan, claim: str, root: Path) -> str | None:
    """When the first of a claim's runs or probes ended (ISO 8601), or null where neither run file nor pin says so.

    Run files are not in DVC: what was pulled has the date of the pin that it was pulled for.
    """
    paths = [run_path(root / step.path) for step in (*_runs(plan, claim), *plan.tables(claim))]
    dates = [json.loads(path.read_text())["date"] for path in paths if path.is_file()]
    pin = _pin_path(plan, claim, root)
    if len(dates) < len(paths) and pin.is_file():
        dates.append(json.loads(pin.read_text())["first_job_ended"])
    known = [date for date in dates if date is not None]
    return min(known, key=datetime.fromisoformat) if known else None


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


def _refuse_other_levels(plan: Plan, history: History, started: dict[str, str | None]) -> None:
    """A paper's level is in no entry, and every interval of its claims is at it; an amendment has a rule, no level."""
    moved = []
    for claim, ended in started.items():
        paper = plan.claims[claim].paper
        entry = plan.configuration.registry.papers[paper]
        now = entry.alpha, entry.family_size
        for commit in ["HEAD"] if ended is None else ["HEAD", history.last(REGISTRY, ended)]:
            then = None if commit is None else history.level(commit, paper)
            if then != now:
                moved.append(f"{claim}: {_said(then)} at {commit}, {_said(now)} here; first job ended {ended}")
    if moved:
        raise SymbreakError(
            "These claims would be judged at another level than the one that stood in git when their runs ended. Put "
            "alpha and family_size of their paper in claims.yaml back and commit it, or commit the new ones and run "
            "them again:\n  " + "\n  ".join(moved)
        )


def _said(level: tuple[float, int] | None) -> str:
    return "no level" if level is None else f"alpha {level[0]}, family_size {level[1]}"


def _refuse_drift(plan: Plan, root: Path) -> None:
    for name, text in files(plan).items():
        path = root / name
        if not path.is_file() or yaml.safe_load(path.read_text()) != yaml.safe_load(text):
            raise SymbreakError(
                f"{name} is older than its sources. Run 'python -m symbreak.provenance.dvcfile' and commit it."
            )


def _pin(plan: Plan, claim: str, entry: Registration, started: str | None, root: Path) -> Path:
    step, figure = plan.claim(claim), plan.figure(claim)
    path = _pin_path(plan, claim, root)
    manifest = read_manifest(root / step.path)
    pinned = {
        "claim_file": json.loads((root / step.path).read_text()),
        "registered": {"commit": entry.commit, "date": entry.date, "sha256": entry.sha256},
        "first_job_ended": started,
        "manifest": {key: value for key, value in manifest.items() if key != "params"},
        "tables": {table.path: hashes(table, root) for table in plan.tables(claim)},
        "runs": {run.path: _run(run, root) for run in _runs(plan, claim)},
        "figure": hashes(figure, root),
    }
    write_json(path, pinned)
    return path


def _pin_path(plan: Plan, claim: str, root: Path) -> Path:
    return root / "results" / "pinned" / plan.scale / f"{claim}.json"


def _runs(plan: Plan, claim: str) -> list[Step]:
    experiment = plan.claims[claim].experiment
    return [plan.run(experiment, arm) for arm in plan.arms[experiment] if plan.has_run(experiment, arm)]


def _run(step: Step, root: Path) -> dict[str, Any]:
    manifest = read_manifest(root / step.path)
    kept = ("params", "inputs", "outputs", "versions", "device", "threads", "diverged")
    return {key: manifest[key] for key in kept} | {"code": manifest["code"]["end"]}

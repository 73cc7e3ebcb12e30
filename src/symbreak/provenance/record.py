"""``symbreak record``: what this machine has computed becomes what the repository has pinned.

``dvc commit`` after a failed or half-done run would bind new parameters to old outputs and call it clean, so this
refuses unless Snakemake has nothing to do, nothing is tainted and every registry entry is committed.
"""

from pathlib import Path
from typing import Any

import yaml

from symbreak.errors import SymbreakError
from symbreak.files import sha256, write_json
from symbreak.plan import Plan, Step
from symbreak.provenance.dvcfile import files
from symbreak.provenance.freshness import present
from symbreak.provenance.manifest import outputs, read_manifest
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
    _refuse_unfinished(root, scale)
    _refuse_tainted(plan, root)
    registrations = {claim: registration(root, claim, plan.claims[claim]) for claim in plan.claims}
    if scale == "desk":
        _refuse_drift(plan, root)
        call(root, "dvc", "commit", "--force")
    return [_pin(plan, claim, registrations[claim], root) for claim in plan.claims]


def _refuse_unfinished(root: Path, scale: str) -> None:
    output = call(root, "snakemake", "--dry-run", "--cores", "1", "figures/all", "--config", f"scale={scale}")
    if NOTHING not in output:
        raise SymbreakError(
            "Snakemake still has jobs to run, so nothing was recorded. Run 'snakemake --cores 8 figures/all' first."
        )


def _refuse_tainted(plan: Plan, root: Path) -> None:
    tainted = [s.path for s in plan.steps() if present(root / s.path) and read_manifest(root / s.path)["tainted"]]
    if tainted:
        raise SymbreakError(
            "The source changed while these were made, so nothing was recorded. Delete them and run Snakemake again:"
            "\n  " + "\n  ".join(tainted)
        )


def _refuse_drift(plan: Plan, root: Path) -> None:
    for name, text in files(plan).items():
        path = root / name
        if not path.is_file() or yaml.safe_load(path.read_text()) != yaml.safe_load(text):
            raise SymbreakError(
                f"{name} is older than its sources. Run 'python -m symbreak.provenance.dvcfile' and commit it."
            )


def _pin(plan: Plan, claim: str, entry: Registration, root: Path) -> Path:
    step, figure = plan.claim(claim), plan.figure(claim)
    path = root / "results" / "pinned" / plan.scale / f"{claim}.json"
    manifest = read_manifest(root / step.path)
    pinned = {
        "claim_file": yaml.safe_load((root / step.path).read_text()),
        "registered": {"commit": entry.commit, "date": entry.date, "sha256": entry.sha256},
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

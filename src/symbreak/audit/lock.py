"""dvc.lock, read without DVC: its stages, parameters and hashes against plan, working tree and pins."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from symbreak.audit.artifacts import FIGURES
from symbreak.audit.compare import differing
from symbreak.audit.finding import ABSENT, Finding, equal, holds, unchecked
from symbreak.audit.lock_file import Hashed, Stage, read
from symbreak.audit.pin import Pin
from symbreak.audit.project import Project
from symbreak.audit.yaml_text import parse
from symbreak.errors import SymbreakError
from symbreak.provenance.dvcfile import codes, files

CHECK, GENERATED = "dvc.lock", "generated"
FILE = "dvc.lock"
UNDECIDED = ("figure", "caption", "core_minutes")
"""Keys of a claim that cannot change a number (``Claim.decided``)."""


def lock(project: Project, pins: Mapping[str, Pin]) -> Iterator[Finding]:
    """Check DVC's lock of scale desk."""
    for name, text in files(project.plan).items():
        path = project.root / name
        found = parse(path.read_text()) if path.is_file() else ABSENT
        yield from differing(GENERATED, name, "", parse(text), found, "run 'make generate' and commit it")
    try:
        stages = read(project.root / FILE)
    except SymbreakError as error:
        yield holds(CHECK, FILE, "stages", False, "the stages of the pinned results", str(error))
        return
    yield from _stages(project, stages, pins)
    made = {out["path"]: out for stage in stages.values() for out in stage["outs"]}
    inputs: dict[str, Any] = {}
    for name, stage in stages.items():
        yield from _params(project, name, stage, inputs)
        for dep in stage["deps"]:
            yield from _dep(project, name, dep, made)
    yield from (finding for out in made.values() for finding in _out(project, out, pins))


def _stages(project: Project, stages: Mapping[str, Stage], pins: Mapping[str, Pin]) -> Iterator[Finding]:
    """Every planned stage is locked, and nothing else is; a stage that only unpinned claims need is not checked."""
    planned = {f"{family}@{key}" for family, keys in codes(project.plan).items() for key in keys}
    needed = {f"{family}@{claim}" for claim in pins for family in ("claim", "figure")}
    experiments = {project.plan.claims[claim].experiment for claim in pins}
    sets = {spec.data.set for e in experiments for spec in project.plan.arms[e].values() if spec.data}
    needed |= {f"{family}@{e}" for family in ("run", "probe") for e in experiments} & planned
    needed |= {f"data@{name}" for name in sets}
    for name in sorted(planned | stages.keys()):
        if name in stages or name in needed:
            wanted, found = (name if name in group else ABSENT for group in (planned, stages))
            yield equal(CHECK, FILE, f"stages.{name}", wanted, found, "stages of dvc.yaml and dvc.lock differ")
        else:
            yield unchecked(CHECK, FILE, f"stages.{name}", "nothing that is pinned needs this stage: it never ran")


def _params(project: Project, name: str, stage: Stage, inputs: dict[str, Any]) -> Iterator[Finding]:
    """The parameters that a stage ran with are those of today."""
    for file, values in stage.get("params", {}).items():
        if file not in inputs:
            path = project.root / file
            inputs[file] = parse(path.read_text()) if path.is_file() else {}
        for key, value in values.items():
            where = f"stages.{name}.params.{file}.{key}"
            reason = f"{file} was changed after the stage ran: run it again and record it"
            today, then = _decided(file, key, _at(inputs[file], key)), _decided(file, key, value)
            yield from differing(CHECK, FILE, where, today, then, reason)


def _at(value: Any, key: str) -> Any:
    for step in key.split("."):
        value = value.get(step, ABSENT) if isinstance(value, dict) else ABSENT
    return value


def _decided(file: str, key: str, value: Any) -> Any:
    if file == "claims.yaml" and key.count(".") == 1 and isinstance(value, dict):
        return {k: v for k, v in value.items() if k not in UNDECIDED}
    return value


def _dep(project: Project, stage: str, dep: Hashed, made: Mapping[str, Hashed]) -> Iterator[Finding]:
    key = f"stages.{stage}.deps[{dep['path']}].md5"
    if dep["path"] in made:
        yield equal(CHECK, FILE, key, made[dep["path"]]["md5"], dep["md5"], "not what the stage above made")
    else:
        found = project.hash(dep["path"], "md5")
        yield equal(CHECK, FILE, key, found or ABSENT, dep["md5"], f"{dep['path']} was changed after the stage ran")


def _out(project: Project, out: Hashed, pins: Mapping[str, Pin]) -> Iterator[Finding]:
    path, digest = out["path"], out["md5"]
    if digest.endswith(".dir"):
        yield from _folder(project, out)
        return
    yield project.compared(CHECK, path, digest, "md5")
    shown = f"{FIGURES}/{PurePosixPath(path).name}"
    if path.startswith("figures/") and (project.root / shown).is_file():
        yield project.compared(CHECK, shown, digest, "md5")
    pin = pins.get(PurePosixPath(path).name.removesuffix(".json").removesuffix(".manifest"))
    if pin and PurePosixPath(path).parent.name == "claims":
        content = pin.manifest_bytes if path.endswith(".manifest.json") else pin.claim_bytes
        reason = f"dvc.lock holds another {path} than {pin.path}"
        yield equal(CHECK, FILE, f"outs[{path}].md5", hashlib.md5(content).hexdigest(), digest, reason)
        yield equal(CHECK, FILE, f"outs[{path}].size", len(content), out["size"], reason)


def _folder(project: Project, out: Hashed) -> Iterator[Finding]:
    """A folder's hash is that of DVC's listing of it, which lies in DVC's cache only."""
    path, digest = out["path"], out["md5"]
    yield equal(CHECK, FILE, f"outs[{path}].nfiles", _count(project, path), out.get("nfiles"), "not as many as planned")
    listing = f".dvc/cache/files/md5/{digest[:2]}/{digest[2:]}"
    found = project.hash(listing, "md5")
    if found is None:
        yield unchecked(CHECK, path, "md5", "DVC's listing of this folder is not in this clone ('dvc pull' brings it)")
        return
    yield equal(
        CHECK, listing, "md5", digest.removesuffix(".dir"), found, "a damaged listing; delete it and pull again"
    )
    for entry in json.loads((project.root / listing).read_text()):
        yield project.compared(CHECK, f"{path}/{entry['relpath']}", entry["md5"], "md5")


def _count(project: Project, path: str) -> int:
    """How many files the plan puts into the folder of a stage: the tables or the runs, and their manifests."""
    steps = [step for step in project.plan.steps() if step.path.startswith(f"{path}/")]
    return sum(4 if step.path.endswith(".safetensors") else 2 for step in steps)

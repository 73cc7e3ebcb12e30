"""Whether an artifact is what its sources would give today, read off the manifests (nothing is hashed again)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from symbreak.files import canonical
from symbreak.plan import Plan, Step
from symbreak.provenance.closure import closure
from symbreak.provenance.manifest import manifest_path, read_manifest
from symbreak.provenance.versions import installed

State = Literal["fresh", "stale", "tainted", "missing"]


@dataclass(frozen=True)
class Freshness:
    """``state`` and, unless fresh, the reason in plain words."""

    state: State
    reason: str = ""


def freshness(plan: Plan, claim: str, root: Path) -> Freshness:
    """Judge a claim's file and everything that it was made from."""
    steps = {step.path: step for step in plan.steps()}
    last = plan.claim(claim)
    if not present(root / last.path):
        return Freshness("missing", f"not computed here; 'snakemake --cores 8 {last.path}' computes it")
    problems = [problem for step in _upstream(last, steps) if (problem := judge(step, root)).state != "fresh"]
    tainted = [p for p in problems if p.state == "tainted"]
    return (tainted or problems or [Freshness("fresh")])[0]


def judge(step: Step, root: Path) -> Freshness:
    """Judge one artifact against its parameters, its code and the artifacts it was made from."""
    artifact = root / step.path
    if not present(artifact):
        return Freshness("stale", f"{step.path} is missing")
    manifest = read_manifest(artifact)
    if manifest["tainted"]:
        return Freshness("tainted", f"the source of {step.path} changed while it was made; delete it and make it again")
    reason = next(_differences(step, manifest, root), "")
    return Freshness("stale", reason) if reason else Freshness("fresh")


def present(artifact: Path) -> bool:
    """Return whether an artifact and its manifest exist."""
    return artifact.is_file() and manifest_path(artifact).is_file()


def _upstream(last: Step, steps: dict[str, Step]) -> list[Step]:
    found, queue = {last.path: last}, [last]
    while queue:
        new = {path: steps[path] for path in queue.pop().inputs if path not in found}
        found |= new
        queue += new.values()
    return list(found.values())


def _differences(step: Step, manifest: dict[str, Any], root: Path) -> Iterator[str]:
    if canonical(manifest["params"]) != step.json:
        yield f"the parameters of {step.path} changed: {', '.join(_changed_keys(manifest['params'], step.params))}"
    if manifest["code"]["end"] != step.code:
        yield f"code changed since {step.path} was made: {', '.join(_changed_modules(step, manifest))}"
    if changed := [name for name, old in manifest["versions"].items() if old != installed().get(name)]:
        yield f"{step.path} was made with other versions of {', '.join(changed)}"
    made = {path: sha256 for above in step.inputs for path, sha256 in _outputs(root / above, root).items()}
    for entry in manifest["inputs"].values():
        if made.get(entry["path"], entry["sha256"]) != entry["sha256"]:
            yield f"{step.path} was made from another version of {entry['path']}"


def _outputs(artifact: Path, root: Path) -> dict[str, str]:
    """Path -> sha256 of an artifact and of what was written beside it, as its manifest has them."""
    if not present(artifact):
        return {}
    folder = artifact.parent.relative_to(root).as_posix()
    return {f"{folder}/{name}": sha256 for name, sha256 in read_manifest(artifact)["outputs"].items()}


def _changed_modules(step: Step, manifest: dict[str, Any]) -> list[str]:
    old, new = manifest["code"]["files"], closure(step.entry, step.modules)
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def _changed_keys(old: Any, new: Any, prefix: str = "") -> list[str]:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return [prefix] if old != new else []
    keys = sorted(old.keys() | new.keys())
    return [k for key in keys for k in _changed_keys(old.get(key), new.get(key), f"{prefix}.{key}" if prefix else key)]

"""Whether what lies in the working tree is what its manifests say, and what this checkout's sources would give."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from symbreak.files import sha256
from symbreak.plan import Plan, Step
from symbreak.provenance.freshness import judge, present
from symbreak.provenance.manifest import outputs, read_manifest

State = Literal["missing", "altered", "tainted", "stale"]


@dataclass(frozen=True)
class Problem:
    """What is wrong with one artifact, and the sentence that says so with its path."""

    state: State
    reason: str


def problems(plan: Plan, root: Path) -> list[Problem]:
    """Hash every artifact of a plan and compare it with its manifest, and the manifest with the plan.

    Args:
        plan: The artifacts that should be there.
        root: The project's root folder.

    Returns:
        One problem for every artifact that has any; none if parameters, code, inputs and bytes all agree.

    Raises:
        SymbreakError: A manifest cannot be read.
    """
    return [problem for step in plan.steps() if (problem := _problem(step, root))]


def hashes(step: Step, root: Path) -> dict[str, str]:
    """Return the sha256 of an artifact and of what was written beside it, by file name."""
    return {path.name: sha256(path) for path in outputs(root / step.path)}


def _problem(step: Step, root: Path) -> Problem | None:
    if not present(root / step.path):
        return Problem("missing", f"{step.path} or its manifest is missing")
    judged = judge(step, root)
    if judged.state != "fresh":
        return Problem("tainted" if judged.state == "tainted" else "stale", judged.reason)
    return _other_inputs(step, root) or _other_content(step, root)


def _other_inputs(step: Step, root: Path) -> Problem | None:
    """``judge`` compares the hashes of inputs that are planned; here, that these and no others were read."""
    if not all(present(root / above) for above in step.inputs):
        return None  # what is missing is a problem of its own
    read = {entry["path"] for entry in read_manifest(root / step.path)["inputs"].values()}
    allowed = {path for above in step.inputs for path in _beside(root / above, root)}
    wrong = sorted((set(step.inputs) - read) | (read - allowed))
    return Problem("stale", f"{step.path} was made from other inputs: {', '.join(wrong)}") if wrong else None


def _beside(artifact: Path, root: Path) -> list[str]:
    names = read_manifest(artifact)["outputs"]
    return [artifact.with_name(name).relative_to(root).as_posix() for name in names]


def _other_content(step: Step, root: Path) -> Problem | None:
    recorded, found = read_manifest(root / step.path)["outputs"], hashes(step, root)
    wrong = sorted(name for name in recorded.keys() | found.keys() if recorded.get(name) != found.get(name))
    if not wrong:
        return None
    return Problem("altered", f"{step.path}: not the content that its manifest has: {', '.join(wrong)}")

"""How alike this machine is to the one that computed a pin: what may be asked of a number or pixel made again here."""

import json
from dataclasses import dataclass
from typing import Literal

from symbreak.audit.differences import Difference
from symbreak.audit.pin import Pin
from symbreak.audit.project import Project
from symbreak.machine import identity
from symbreak.provenance.closure import closure
from symbreak.provenance.manifest import run_path
from symbreak.provenance.versions import installed

Level = Literal["same", "rounding", "other"]


@dataclass(frozen=True)
class Alike:
    """``same`` code, versions and machine; only ``rounding`` can differ, on a machine not known to be it; or ``other``.

    Attributes:
        level: What is the same.
        reason: The same in words.
        differences: Code and versions that are not.
    """

    level: Level
    reason: str
    differences: tuple[Difference, ...] = ()


def alike(project: Project, pin: Pin) -> Alike:
    """Compare code and versions of a pinned claim with those here, and its machine with this one.

    A pin says nothing of its figure's code and versions; ``record`` pins only what one set of versions made.
    """
    differences = (*_code(project, pin), *_versions(pin))
    if differences:
        said = ", ".join(f"{d.what} {d.pinned} -> {d.here}" for d in differences)
        return Alike("other", f"not made alike: {said}", differences)
    if _machine(project, pin) == identity():
        return Alike("same", "same code, versions and machine")
    return Alike("rounding", "same code and versions; this machine is not known to be the one that made it")


def _code(project: Project, pin: Pin) -> tuple[Difference, ...]:
    step, then = project.plan.claim(pin.claim), pin.content["manifest"]["code"]
    if step.code == then["end"]:
        return ()
    old, new = then["files"], closure(step.entry, step.modules)
    changed = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    return (Difference(pin.claim, f"code ({', '.join(changed)})", then["end"], step.code),)


def _versions(pin: Pin) -> tuple[Difference, ...]:
    then, here = pin.content["manifest"]["versions"], installed()
    names = sorted(name for name in then.keys() | here.keys() if then.get(name) != here.get(name))
    return tuple(
        Difference(pin.claim, f"version of {name}", str(then.get(name)), str(here.get(name))) for name in names
    )


def _machine(project: Project, pin: Pin) -> dict[str, str] | None:
    """The machine by the run file beside the pinned claim file; DVC brings no run files, so it was made there."""
    path = project.plan.claim(pin.claim).path
    file = run_path(project.root / path)
    if project.hash(path, "sha256") != pin.content["manifest"]["outputs"].get(f"{pin.claim}.json"):
        return None
    try:
        circumstances = json.loads(file.read_text())
        return {key: circumstances[key] for key in identity()}
    except (OSError, ValueError, KeyError, TypeError):
        return None

"""``symbreak audit --pinned``: every pinned file against its numbers, its hashes, the plan and git; nothing is run."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from symbreak.audit.artifacts import artifacts, one_content, shown
from symbreak.audit.committed import committed, committed_text
from symbreak.audit.earlier import earlier
from symbreak.audit.finding import Finding, unchecked
from symbreak.audit.history import History
from symbreak.audit.lock import lock
from symbreak.audit.manifests import manifests
from symbreak.audit.numbers import numbers
from symbreak.audit.orphans import orphans
from symbreak.audit.pin import Pin, read
from symbreak.audit.project import Project
from symbreak.audit.quoted import quoted
from symbreak.audit.registered import registered
from symbreak.errors import SymbreakError
from symbreak.plan import Plan

FOLDER = "results/pinned"
OF_A_PIN = (numbers, manifests, registered, earlier, committed, artifacts)
OUT_OF_REACH = (
    "whether the code, run again, gives these numbers: only a run says that ('make figures', then 'symbreak audit')",
    "whether numbers per unit and figures follow from the tables: 'symbreak audit --figures' says it, where tables are",
)


def audit_pinned(root: Path) -> list[Finding]:
    """Check all that a clone can know of its pinned results.

    Args:
        root: The project's root folder.

    Returns:
        One finding a comparison, in no order that matters.

    Raises:
        SymbreakError: Nothing is pinned, or the configuration cannot be read.
    """
    root = root.resolve()
    folders = sorted(path for path in (root / FOLDER).glob("*") if path.is_dir() and any(path.iterdir()))
    if not folders:
        raise SymbreakError(
            f"{FOLDER}: nothing is pinned here; 'make figures' computes it and 'symbreak record' pins it."
        )
    history = History(root)
    return [finding for folder in folders for finding in _scale(root, folder, history)]


def _scale(root: Path, folder: Path, history: History) -> Iterator[Finding]:
    project = Project(root, Plan.load(root, folder.name), history)
    pins: dict[str, Pin] = {}
    unreadable = []
    for path in sorted(folder.glob("*.json")):
        pin, findings = read(root, path)
        yield from findings
        if pin is None:
            unreadable.append(path.relative_to(root).as_posix())
        elif pin.claim in project.plan.claims:
            pins[pin.claim] = pin
    yield from (finding for pin in pins.values() for check in OF_A_PIN for finding in check(project, pin))
    yield from (unchecked("recomputed", path, "", "its shape is not that of a pin") for path in unreadable)
    yield from orphans(project, folder, pins)
    yield from one_content(pins)
    if folder.name == "desk":
        yield from _of_desk(project, pins, unreadable)


def _of_desk(project: Project, pins: Mapping[str, Pin], unreadable: list[str]) -> Iterator[Finding]:
    """What is there at scale desk only: DVC's lock, the shown figures, the README's table."""
    yield from lock(project, pins)
    yield committed_text(project, "dvc.lock")
    yield from shown(project, pins)
    if unreadable:
        yield unchecked("quoted", "README.md", "", f"not all pins can be read: {', '.join(unreadable)}")
    else:
        yield from quoted(project)

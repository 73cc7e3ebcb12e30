"""``symbreak audit --figures``: probe tables -> evidence -> figure once more, against what is pinned."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from symbreak.audit.artifacts import FIGURES
from symbreak.audit.differences import Difference
from symbreak.audit.figures_again import decided, drawn
from symbreak.audit.figures_alike import Alike, alike
from symbreak.audit.figures_compare import Apart, drawings, pixels
from symbreak.audit.figures_numbers import CHECK as EVIDENCE
from symbreak.audit.figures_numbers import evidence
from symbreak.audit.finding import Finding, holds, unchecked
from symbreak.audit.history import History
from symbreak.audit.pin import Pin, read, sha256
from symbreak.audit.pinned import FOLDER
from symbreak.audit.project import NOT_HERE, Project
from symbreak.config.strict import nearest
from symbreak.errors import SymbreakError
from symbreak.plan import Plan

TABLE, FIGURE = "table", "figure"
LEVELS, POINTS = 2.0, 0.01
"""What rounding on another processor may move: a pixel's levels (of 255), a coordinate of an SVG (in points)."""
OUT_OF_REACH = (
    "whether the tables follow from the runs, and the runs from the data: only a run says that",
    "hashes, rules and history of the pins: 'symbreak audit --pinned' checks them",
)


def audit_figures(root: Path, claims: Sequence[str] = ()) -> tuple[list[Finding], list[Difference]]:
    """Decide claims again on the pinned tables, draw their figures again, and compare both with what is pinned.

    Args:
        root: The project's root folder; it is not written to.
        claims: The claims; all of the registry if none is given.

    Returns:
        One finding a comparison, and what differs between the pinned computation and this one.

    Raises:
        SymbreakError: There is no such claim, nothing is pinned, or no table is here.
    """
    root = root.resolve()
    findings: list[Finding] = []
    differences: list[Difference] = []
    for folder in sorted(path for path in (root / FOLDER).glob("*") if path.is_dir() and any(path.iterdir())):
        project = Project(root, Plan.load(root, folder.name), History(root))
        for claim in _asked(project.plan, claims):
            found, differing = _claim(project, claim)
            findings += found
            differences += differing
    if not any(finding.check == TABLE and finding.state != "not checked" for finding in findings):
        raise SymbreakError(
            "Nothing can be made again: no pin has its probe tables here. 'dvc pull' brings them, "
            "'make figures' computes them, 'symbreak audit --pinned' audits without them."
        )
    return findings, differences


def _asked(plan: Plan, claims: Sequence[str]) -> Sequence[str]:
    for claim in claims:
        if claim not in plan.claims:
            raise SymbreakError(f"claims.yaml has no claim '{claim}'{nearest(claim, list(plan.claims))}")
    return claims or list(plan.claims)


def _claim(project: Project, claim: str) -> tuple[list[Finding], Sequence[Difference]]:
    path = project.root / FOLDER / project.plan.scale / f"{claim}.json"
    if not path.is_file():
        return [unchecked(EVIDENCE, path.relative_to(project.root).as_posix(), "", "it has never been pinned")], ()
    pin, findings = read(project.root, path)
    if pin is None:
        return [*findings, unchecked(EVIDENCE, findings[0].file, "", "its shape is not that of a pin")], ()
    how = alike(project, pin)
    tables = list(_tables(project, pin))
    missing = sorted(f.file for f in tables if f.state != "passed")
    if missing:
        reason = f"{missing[0]} is not here or not the pinned one; 'dvc pull' brings it"
        asked = ((EVIDENCE, pin.path), (FIGURE, project.plan.figure(claim).path))
        return [*findings, *tables, *(unchecked(check, file, "", reason) for check, file in asked)], how.differences
    return [*findings, *tables, *_again(project, pin, how)], how.differences


def _tables(project: Project, pin: Pin) -> Iterator[Finding]:
    """The tables that the plan reads, each with the bytes that are pinned."""
    for step in project.plan.tables(pin.claim):
        digest = pin.content["tables"].get(step.path, {}).get(Path(step.path).name)
        if digest is None:
            yield holds(TABLE, pin.path, f"tables[{step.path}]", False, "the hash of a table that is read", "none")
        else:
            yield project.compared(TABLE, step.path, digest)


def _again(project: Project, pin: Pin, how: Alike) -> Iterator[Finding]:
    try:
        again = decided(project.root, project.plan, pin.claim)
    except Exception as error:  # tables that nobody vouches for may break any evidence function
        yield _broken(EVIDENCE, pin.path, "evidence that the pinned tables give", error)
        yield unchecked(FIGURE, project.plan.figure(pin.claim).path, "", "there is no evidence to draw")
        return
    yield from evidence(pin, again, how)
    yield from _figure(project, pin, again, how)


def _figure(project: Project, pin: Pin, again: dict[str, Any], how: Alike) -> Iterator[Finding]:
    path = Path(project.plan.figure(pin.claim).path)
    with tempfile.TemporaryDirectory(prefix="symbreak-audit-") as folder:
        try:
            pictures = drawn(project.root, project.plan, pin.claim, again, Path(folder))
        except Exception as error:  # as above
            yield _broken(FIGURE, path.as_posix(), "a figure that can be drawn from the pinned tables", error)
            return
        for picture in pictures:
            name = path.with_name(picture.name).as_posix()
            yield _bytes(project, pin, name, picture)
            yield from _content(project, name, picture, how)
            yield from _content(project, f"{FIGURES}/{picture.name}", picture, how)


def _broken(check: str, file: str, expected: str, error: Exception) -> Finding:
    return holds(check, file, "", False, expected, f"{type(error).__name__}: {error}")


def _bytes(project: Project, pin: Pin, name: str, picture: Path) -> Finding:
    """The pinned hash is that of the file here; where there is none, it may be that of the picture drawn again."""
    pinned = pin.content["figure"].get(picture.name, "no hash")
    if project.hash(name, "sha256") is None and sha256(picture.read_bytes()) == pinned:
        return Finding(FIGURE, name, "sha256", "passed", pinned, pinned)
    found = project.compared(FIGURE, name, pinned)
    if found.state == "not checked":
        return replace(found, reason=f"{NOT_HERE}, and drawn again it has other bytes; 'dvc pull' brings it")
    return found


def _content(project: Project, name: str, picture: Path, how: Alike) -> Iterator[Finding]:
    """Compare a picture that is here with the one drawn again."""
    compare, key, unit = (pixels, "pixels", LEVELS) if picture.suffix == ".png" else (drawings, "lines", POINTS)
    if (project.root / name).is_file():
        yield _judged(name, key, compare(picture, project.root / name), unit, how)


def _judged(name: str, key: str, apart: Apart | None, allowed: float, how: Alike) -> Finding:
    if apart is None:
        return Finding(FIGURE, name, key, "passed", found="the same as drawn again")
    said = "; ".join(filter(None, (apart.said, how.reason)))
    if how.level == "other":
        return Finding(FIGURE, name, key, "not checked", apart.expected, apart.found, reason=said)
    if how.level == "rounding" and apart.size <= allowed:
        return Finding(FIGURE, name, key, "passed", apart.expected, apart.found, 1 - apart.size / allowed, said)
    return Finding(FIGURE, name, key, "failed", apart.expected, apart.found, reason=said)

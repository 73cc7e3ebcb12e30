"""What is pinned and nobody makes, and what is made and not pinned."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from symbreak.audit.finding import ABSENT, Finding, equal, holds, unchecked
from symbreak.audit.pin import Pin
from symbreak.audit.project import Project

CHECK = "orphan"


def orphans(project: Project, folder: Path, pins: Mapping[str, Pin]) -> Iterator[Finding]:
    """Compare pins with claims, and what each pin holds with what the plan makes."""
    for path in sorted(folder.iterdir()):
        name, known = (
            path.relative_to(project.root).as_posix(),
            path.suffix == ".json" and path.stem in project.plan.claims,
        )
        yield holds(CHECK, name, "", known, "the pin of a claim of claims.yaml", path.name, "no claim has this name")
    for claim in project.plan.claims:
        path = folder / f"{claim}.json"
        if not path.is_file():
            yield _unpinned(project, claim, path.relative_to(project.root).as_posix())
    for pin in pins.values():
        yield from _parts(project, pin)


def _unpinned(project: Project, claim: str, path: str) -> Finding:
    history = project.history
    if not history.missing and history.commits(path):
        reason = "it was pinned once (git log -- " + path + ") and is not any more"
        return holds(CHECK, path, "", False, f"the pin of claim '{claim}'", ABSENT, reason)
    return unchecked(CHECK, path, "", "the claim is registered and has never been pinned")


def _parts(project: Project, pin: Pin) -> Iterator[Finding]:
    figure = project.plan.figure(pin.claim)
    planned = {
        "tables": [step.path for step in project.plan.tables(pin.claim)],
        "runs": [step.path for step in project.runs(pin.claim)],
        "figure": [f"{pin.claim}.png", f"{Path(figure.path).name}"],
        "claim_file.parts": list(project.plan.claims[pin.claim].parts),
    }
    found = {
        "tables": list(pin.content["tables"]),
        "runs": list(pin.content["runs"]),
        "figure": list(pin.content["figure"]),
        "claim_file.parts": list(pin.content["claim_file"]["parts"]),
    }
    for key, paths in planned.items():
        for path in sorted({*paths, *found[key]}):
            there = path if path in found[key] else ABSENT
            yield equal(
                CHECK, pin.path, f"{key}[{path}]", path if path in paths else ABSENT, there, "plan and pin differ"
            )

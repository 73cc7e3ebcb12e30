"""Claim files, tables, runs and figures that lie in the working tree against the pinned hashes."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath

from symbreak.audit.compare import differing
from symbreak.audit.finding import Finding, equal, holds, unchecked
from symbreak.audit.pin import Pin, sha256
from symbreak.audit.pin_shape import PinnedRun
from symbreak.audit.project import NOT_HERE, Project
from symbreak.errors import SymbreakError
from symbreak.provenance.manifest import manifest_path, read_manifest, run_path

CHECK, SHOWN = "artifact", "shown figure"
FIGURES = "docs/figures"


def artifacts(project: Project, pin: Pin) -> Iterator[Finding]:
    """Compare every file that a pin names with its hash, or say that it is not here."""
    content, step = pin.content, project.plan.claim(pin.claim)
    yield from _folder(project, step.path, content["manifest"]["outputs"])
    yield _manifest(project, pin, step.path.removesuffix(".json") + ".manifest.json")
    for path, hashes in content["tables"].items():
        yield from _folder(project, path, hashes)
    for path, run in content["runs"].items():
        yield from _folder(project, path, run["outputs"])
        yield from _run(project, pin, path, run)
    yield from _folder(project, project.plan.figure(pin.claim).path, content["figure"])
    yield from _ended(project, pin)


def shown(project: Project, pins: Mapping[str, Pin]) -> Iterator[Finding]:
    """Compare the figures in docs/figures with the pinned ones of the same name."""
    pinned = {name: digest for pin in pins.values() for name, digest in pin.content["figure"].items()}
    for path in sorted((project.root / FIGURES).glob("*.*")):
        name, file = path.name, f"{FIGURES}/{path.name}"
        found = project.hash(file, "sha256")
        yield equal(SHOWN, file, "sha256", pinned.get(name), found, "no pin has a figure with this name and content")


def one_content(pins: Mapping[str, Pin]) -> Iterator[Finding]:
    """A file that is named more than once, by one pin or by several, has the same hash everywhere."""
    first: dict[str, tuple[str, str]] = {}
    for pin in pins.values():
        for path, digest in _named(pin):
            if path in first:
                where, expected = first[path]
                yield equal(CHECK, pin.path, f"sha256 of {path}", expected, digest, f"{where} has another")
            else:
                first[path] = pin.path, digest


def _named(pin: Pin) -> Iterator[tuple[str, str]]:
    for path, hashes in pin.content["tables"].items():
        yield from ((str(PurePosixPath(path).with_name(name)), digest) for name, digest in hashes.items())
    for path, run in pin.content["runs"].items():
        yield from ((str(PurePosixPath(path).with_name(name)), digest) for name, digest in run["outputs"].items())
        yield from ((entry["path"], entry["sha256"]) for entry in run["inputs"].values())


def _folder(project: Project, path: str, hashes: Mapping[str, str]) -> Iterator[Finding]:
    """Files beside ``path``, by name."""
    for name, digest in hashes.items():
        yield project.compared(CHECK, Path(path).with_name(name).as_posix(), digest)


def _run(project: Project, pin: Pin, path: str, run: PinnedRun) -> Iterator[Finding]:
    """What a pin keeps of a run's manifest is what the manifest says, and its date not later than the run file's."""
    if not manifest_path(project.root / path).is_file():
        yield unchecked(CHECK, pin.path, f"runs[{path}]", f"its manifest is {NOT_HERE}")
        return
    try:
        manifest = read_manifest(project.root / path)
    except SymbreakError as error:
        yield holds(CHECK, path, "manifest", False, "a manifest that can be read", str(error))
        return
    said = {key: manifest.get(key) for key in run if key != "code"} | {"code": manifest.get("code", {}).get("end")}
    yield from differing(CHECK, pin.path, f"runs[{path}]", said, dict(run), "not what the run's manifest says")


def _ended(project: Project, pin: Pin) -> Iterator[Finding]:
    """Run files are in neither git nor DVC: where one lies here, its job did not end before the first one did."""
    first = pin.content["first_job_ended"]
    for path in (*pin.content["runs"], *pin.content["tables"]):
        file = run_path(project.root / path)
        if first and file.is_file():
            yield _not_after(pin, path, first, file)


def _not_after(pin: Pin, path: str, first: str, file: Path) -> Finding:
    try:
        date = json.loads(file.read_text())["date"]
        late = datetime.fromisoformat(first) > datetime.fromisoformat(date)
    except (ValueError, KeyError, TypeError) as error:
        found = f"{type(error).__name__}: {error}"
        return holds(CHECK, path, "run file", False, "a run file with the date at which its job ended", found)
    return holds(CHECK, pin.path, "first_job_ended", not late, f"not after {date}, when {path} ended", first)


def _manifest(project: Project, pin: Pin, path: str) -> Finding:
    found = project.hash(path, "sha256")
    if found is None:
        return unchecked(CHECK, path, "sha256", NOT_HERE)
    return equal(CHECK, path, "sha256", sha256(pin.manifest_bytes), found, "another manifest than the pinned one")

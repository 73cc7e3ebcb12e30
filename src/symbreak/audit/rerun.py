"""``symbreak audit``: what this machine has computed against what is pinned at a commit, claim by claim."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from symbreak.audit.compare import within
from symbreak.audit.differences import Difference, differences
from symbreak.audit.finding import ABSENT, Finding, equal, holds, unchecked
from symbreak.audit.history import History
from symbreak.audit.tolerance import tolerance
from symbreak.errors import SymbreakError
from symbreak.files import sha256
from symbreak.provenance.manifest import BESIDE, manifest_path, read_manifest
from symbreak.status import read_claim_file

VERDICT, NUMBER, MANIFEST = "verdict", "number", "manifest"
EXACT = ("method", "level", "n", "clusters")
MEASURED = ("estimate", "low", "high", "margin")


def audit_rerun(root: Path, revision: str = "HEAD") -> tuple[list[Finding], list[Difference]]:
    """Compare every claim file of the working tree with the one pinned at a revision.

    Args:
        root: The project's root folder, a git clone.
        revision: A commit, tag or branch.

    Returns:
        One finding a comparison, and what else differs between the two computations.

    Raises:
        SymbreakError: There is no such revision, nothing is pinned there, or nothing is computed here.
    """
    history = History(root.resolve())
    if history.missing:
        raise SymbreakError(f"There is no pin to compare with: {history.missing}. Run this in a clone.")
    if not history.has(revision):
        raise SymbreakError(f"There is no revision '{revision}' in this clone; 'git log' lists its commits.")
    paths = [path for path in history.tracked(revision, "results/pinned") if path.endswith(".json")]
    if not paths:
        raise SymbreakError(f"Nothing is pinned at {revision}: no file under results/pinned; name another with --rev.")
    here = {_computed(path): path for path in paths}
    here |= {path: "" for path in _claim_files(root) if path not in here}
    if not any((root / path).is_file() for path in here):
        raise SymbreakError(
            "Nothing is computed here, so there is nothing to compare. 'make figures' computes everything; "
            "'symbreak audit --pinned' checks the pinned results without computing."
        )
    findings, notes = [], []
    for path, pin in sorted(here.items()):
        found, noted = _claim(root, history, revision, path, pin)
        findings += found
        notes += noted
    return findings, notes


def _computed(pin: str) -> str:
    path = PurePosixPath(pin)
    return f"results/{path.parent.name}/claims/{path.name}"


def _claim_files(root: Path) -> Iterator[str]:
    for path in root.glob("results/*/claims/*.json"):
        if not path.name.endswith(BESIDE):
            yield path.relative_to(root).as_posix()


def _claim(
    root: Path, history: History, revision: str, path: str, pin_path: str
) -> tuple[list[Finding], list[Difference]]:
    if not pin_path:
        return [unchecked(VERDICT, path, "", f"no pin of this claim at {revision}")], []
    computed = read_claim_file(root / path)
    if computed is None:
        return [unchecked(VERDICT, path, "", "not computed here")], []
    pin = json.loads(history.show(revision, pin_path) or "{}")
    try:
        findings = [*own(root, path), *compared(path, pin["claim_file"], computed)]
        return findings, list(differences(root, path, pin, computed))
    except (KeyError, TypeError, ValueError) as error:  # a key is missing, or a number is none
        wrong = f"{type(error).__name__} {error}, in it or in {pin_path} at {revision}"
        return [holds(VERDICT, path, "", False, "the keys and types of a claim file and of a pin", wrong)], []


def own(root: Path, path: str) -> Iterator[Finding]:
    """A computed claim file is what its own manifest says, and its source was not edited while it was made."""
    if not manifest_path(root / path).is_file():
        yield unchecked(MANIFEST, path, "", "its manifest is missing; delete it and compute it again")
        return
    manifest, name = read_manifest(root / path), PurePosixPath(path).name
    written = manifest["outputs"].get(name)
    yield equal(MANIFEST, path, "sha256", written, sha256(root / path), "changed after it was computed")
    yield equal(MANIFEST, path, "tainted", False, manifest["tainted"], "source was edited while it was made")


def compared(path: str, pinned: Mapping[str, Any], computed: Mapping[str, Any]) -> Iterator[Finding]:
    """Compare verdicts, counts and methods of two claim files exactly, and their numbers up to their tolerance."""
    for key in ("verdict", "control", "n"):
        yield equal(VERDICT, path, key, pinned[key], computed[key])
    for target, verdict in pinned["targets"].items():
        yield equal(VERDICT, path, f"targets.{target}", verdict, computed["targets"].get(target, ABSENT))
    for name in sorted(pinned["parts"].keys() | computed["parts"].keys()):
        one, other = pinned["parts"].get(name), computed["parts"].get(name)
        if one is None or other is None:
            yield holds(VERDICT, path, f"parts.{name}", False, "a part of both", "only one has it")
        else:
            yield from _part(path, f"parts.{name}", one, other)


def _part(path: str, key: str, pinned: Mapping[str, Any], computed: Mapping[str, Any]) -> Iterator[Finding]:
    yield equal(VERDICT, path, f"{key}.verdict", pinned["verdict"], computed["verdict"])
    yield from measured(path, key, pinned, computed, pinned["rule"])
    control, again = pinned["control"], computed["control"]
    yield equal(VERDICT, path, f"{key}.control.shown", control["shown"], again["shown"])
    yield from measured(path, f"{key}.control", control, again, control["rule"] or pinned["rule"])


def measured(
    path: str, key: str, pinned: Mapping[str, Any], computed: Mapping[str, Any], rule: Mapping[str, float]
) -> Iterator[Finding]:
    """Compare one interval, a part's or a control's, with the pinned one up to the tolerance of its rule."""
    for name in EXACT:
        yield equal(NUMBER, path, f"{key}.{name}", pinned[name], computed[name])
    allowed, meaning = tolerance(pinned, rule)
    for name in MEASURED:
        one, other = pinned[name], computed[name]
        if one is None or other is None:
            yield equal(NUMBER, path, f"{key}.{name}", one, other)
        else:
            said = f"tolerance {allowed:.3g}: {meaning}"
            yield replace(within(NUMBER, path, f"{key}.{name}", one, other, allowed), reason=said)

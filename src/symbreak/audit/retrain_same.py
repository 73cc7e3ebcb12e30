"""Whether the pinned artifacts and new ones were made alike, so that they must be equal to the last bit."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from symbreak.errors import SymbreakError
from symbreak.provenance.manifest import read_manifest, run_path

MACHINE = ("host", "platform", "processor")


def artifacts(pin: Mapping[str, Any], path: str) -> dict[str, dict[str, str]]:
    """Return the artifacts behind a pinned claim, itself included: path -> pinned sha256 by file name.

    Args:
        pin: The pinned file.
        path: The claim file.
    """
    runs = {run: entry["outputs"] for run, entry in pin["runs"].items()}
    return {**runs, **pin["tables"], path: pin["manifest"]["outputs"]}


def reasons(root: Path, copy: Path, pinned: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Say what differs, or is not known, between how the pinned artifacts and those of the copy were made.

    Args:
        root: The project's root folder, which may have the pinned artifacts' manifests and run files.
        copy: The copy's root folder.
        pinned: Path -> pinned sha256 by file name.

    Returns:
        One line a difference, none if everything was made alike.
    """
    found: Counter[str] = Counter()
    for path, hashes in pinned.items():
        there, here = _facts(root / path), _facts(copy / path)
        if there is None or here is None or there.pop("outputs") != hashes:
            found["how the pinned bytes were made is not known in this working tree"] += 1
        else:
            found.update(f"{key}: {there.get(key)} -> {here[key]}" for key in there if there[key] != here.get(key))
    return [f"{line} ({n} of {len(pinned)} artifacts)" for line, n in found.items()]


def bits(copy: Path, path: str) -> dict[str, str]:
    """Return the sha256 of an artifact of the copy and of what was written beside it, by file name."""
    try:
        written: dict[str, str] = read_manifest(copy / path)["outputs"]
    except SymbreakError:
        return {}
    return written


def equal_bits(copy: Path, pinned: Mapping[str, Mapping[str, str]]) -> str:
    """Say how many artifacts are the pinned ones to the last bit."""
    same = [path for path, hashes in pinned.items() if bits(copy, path) == hashes]
    kinds = Counter(PurePosixPath(path).parts[2] for path in pinned)
    equal = Counter(PurePosixPath(path).parts[2] for path in same)
    return "equal bytes: " + ", ".join(f"{equal[kind]} of {n} {kind}" for kind, n in kinds.items())


def _facts(artifact: Path) -> dict[str, Any] | None:
    """What rounding hangs on, and the hashes that the job wrote down; null if nothing is known."""
    try:
        manifest, circumstances = read_manifest(artifact), json.loads(run_path(artifact).read_text())
    except (SymbreakError, OSError, ValueError):
        return None
    known = {key: manifest[key] for key in ("outputs", "device", "threads")} | {"code": manifest["code"]["end"]}
    versions = {f"version of {name}": version for name, version in manifest["versions"].items()}
    return known | versions | {key: circumstances.get(key) for key in MACHINE}

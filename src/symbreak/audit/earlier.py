"""A pin against its earlier versions in git: the same tables, read by the same code, give the same numbers per unit."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from symbreak.audit.compare import leaves
from symbreak.audit.finding import Finding
from symbreak.audit.pin import PINNED, Pin
from symbreak.audit.pin_shape import PinnedFile
from symbreak.audit.project import Project

CHECK = "earlier pin"
MADE_BY = ("command", "versions", "threads", "device")
RELATIVE = 1e-9
"""The processor is not in a manifest: another one may sum in another order, which moves the last digits."""


def earlier(project: Project, pin: Pin) -> Iterator[Finding]:
    """Compare the units of a pin with those of its latest earlier version that was made in the same way."""
    found = _units(pin.content)
    for commit, before in _versions(project, pin):
        if _made(before) == _made(pin.content):
            reason = f"the same code made another of the same tables at {commit[:12]}"
            compared = leaves(CHECK, pin.path, "claim_file", _units(before), found, lambda _, x: RELATIVE * abs(x))
            failed = [replace(finding, reason=reason) for finding in compared if finding.state == "failed"]
            yield from failed or [Finding(CHECK, pin.path, "claim_file", "passed", reason=f"as at {commit[:12]}")]
            return


def first_ended(project: Project, pin: Pin) -> str | None:
    """Return when the first job ended that gave these tables, by the pin and its earlier versions (ISO 8601).

    To compute the same bytes a second time does not make a rule older than what it judges.
    """
    same = [before for _, before in _versions(project, pin) if before["tables"] == pin.content["tables"]]
    dates = [content["first_job_ended"] for content in (pin.content, *same)]
    return min((date for date in dates if date is not None), key=datetime.fromisoformat, default=None)


def _versions(project: Project, pin: Pin) -> Iterator[tuple[str, PinnedFile]]:
    """Other versions of a pin in HEAD's history, the latest first; those of an older form cannot be compared."""
    for commit in [] if project.history.missing else project.history.commits(pin.path):
        try:
            content = PINNED.validate_python(json.loads(project.history.show(commit, pin.path) or "null"))
        except (json.JSONDecodeError, ValidationError):
            continue
        if content != pin.content:
            yield commit, content


def _made(content: PinnedFile) -> Any:
    manifest = content["manifest"]
    return manifest["inputs"], manifest["code"]["end"], [dict(manifest)[key] for key in MADE_BY]


def _units(content: PinnedFile) -> Any:
    claim_file = content["claim_file"]
    parts = {
        name: {"units": part["units"], "control": {"units": part["control"]["units"]}}
        for name, part in claim_file["parts"].items()
    }
    return {"parts": parts, "diverged": claim_file["diverged"]}

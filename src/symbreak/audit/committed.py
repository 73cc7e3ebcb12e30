"""Pinned files, lock and shown figures in the working tree against HEAD: any edit is named by key, with both values."""

import json
from collections.abc import Iterator

from symbreak.audit.compare import differing
from symbreak.audit.finding import ABSENT, Finding, equal, unchecked
from symbreak.audit.pin import Pin
from symbreak.audit.project import Project

CHECK = "committed"
REASON = "what is pinned is what is committed: commit it, or restore it with 'git checkout'"


def committed(project: Project, pin: Pin) -> Iterator[Finding]:
    """Compare a pinned file with the one at HEAD."""
    if project.history.missing:
        yield unchecked(CHECK, pin.path, "", project.history.missing)
        return
    written = project.history.show("HEAD", pin.path)
    try:
        at_head = ABSENT if written is None else json.loads(written)
    except json.JSONDecodeError:
        at_head = written
    if isinstance(at_head, dict):
        yield from differing(CHECK, pin.path, "", at_head, pin.content, REASON)
    else:
        yield equal(CHECK, pin.path, "", at_head, pin.path, REASON)


def committed_text(project: Project, path: str) -> Finding:
    """Compare a text file with the one at HEAD."""
    if project.history.missing:
        return unchecked(CHECK, path, "", project.history.missing)
    file = project.root / path
    same = file.is_file() and project.history.show("HEAD", path) == file.read_text()
    return Finding(CHECK, path, "", "passed" if same else "failed", reason="" if same else REASON)

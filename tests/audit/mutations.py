"""One thing made wrong in a recorded project, and what the audit then calls failed."""

import json
from pathlib import Path
from typing import Any

from symbreak.audit.finding import Finding
from symbreak.audit.pin import text
from symbreak.audit.pinned import audit_pinned

PIN, OTHER = "results/pinned/desk/ssb-random-labels.json", "results/pinned/desk/ssb-goldstone.json"


def failed(root: Path) -> dict[tuple[str, str, str], Finding]:
    return {(f.check, f.file, f.key): f for f in audit_pinned(root) if f.state == "failed"}


def load(root: Path, name: str = PIN) -> Any:
    return json.loads((root / name).read_text())


def save(root: Path, content: Any, name: str = PIN) -> None:
    (root / name).write_text(text(content))


def at(content: Any, steps: list[str | int]) -> Any:
    for step in steps:
        content = content[step]
    return content


def mutate(root: Path, steps: list[str | int], new: Any, name: str = PIN) -> Any:
    """Change one value of a pin and return the old one."""
    content = load(root, name)
    old = at(content, steps)
    at(content, steps[:-1])[steps[-1]] = new
    save(root, content, name)
    return old

"""The README's table of verdicts against the pins that it is generated from."""

import re
from collections.abc import Iterator

from symbreak.audit.finding import ABSENT, Finding, equal, holds
from symbreak.audit.project import Project
from symbreak.errors import SymbreakError
from symbreak.readme import rewritten

CHECK, FILE = "quoted", "README.md"
ROW = re.compile(r"^\| `([a-z0-9-]+)` \|.*$", re.MULTILINE)


def quoted(project: Project) -> Iterator[Finding]:
    """Compare the table row by row with the one of the pins in the working tree."""
    path = project.root / FILE
    text = path.read_text() if path.is_file() else ""
    try:
        wanted = rewritten(text, project.plan.configuration.registry, project.root)
    except (SymbreakError, KeyError) as error:  # no marks, or pins of which no row can be made
        yield holds(CHECK, FILE, "", False, "a table of the pinned verdicts between its marks", str(error))
        return
    expected, found = _rows(wanted), _rows(text)
    for claim in sorted(expected.keys() | found.keys()):
        yield equal(CHECK, FILE, claim, expected.get(claim, ABSENT), found.get(claim, ABSENT), "run 'make generate'")
    yield holds(CHECK, FILE, "", wanted == text, "the table of results/pinned/desk", FILE, "run 'make generate'")


def _rows(text: str) -> dict[str, str]:
    return {match[1]: match[0] for match in ROW.finditer(text)}

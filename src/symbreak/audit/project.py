"""What every check of one scale shares: root folder, plan, git history, and hashes of files, each computed once."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from symbreak.audit.finding import Finding, equal, unchecked
from symbreak.audit.history import History
from symbreak.plan import Plan, Step

NOT_HERE = "not in this working tree"


@dataclass(frozen=True)
class Project:
    """The project as it lies in the working tree, at one scale."""

    root: Path
    plan: Plan
    history: History
    hashes: dict[tuple[str, str], str] = field(default_factory=dict)

    def hash(self, path: str, kind: Literal["sha256", "md5"]) -> str | None:
        """Return the hash of a file, null if it is not there."""
        file = self.root / path
        if (path, kind) not in self.hashes and file.is_file():
            with file.open("rb") as stream:
                self.hashes[path, kind] = hashlib.file_digest(stream, kind).hexdigest()
        return self.hashes.get((path, kind))

    def compared(self, check: str, path: str, expected: str, kind: Literal["sha256", "md5"] = "sha256") -> Finding:
        """Compare a file's hash with the expected one; a file that is not there is not checked."""
        found = self.hash(path, kind)
        if found is None:
            return unchecked(check, path, kind, NOT_HERE)
        return equal(check, path, kind, expected, found, "another content than the one that was pinned")

    def runs(self, claim: str) -> list[Step]:
        """Return the runs of a claim's experiment."""
        experiment = self.plan.claims[claim].experiment
        return [
            self.plan.run(experiment, arm) for arm in self.plan.arms[experiment] if self.plan.has_run(experiment, arm)
        ]

    def made_of(self, claim: str) -> Iterator[Step]:
        """Iterate over a claim's runs, tables, claim file and figure."""
        yield from self.runs(claim)
        yield from self.plan.tables(claim)
        yield from (self.plan.claim(claim), self.plan.figure(claim))

"""Git, as the audit asks it: what stood where, and when. It never writes."""

import shutil
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from symbreak.audit.yaml_text import parse
from symbreak.config.registry import Claim, PaperEntry
from symbreak.errors import SymbreakError
from symbreak.provenance.tools import call


class History:
    """The git repository that the project's root folder is in; answers are remembered."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._texts: dict[tuple[str, str], str | None] = {}
        self._commits: dict[tuple[str, str], list[str]] = {}
        self._entries: dict[tuple[str, str], Claim | None] = {}
        self._registries: dict[str, Any] = {}

    @cached_property
    def missing(self) -> str:
        """Why there is no history to ask, or nothing."""
        if shutil.which("git") is None:
            return "git is not installed"
        return "" if self._asks("rev-parse", "--verify", "HEAD^{commit}") else "this is not a git clone with a commit"

    @cached_property
    def shallow(self) -> bool:
        """Whether the clone's history was cut off."""
        return call(self.root, "git", "rev-parse", "--is-shallow-repository").strip() == "true"

    def show(self, revision: str, path: str) -> str | None:
        """Return a file's text at a revision, null if it was not there."""
        if (revision, path) not in self._texts:
            self._texts[revision, path] = self._asks("show", f"{revision}:./{path}")
        return self._texts[revision, path]

    def has(self, revision: str) -> bool:
        """Say whether the clone has a commit, tag or branch."""
        return self._asks("rev-parse", "--quiet", "--verify", f"{revision}^{{commit}}") is not None

    def leads_to(self, commit: str, revision: str) -> bool:
        """Say whether ``commit`` is an ancestor of ``revision``."""
        return self._asks("merge-base", "--is-ancestor", commit, revision) is not None

    def date(self, commit: str) -> str:
        """Return a commit's committer date, ISO 8601."""
        return call(self.root, "git", "show", "--no-patch", "--format=%cI", commit).strip()

    def last(self, path: str, before: str) -> str | None:
        """Return the last commit of HEAD's history that changed a file and is not later than a date."""
        latest = datetime.fromisoformat(before)
        lines = call(self.root, "git", "log", "--format=%H %cI", "--", path).splitlines()
        dated = (line.split(" ", 1) for line in lines)
        return next((commit for commit, date in dated if datetime.fromisoformat(date) <= latest), None)

    def commits(self, path: str, revision: str = "HEAD") -> list[str]:
        """Return the commits of a revision's history that changed a file, the latest first."""
        if (revision, path) not in self._commits:
            lines = call(self.root, "git", "log", "--format=%H", revision, "--", path)
            self._commits[revision, path] = lines.splitlines()
        return self._commits[revision, path]

    def tracked(self, revision: str, folder: str) -> list[str]:
        """List the files under a folder at a revision that the clone has."""
        listed = call(self.root, "git", "ls-tree", "-r", "--name-only", revision, "--", folder)
        return listed.splitlines()

    def entry(self, revision: str, claim: str) -> Claim | None:
        """Return a claim's entry of claims.yaml at a revision; null if it was not there or had an older form."""
        if (revision, claim) not in self._entries:
            self._entries[revision, claim] = self._entry(revision, claim)
        return self._entries[revision, claim]

    def _entry(self, revision: str, claim: str) -> Claim | None:
        try:
            return Claim.model_validate(self._registry(revision)["claims"][claim])
        except (KeyError, TypeError, ValueError):
            return None

    def level(self, revision: str, paper: str) -> tuple[float, int] | None:
        """Return a paper's alpha and family size at a revision; null if they were not there."""
        try:
            entry = PaperEntry.model_validate(self._registry(revision)["papers"][paper])
        except (KeyError, TypeError, ValueError):
            return None
        return entry.alpha, entry.family_size

    def _registry(self, revision: str) -> Any:
        if revision not in self._registries:
            self._registries[revision] = parse(self.show(revision, "claims.yaml") or "{}")
        return self._registries[revision]

    def _asks(self, *arguments: str) -> str | None:
        try:
            return call(self.root, "git", *arguments)
        except SymbreakError:
            return None

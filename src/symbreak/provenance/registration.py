"""When a claim's entry was written: the commit of its present rule, and whether it is committed at all."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import yaml

from symbreak.config.registry import Claim
from symbreak.errors import SymbreakError
from symbreak.files import canonical
from symbreak.provenance.tools import call


@dataclass(frozen=True)
class Registration:
    """The commit in which the present entry first stood, its date (ISO 8601), and the entry's hash."""

    commit: str
    date: str
    sha256: str


def entry_sha256(entry: Claim) -> str:
    """Return the sha256 of what of an entry its decision rests on; the claim file has the same."""
    return hashlib.sha256(canonical(entry.decided()).encode()).hexdigest()


def registration(root: Path, claim: str, entry: Claim, file: str = "claims.yaml") -> Registration:
    """Find the commit in which a claim's entry was given its present form.

    Args:
        root: The project's root folder, a git repository.
        claim: The claim's id.
        entry: The entry in the working tree.
        file: The registry's file name.

    Raises:
        SymbreakError: The entry in the working tree is not the one at HEAD.
    """
    wanted = entry_sha256(entry)
    written: tuple[str, str] | None = None
    for line in call(root, "git", "log", "--format=%H %cI", "--", file).splitlines():
        commit, date = line.split(" ", 1)
        if _at(root, commit, file, claim) != wanted:
            break
        written = commit, date
    if written is None or _at(root, "HEAD", file, claim) != wanted:
        raise SymbreakError(
            f"claims.yaml: the entry '{claim}' is not committed. Commit it before its results are recorded."
        )
    return Registration(*written, wanted)


def _at(root: Path, commit: str, file: str, claim: str) -> str | None:
    try:
        entry = yaml.safe_load(call(root, "git", "show", f"{commit}:{file}"))["claims"][claim]
        return entry_sha256(Claim.model_validate(entry))
    except (
        SymbreakError,
        KeyError,
        TypeError,
        ValueError,
    ):  # no such file, no such claim, or an older form of the registry
        return None

"""A claim's evidence as it was filed: computed here, else pinned; of the present registry, or refused."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from symbreak.claims.evidence import Unit
from symbreak.config.registry import Claim, PaperEntry, Part
from symbreak.errors import SymbreakError
from symbreak.provenance.registration import entry_sha256
from symbreak.status import read_claim_file


class NotFiledError(SymbreakError):
    """Neither the working tree nor the pins hold a claim as the registry has it now; ``reason`` says why."""

    def __init__(self, claim: str, scale: str, reason: str) -> None:
        super().__init__(
            f"claim '{claim}' is not there as claims.yaml has it: {reason}. "
            f"Compute it with 'snakemake --cores 8 results/{scale}/claims/{claim}.json'"
        )
        self.reason = reason


@dataclass(frozen=True)
class FiledPart:
    """A part's registry entry, the units of its evidence and of its control, and the verdict that was filed."""

    part: Part
    units: tuple[Unit, ...]
    control_units: tuple[Unit, ...]
    verdict: str


@dataclass(frozen=True)
class Filed:
    """A claim as it was filed: ``path`` is relative to the project's root, ``level`` that of its intervals."""

    claim: str
    path: str
    level: float
    parts: dict[str, FiledPart]


def read_filed(root: Path, scale: str, name: str, claim: Claim, paper: PaperEntry) -> Filed:
    """Read the units of a claim from its claim file, or from its pin where there is no such file.

    Args:
        root: The project's root folder.
        scale: ``smoke``, ``desk`` or ``paper``.
        name: The claim's id.
        claim: Its entry in the registry.
        paper: The entry of its paper.

    Raises:
        NotFiledError: There is neither file, or each is of another entry or level than the registry has now.
        SymbreakError: A file is not a claim file.
    """
    level, problems = 1 - paper.alpha / paper.family_size, []
    for path, content in _candidates(root, scale, name):
        if content is None:
            continue
        problem = _outdated(content, claim, level, path)
        if problem is None:
            return Filed(name, path, level, _parts(content, claim, path))
        problems.append(f"{path}: {problem}")
    raise NotFiledError(name, scale, "; ".join(problems) or "neither computed here nor pinned")


def _candidates(root: Path, scale: str, name: str) -> Iterator[tuple[str, dict[str, Any] | None]]:
    path = f"results/{scale}/claims/{name}.json"
    yield path, read_claim_file(root / path)
    path = f"results/pinned/{scale}/{name}.json"
    pin = read_claim_file(root / path)
    yield path, None if pin is None else _entry(pin, "claim_file", path)


def _outdated(content: Mapping[str, Any], claim: Claim, level: float, path: str) -> str | None:
    if _entry(content, "entry_sha256", path) != entry_sha256(claim):
        return "its entry in claims.yaml has changed since"
    levels = [_entry(part, "level", path) for part in _entry(content, "parts", path).values()]
    if any(found is not None and not math.isclose(found, level, rel_tol=0, abs_tol=1e-12) for found in levels):
        return "alpha or family_size of its paper has changed since"
    return None


def _parts(content: Mapping[str, Any], claim: Claim, path: str) -> dict[str, FiledPart]:
    filed = _entry(content, "parts", path)
    return {key: _part(part, _entry(filed, key, path), path) for key, part in claim.parts.items()}


def _part(part: Part, found: Mapping[str, Any], path: str) -> FiledPart:
    control = _entry(found, "control", path)
    own, its = (_units(_entry(holder, "units", path), path) for holder in (found, control))
    return FiledPart(part, own, its, _entry(found, "verdict", path))


def _units(listed: Sequence[dict[str, Any]], path: str) -> tuple[Unit, ...]:
    """Make units of JSON objects; a null value stands for a number that was not finite."""
    try:
        return tuple(Unit(**unit | {"value": math.nan if unit["value"] is None else unit["value"]}) for unit in listed)
    except (KeyError, TypeError) as error:
        raise SymbreakError(f"{path}: a unit is not as docs/developing.md says ({error}); {_MEND}") from None


def _entry(holder: Mapping[str, Any], key: str, path: str) -> Any:
    if key not in holder:
        raise SymbreakError(f"{path}: expected the key '{key}', found {', '.join(sorted(holder))}; {_MEND}")
    return holder[key]


_MEND = "compute the claim again, or restore the file from git"

"""What verdicts hang on, from the claim files computed here, else from the pins."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from symbreak.claims.filed import Filed, NotFiledError, read_filed
from symbreak.claims.sensitivity import PaperSensitivity, paper_sensitivity
from symbreak.config.registry import Paper, Registry
from symbreak.config.strict import nearest
from symbreak.errors import SymbreakError


@dataclass(frozen=True)
class Study:
    """The sensitivities of some papers; ``read``: the file of each claim; ``not_read``: why there is none, by claim."""

    scale: str
    read: dict[str, str]
    not_read: dict[str, str]
    papers: tuple[PaperSensitivity, ...]


def study(registry: Registry, scale: str, root: Path, claims: Sequence[str], paper: str | None) -> Study:
    """Study claims; all claims of their papers are read, for Holm's family is the paper.

    Args:
        registry: The registry of claims.
        scale: ``smoke``, ``desk`` or ``paper``.
        root: The project's root folder.
        claims: Ids; none: all of ``paper``.
        paper: A paper's key; null: all papers.

    Raises:
        SymbreakError: A claim or paper is not in the registry, a claim asked for by name has no file that the registry
            stands for, or a file is not what it should be.
    """
    asked = _asked(registry, claims, paper)
    papers = [name for name in registry.papers if any(registry.claims[claim].paper == name for claim in asked)]
    filed: dict[Paper, list[Filed]] = {name: [] for name in papers}
    not_read = {}
    for name, claim in registry.claims.items():
        if claim.paper not in filed:
            continue
        try:
            filed[claim.paper].append(read_filed(root, scale, name, claim, registry.papers[claim.paper]))
        except NotFiledError as error:
            if name in claims:
                raise
            not_read[name] = error.reason
    rows = [paper_sensitivity(name, registry.papers[name], filed[name], asked) for name in papers]
    return Study(scale, {c.claim: c.path for name in papers for c in filed[name]}, not_read, tuple(rows))


def as_json(found: Study) -> str:
    """Return a study as a JSON object; numbers are null where there are none."""
    return json.dumps(asdict(found), indent=2, allow_nan=False)


def _asked(registry: Registry, claims: Sequence[str], paper: str | None) -> list[str]:
    if paper is not None and paper not in registry.papers:
        raise SymbreakError(f"there is no paper '{paper}'; claims.yaml has {', '.join(registry.papers)}")
    own = [name for name, claim in registry.claims.items() if paper in (None, claim.paper)]
    for name in claims:
        if name not in own:
            where = "in claims.yaml" if paper is None else f"of paper '{paper}'"
            raise SymbreakError(f"there is no claim '{name}' {where}{nearest(name, own)}")
    return list(claims) or own

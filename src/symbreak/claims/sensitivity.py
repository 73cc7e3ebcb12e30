"""How much the verdicts of a paper hang on its tolerances, on single units, and on the way the family is corrected for.

Nothing here decides anything: verdicts are those of ``symbreak.claims.decide`` at the registered rules and level.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from symbreak.claims.decide import PartDecision
from symbreak.claims.filed import Filed, FiledPart
from symbreak.claims.holm import TargetHolm, holm, p_value
from symbreak.claims.leave_one_out import LeaveOneOut, leave_one_out
from symbreak.claims.tolerance import Scaled, at_half_and_double, judge
from symbreak.config.registry import PaperEntry
from symbreak.errors import SymbreakError


@dataclass(frozen=True)
class PartSensitivity:
    """One part at half and at double each of its tolerances, and without any one of its units."""

    claim: str
    part: str
    target: str
    verdict: str
    tolerances: tuple[Scaled, ...]
    leave_one_out: LeaveOneOut


@dataclass(frozen=True)
class PaperSensitivity:
    """The parts that were asked for, and the statistical targets among theirs with Holm beside the family level."""

    paper: str
    alpha: float
    family_size: int
    parts: tuple[PartSensitivity, ...]
    targets: tuple[TargetHolm, ...]


def paper_sensitivity(name: str, paper: PaperEntry, filed: Sequence[Filed], asked: Collection[str]) -> PaperSensitivity:
    """Study the claims of one paper that are asked for; Holm's family is the whole paper whichever are.

    Args:
        name: The paper's key.
        paper: Its entry in the registry.
        filed: All claims of the paper that are computed or pinned.
        asked: Ids of the claims to study.

    Raises:
        SymbreakError: A verdict that was filed is not the one that its units give.
    """
    decisions = {f"{c.claim}/{key}": _decide(c, key) for c in filed for key in c.parts}
    parts = [_part(c, key, part) for c in filed if c.claim in asked for key, part in c.parts.items()]
    targets = {part.target for part in parts}
    rows = [row for row in _holm(paper, filed, decisions) if row.target in targets]
    return PaperSensitivity(name, paper.alpha, paper.family_size, tuple(parts), tuple(rows))


def _holm(paper: PaperEntry, filed: Sequence[Filed], decisions: dict[str, PartDecision]) -> list[TargetHolm]:
    p = {
        f"{c.claim}/{key}": p_value(part.part, part.units)
        for c in filed
        for key, part in c.parts.items()
        if part.part.regime == "statistical"
    }
    return holm(decisions, p, paper.alpha, paper.family_size)


def _decide(claim: Filed, key: str) -> PartDecision:
    part = claim.parts[key]
    found = judge(part.part, part.units, part.control_units, claim.level)
    if found.verdict != part.verdict:
        raise SymbreakError(
            f"{claim.path}: part '{key}' is filed as '{part.verdict}', but its units give '{found.verdict}'; "
            "compute the claim again, or restore the file from git"
        )
    return found


def _part(claim: Filed, key: str, part: FiledPart) -> PartSensitivity:
    evidence = (part.part, part.units, part.control_units, claim.level)
    return PartSensitivity(
        claim.claim, key, part.part.target, part.verdict, at_half_and_double(*evidence), leave_one_out(*evidence)
    )

"""A part's verdict without any one of its independent units."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from symbreak.claims.decide import INCONCLUSIVE, NO_CONTROL
from symbreak.claims.evidence import Unit
from symbreak.claims.intervals import independent
from symbreak.claims.tolerance import judge
from symbreak.config.registry import Part


@dataclass(frozen=True)
class LeftOut:
    """What a part would have been without one independent unit.

    Attributes:
        name: The unit's cluster, or its own name where units have no clusters.
        held_by: Whose evidence it was left out of: the part's, its control's, or both, where the names agree.
        verdict: The part's verdict without it.
        decided: Whether enough units remain for both intervals, the part's and its control's.
        estimate: The part's estimate without it, null where there is none.
        reason: Why it is inconclusive, in words, else null.
    """

    name: str
    held_by: Literal["part", "control", "both"]
    verdict: str
    decided: bool
    estimate: float | None
    reason: str | None


@dataclass(frozen=True)
class LeaveOneOut:
    """All leave-one-outs of a part: how many, those whose verdict differs from ``verdict``, and the estimate's range.

    ``estimate`` is that of all units; ``low`` and ``high`` bound it where a unit of the part is left out.
    """

    n: int
    verdict: str
    estimate: float | None
    low: float | None
    high: float | None
    changes: tuple[LeftOut, ...]


def leave_one_out(part: Part, units: Sequence[Unit], control_units: Sequence[Unit], level: float) -> LeaveOneOut:
    """Decide a part again without each independent unit of its evidence or its control, one at a time.

    Control, interval and rule are the registered ones; a bootstrap is drawn again from its own seed with all its
    resamples. A cluster is left out whole. The same name in part and control (a seed) is left out of both at once; the
    control's other units are left out of it alone, since the verdict rests on them too. Where too few units remain for
    the registered interval, or none, the part is inconclusive, as it would have been with so few.

    Args:
        part: The registry's entry.
        units: Evidence of the part.
        control_units: Evidence of its control.
        level: Confidence level of the paper.

    Raises:
        SymbreakError: As ``decide``.
    """
    whole = judge(part, units, control_units, level)
    names = list(dict.fromkeys(_names(units) + _names(control_units)))
    found = [_without(name, part, units, control_units, level) for name in names]
    estimates = [f.estimate for f in found if f.held_by != "control" and f.estimate is not None]
    changes = tuple(f for f in found if f.verdict != whole.verdict)
    low, high = min(estimates, default=None), max(estimates, default=None)
    return LeaveOneOut(len(found), whole.verdict, whole.interval.estimate, low, high, changes)


def _without(name: str, part: Part, units: Sequence[Unit], control_units: Sequence[Unit], level: float) -> LeftOut:
    kept, control_kept = ([u for u in given if _name(u) != name] for given in (units, control_units))
    held_by = _held_by(len(kept) < len(units), len(control_kept) < len(control_units))
    if not kept or not control_kept:
        verdict = INCONCLUSIVE if control_kept else NO_CONTROL
        return LeftOut(name, held_by, verdict, False, None, "no unit would be left")
    found = judge(part, kept, control_kept, level)
    decided = found.margin is not None and found.control.margin is not None
    return LeftOut(name, held_by, found.verdict, decided, found.interval.estimate, found.reason)


def _held_by(by_part: bool, by_control: bool) -> Literal["part", "control", "both"]:
    if by_part and by_control:
        return "both"
    return "part" if by_part else "control"


def _names(units: Sequence[Unit]) -> list[str]:
    return [_name(group[0]) for group in independent(units)]


def _name(unit: Unit) -> str:
    return unit.unit if unit.cluster is None else unit.cluster

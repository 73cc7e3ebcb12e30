"""What the tolerance of a rule is, and a part's verdict at half and at double of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from symbreak.claims.decide import PartDecision, decide
from symbreak.claims.evidence import Unit
from symbreak.claims.rules import band, disjoint
from symbreak.config.registry import Part, Rule

NO_TOLERANCE = "a bound that is claimed, not a tolerance"
ZERO = "a tolerance of zero has no half and no double"
OVERLAP = "scaled so, the rule would overlap with refuted_if"


@dataclass(frozen=True)
class Scaled:
    """A part's verdicts where one tolerance is halved and doubled, all else as registered.

    Attributes:
        of: ``rule`` or ``control``. A control that must fail has the part's rule and moves with it.
        tolerance: In the unit of the quantity, null where the rule has none.
        half: Verdict at half the tolerance, null where there is none to decide.
        registered: Verdict at the tolerance as it is registered.
        double: Verdict at twice the tolerance, null where there is none to decide.
        reason: Why a verdict is null, in words, else null.
    """

    of: Literal["rule", "control"]
    tolerance: float | None
    half: str | None
    registered: str
    double: str | None
    reason: str | None

    @property
    def changes(self) -> bool:
        """Whether either verdict is another than the registered one."""
        return any(verdict not in (None, self.registered) for verdict in (self.half, self.double))


def tolerance(rule: Rule, regime: str) -> float | None:
    """Return the tolerance of a rule, in the unit of its quantity, or null if it has none.

    ``equals: a, within: b`` has b in every regime. ``at_most: b`` has b in the regimes ``exact`` and ``numeric``, where
    the quantity is a distance from what theory says and b bounds what arithmetic may add; not if b is negative. Any
    other one-sided rule is a bound that the source claims: half of it would be another claim, not a stricter test.
    """
    if rule.within is not None:
        return rule.within
    if rule.at_most is not None and rule.at_most >= 0 and regime != "statistical":
        return rule.at_most
    return None


def scaled(rule: Rule, factor: float) -> Rule:
    """Return a rule that has a tolerance with ``factor`` times as much of it."""
    if rule.within is not None:
        return rule.model_copy(update={"within": factor * rule.within})
    assert rule.at_most is not None
    return rule.model_copy(update={"at_most": factor * rule.at_most})


def judge(part: Part, units: Sequence[Unit], control_units: Sequence[Unit], level: float) -> PartDecision:
    """Decide a part as ``decide`` does, without simulating its power."""
    return decide(part.model_copy(update={"power": None}), units, control_units, level)


def at_half_and_double(
    part: Part, units: Sequence[Unit], control_units: Sequence[Unit], level: float
) -> tuple[Scaled, ...]:
    """Decide a part at half and at double each of its tolerances, one at a time.

    Args:
        part: The registry's entry.
        units: Evidence of the part.
        control_units: Evidence of its control.
        level: Confidence level of the paper.

    Returns:
        One row for the part's rule, and one for its control's if that has a rule of its own.

    Raises:
        SymbreakError: As ``decide``.
    """
    registered = judge(part, units, control_units, level).verdict
    return tuple(_row(part, of, units, control_units, level, registered) for of in _rules(part))


def _rules(part: Part) -> Iterator[Literal["rule", "control"]]:
    yield "rule"
    if part.control.rule is not None:
        yield "control"


def _row(
    part: Part, of: Literal["rule", "control"], units: Sequence[Unit], control_units: Sequence[Unit],
    level: float, registered: str,
) -> Scaled:  # fmt: skip
    rule, regime = (part.rule, part.regime) if of == "rule" else (part.control.rule, part.control.regime or part.regime)
    assert rule is not None
    found = tolerance(rule, regime)
    if not found:
        return Scaled(of, found, None, registered, None, NO_TOLERANCE if found is None else ZERO)
    changed = [_with(part, of, scaled(rule, factor)) for factor in (0.5, 2.0)]
    half, double = (judge(p, units, control_units, level).verdict if _decidable(p) else None for p in changed)
    return Scaled(of, found, half, registered, double, OVERLAP if None in (half, double) else None)


def _with(part: Part, of: Literal["rule", "control"], rule: Rule) -> Part:
    if of == "rule":
        return part.model_copy(update={"rule": rule})
    return part.model_copy(update={"control": part.control.model_copy(update={"rule": rule})})


def _decidable(part: Part) -> bool:
    return part.refuted_if is None or disjoint(band(part.rule), band(part.refuted_if))

"""From intervals to verdicts: first the control, then the part's rule, then parts to targets and the claim."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from symbreak.claims import power, sentences
from symbreak.claims.evidence import Unit
from symbreak.claims.intervals import Interval, independent, interval
from symbreak.claims.rules import band, disjoint
from symbreak.config.registry import Part
from symbreak.errors import SymbreakError

SUPPORTED, REFUTED, INCONCLUSIVE = "supported", "refuted", "inconclusive"
NO_CONTROL = "inconclusive (control)"


@dataclass(frozen=True)
class ControlDecision:
    """A control's interval, how far it lies where it must (negative: it does not), and what it must show."""

    interval: Interval
    margin: float | None
    shown: bool
    text: str


@dataclass(frozen=True)
class PartDecision:
    """A part's interval and verdict.

    Attributes:
        part: Its entry in the registry.
        interval: The interval of its quantity.
        margin: Signed distance of the interval from the nearest edge of the rule, positive inside.
        verdict: ``supported``, ``refuted``, ``inconclusive`` or ``inconclusive (control)``.
        reason: Why an inconclusive part is so, in words, else null.
        power: How often the effect that ``basis`` names would pass; null unless statistical.
        control: The decision on its control, made first.
        supported_text: The rule in words.
        refuted_text: What would refute it, in words.
    """

    part: Part
    interval: Interval
    margin: float | None
    verdict: str
    reason: str | None
    power: float | None
    control: ControlDecision
    supported_text: str
    refuted_text: str

    @property
    def underpowered(self) -> bool:
        """Whether a true effect would pass less often than ``power.THRESHOLD``."""
        return self.power is not None and self.power < power.THRESHOLD


@dataclass(frozen=True)
class ClaimDecision:
    """Verdicts of a claim and its targets; ``deciding`` is the part with the claim's verdict and the least margin."""

    verdict: str
    targets: dict[str, str]
    deciding: str


def decide(part: Part, units: Sequence[Unit], control_units: Sequence[Unit], level: float) -> PartDecision:
    """Decide one part of a claim, its control first.

    Args:
        part: The registry's entry.
        units: Evidence of the part.
        control_units: Evidence of its control.
        level: Confidence level, 1 - alpha/family_size of the paper.

    Returns:
        The decision. Whatever the part's interval says, it is ``inconclusive (control)`` if the control is not shown.

    Raises:
        SymbreakError: ``rule`` and ``refuted_if`` overlap, or units do not suit the interval method.
    """
    _check(part)
    control = decide_control(part, control_units, level)
    found = interval(units, part.regime, part.interval, level)
    verdict, reason = _verdict(part, found)
    if not control.shown:
        verdict, reason = NO_CONTROL, control.interval.reason or "the control shows what must be absent from it"
    margin = None if found.low is None or found.high is None else band(part.rule).distance(found.low, found.high)
    return PartDecision(
        part, found, margin, verdict, reason, _power(part, units, level), control,
        sentences.supported_if(part, level), sentences.refuted_if(part, level),
    )  # fmt: skip


def decide_control(part: Part, units: Sequence[Unit], level: float) -> ControlDecision:
    """Decide a part's control: ``absent`` inside its own rule, ``must_fail`` wholly outside the part's rule.

    Regime and interval method are the part's where the control names none.
    """
    control = part.control
    regime = control.regime or part.regime
    method = (control.interval or part.interval) if regime == "statistical" else None
    found = interval(units, regime, method, level)
    text = sentences.control_must(part, level)
    if found.low is None or found.high is None:
        return ControlDecision(found, None, False, text)
    if control.rule is not None:
        margin = band(control.rule).distance(found.low, found.high)
        return ControlDecision(found, margin, bool(band(control.rule).contains(found.low, found.high)), text)
    margin = band(part.rule).clearance(found.low, found.high)
    return ControlDecision(found, margin, band(part.rule).excludes(found.low, found.high), text)


def combine(parts: dict[str, PartDecision]) -> ClaimDecision:
    """Combine the parts of a claim: refuted if any part is, supported if all are, else inconclusive.

    What is inconclusive is ``inconclusive (control)`` if a control of it is not shown.
    """
    verdict = _joint(p.verdict for p in parts.values())
    named = {p.part.target for p in parts.values()}
    targets = {target: _joint(p.verdict for p in parts.values() if p.part.target == target) for target in sorted(named)}
    deciding = [name for name, p in parts.items() if p.verdict == verdict]
    return ClaimDecision(verdict, targets, min(deciding, key=lambda name: _least(parts[name].margin)))


def _joint(verdicts: Iterable[str]) -> str:
    given = list(verdicts)
    return next((v for v in (REFUTED, NO_CONTROL, INCONCLUSIVE) if v in given), SUPPORTED)


def _least(margin: float | None) -> float:
    return -math.inf if margin is None else margin


def _verdict(part: Part, found: Interval) -> tuple[str, str | None]:
    if found.low is None or found.high is None:
        return INCONCLUSIVE, found.reason
    if band(part.rule).contains(found.low, found.high):
        return SUPPORTED, None
    if part.refuted_if is None:
        refuted = band(part.rule).excludes(found.low, found.high)
    else:
        refuted = band(part.refuted_if).contains(found.low, found.high)
    return (
        (REFUTED, None) if refuted else (INCONCLUSIVE, "the interval lies neither where the rule wants it nor opposite")
    )


def _power(part: Part, units: Sequence[Unit], level: float) -> float | None:
    if part.power is None or part.interval is None:
        return None
    trials = [u.trials for u in units if u.trials is not None]
    sides = [[u for u in units if u.group == side] for side in {u.group for u in units}]
    fewest = min(len(independent(side)) for side in sides)
    return power.power(part.rule, part.power, part.interval, level, fewest, min(trials, default=None))


def _check(part: Part) -> None:
    if part.refuted_if is not None and not disjoint(band(part.rule), band(part.refuted_if)):
        raise SymbreakError(
            "'rule' and 'refuted_if' overlap: no number may support and refute; move one of them in claims.yaml"
        )

"""Holm's step-down over a paper's targets beside the fixed family level: a sensitivity, never the verdict."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.optimize import bisect
from statsmodels.stats.multitest import multipletests

from symbreak.claims.decide import SUPPORTED, PartDecision, combine
from symbreak.claims.evidence import Unit
from symbreak.claims.intervals import RESAMPLES, interval
from symbreak.claims.rules import band
from symbreak.config.registry import Part
from symbreak.errors import SymbreakError

SMALLEST = 1e-9  # 1 - alpha still has seven digits of alpha
SMALLEST_BCA = 10 / (RESAMPLES + 1)  # each tail holds five resamples
LARGEST = 1 - 1e-6
TOLERANCE = 1e-6  # of log p


@dataclass(frozen=True)
class TargetHolm:
    """A target of a paper under Holm's step-down.

    Attributes:
        target: Its name in the paper's catalogue.
        part: ``claim/part``, the statistical part with the greatest p-value.
        p: That p-value; a target is all its parts (an intersection-union test), so its least favourable part is its p.
        bound: Whether ``p`` is only an upper bound, the smallest alpha that was tried.
        family: ``p`` times the family size, at most 1: the fixed family level in terms of p.
        holm: Holm's adjusted p.
        verdict: At the fixed family level.
        holm_verdict: The same, but ``supported`` if ``holm`` is at most alpha and everything else of the target is as
            it must be: controls shown at the fixed level, parts that are not statistical supported.
    """

    target: str
    part: str
    p: float
    bound: bool
    family: float
    holm: float
    verdict: str
    holm_verdict: str


def p_value(part: Part, units: Sequence[Unit]) -> float:
    """Return the smallest alpha at which the registered interval at level 1 - alpha lies inside the part's rule.

    It is found by bisection on log alpha with the interval's own code, so that the part is supported (if its control
    is shown) exactly where p is at most alpha / family_size. This takes for granted that intervals are nested: wider at
    a higher level. They are two-sided: for a one-sided rule p is twice that of the one-sided test, for a band twice the
    greater p of the two one-sided tests.

    Args:
        part: The registry's entry, of regime ``statistical``.
        units: Its evidence.

    Returns:
        p; 1 where the interval lies inside at no alpha or cannot be made; ``smallest(part)`` where p is no greater.

    Raises:
        SymbreakError: The part is not statistical, or its units do not suit the interval.
    """
    if part.regime != "statistical":
        raise SymbreakError(f"a p-value needs regime 'statistical', found '{part.regime}': its intervals have no level")

    def inside(log_alpha: float) -> float:
        found = interval(units, part.regime, part.interval, 1 - math.exp(log_alpha))
        ends = (found.low, found.high)
        return 1.0 if None not in ends and bool(band(part.rule).contains(*ends)) else -1.0

    least, most = math.log(smallest(part)), math.log(LARGEST)
    if inside(most) < 0:
        return 1.0
    if inside(least) > 0:
        return smallest(part)
    return math.exp(float(bisect(inside, least, most, xtol=TOLERANCE)))


def smallest(part: Part) -> float:
    """Return the smallest alpha that is tried: for ``bca`` the one whose tails hold five resamples each."""
    return SMALLEST_BCA if part.interval == "bca" else SMALLEST


def step_down(p: Sequence[float], family_size: int) -> list[float]:
    """Return p-values adjusted by Holm (Scandinavian Journal of Statistics 6, 1979) for a family of a fixed size.

    Targets of the family that have no p-value count as p = 1, so that the others' do not change when they get one
    above theirs.

    Raises:
        SymbreakError: There are more p-values than the family has members.
    """
    if len(p) > family_size:
        raise SymbreakError(
            f"{len(p)} statistical targets, but 'family_size' is {family_size} in claims.yaml: it must count them all"
        )
    padded = [*p, *[1.0] * (family_size - len(p))]
    return [float(adjusted) for adjusted in multipletests(padded, method="holm")[1][: len(p)]]


def holm(
    decisions: Mapping[str, PartDecision], p: Mapping[str, float], alpha: float, family_size: int
) -> list[TargetHolm]:
    """Adjust the targets of one paper.

    Args:
        decisions: Decisions at the fixed family level on every part of every claim of the paper, by ``claim/part``.
        p: The p-value of each that is statistical, by the same name.
        alpha: The paper's alpha.
        family_size: The paper's family size.

    Returns:
        One row for every target with a statistical part, by its name.

    Raises:
        SymbreakError: There are more of them than ``family_size``.
    """
    worst = {}
    for name in sorted(p, key=lambda name: p[name]):
        worst[decisions[name].part.target] = name
    targets = sorted(worst)
    adjusted = step_down([p[worst[target]] for target in targets], family_size)
    verdicts = combine(dict(decisions)).targets if targets else {}
    rows = []
    for target, value in zip(targets, adjusted, strict=True):
        name = worst[target]
        others = _others_hold([d for d in decisions.values() if d.part.target == target])
        verdict = SUPPORTED if value <= alpha and others else verdicts[target]
        bound, family = p[name] == smallest(decisions[name].part), min(1.0, family_size * p[name])
        rows.append(TargetHolm(target, name, p[name], bound, family, value, verdicts[target], verdict))
    return rows


def _others_hold(decisions: Sequence[PartDecision]) -> bool:
    return all(d.control.shown and (d.part.regime == "statistical" or d.verdict == SUPPORTED) for d in decisions)

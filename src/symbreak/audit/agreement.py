"""Whether two independent draws of one quantity agree; the rule is in docs/audit.md, *Fresh seeds*."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from symbreak.audit.compare import within
from symbreak.audit.finding import Finding, holds, unchecked
from symbreak.audit.rebuild import units_of
from symbreak.claims.intervals import interval

COMPATIBLE, EQUIVALENT = "compatible", "equivalent"
FALSE_ALARMS = 0.05
"""How often an audit may find something incompatible by chance; shared out among its statistical comparisons."""
SEED = re.compile(r"\b(seed|order) \d+")
Ends = tuple[float, float, float]
"""Estimate, lower and upper end of an interval."""


def level(comparisons: int) -> float:
    """Return the level of each interval in an audit with so many statistical comparisons (Bonferroni)."""
    return 1 - FALSE_ALARMS / max(1, comparisons)


def difference(one: Ends, other: Ends) -> Ends:
    """Return the interval of the difference of two independent quantities, from an interval of each at its level.

    Zou and Donner's method of variance estimates recovery (Statistics in Medicine 27, 1693, 2008): the
    distance of each end from the estimate stands for the standard error on that side.
    """
    (e1, l1, u1), (e2, l2, u2) = one, other
    d = e1 - e2
    return d, d - math.hypot(e1 - l1, u2 - e2), d + math.hypot(u1 - e1, e2 - l2)


def agreement(
    file: str,
    key: str,
    pinned: Mapping[str, Any],
    computed: Mapping[str, Any],
    method: str,
    edges: float | None,
    confidence: float,
) -> Iterator[Finding]:
    """Compare a statistical part or control of two draws.

    Args:
        file: The claim file.
        key: The part or control in it.
        pinned: The pinned block of a claim file; its units are read.
        computed: The block of the fresh draw.
        method: The interval method that the registry names.
        edges: ``within`` of its rule, in the quantity's unit, if the rule has two edges.
        confidence: Level of the intervals.
    """
    if settings(pinned["units"]) != settings(computed["units"]):
        said = (
            f"{_listed(computed['units'])} was selected here, {_listed(pinned['units'])} in the pin: other quantities"
        )
        yield unchecked(COMPATIBLE, file, key, said)
        return
    found = [interval(units_of(block["units"]), "statistical", method, confidence) for block in (pinned, computed)]
    ends = [(i.estimate, i.low, i.high) for i in found if None not in (i.estimate, i.low, i.high)]
    if len(ends) < len(found):
        yield unchecked(COMPATIBLE, file, key, next(f"no interval: {i.reason}" for i in found if i.low is None))
        return
    (one, other), said = ends, f"at level {confidence:.6g}"
    gap = difference(one, other)  # type: ignore[arg-type]
    seen = abs(gap[0] - (gap[1] if gap[0] >= 0 else gap[2]))
    reason = f"a difference above {seen:.3g} would have been seen, {said}"
    yield replace(within(COMPATIBLE, file, key, one[0], other[0], seen), reason=reason)  # type: ignore[arg-type]
    if edges:
        yield _equivalent(file, key, gap, edges, said)


def settings(units: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the names of units without their seeds: what was measured, not on which draw."""
    return {SEED.sub(r"\1", unit["unit"]) for unit in units}


def _listed(units: Sequence[Mapping[str, Any]]) -> str:
    return f"'{'; '.join(sorted(settings(units)))}'"


def _equivalent(file: str, key: str, gap: Ends, edges: float, said: str) -> Finding:
    _, low, high = gap
    wanted, found = f"a difference inside [{-edges:.3g}, {edges:.3g}]", f"[{low:.3g}, {high:.3g}]"
    if low < -edges <= high or low <= edges < high:
        reason = f"the difference lies in {found}, {said}, and would have to be known to {edges:.3g}: too few seeds"
        return unchecked(EQUIVALENT, file, key, reason)
    inside = -edges <= low and high <= edges
    margin = 1 - max(abs(low), abs(high)) / edges
    return replace(holds(EQUIVALENT, file, key, inside, wanted, found, said), margin=margin, reason=said)

"""The set of numbers that a rule of the registry describes."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from symbreak.config.registry import Rule


@dataclass(frozen=True)
class Band:
    """The numbers from ``low`` to ``high``; an edge belongs to the band unless it is ``open``."""

    low: float = -math.inf
    high: float = math.inf
    open: bool = False

    def contains(self, low: Any, high: Any) -> Any:
        """Say whether the closed interval [low, high] lies wholly inside (arrays: element by element)."""
        if self.open:
            return (low > self.low) & (high < self.high)
        return (low >= self.low) & (high <= self.high)

    def excludes(self, low: float, high: float) -> bool:
        """Say whether the closed interval [low, high] has no number in common with the band."""
        return (high <= self.low or low >= self.high) if self.open else (high < self.low or low > self.high)

    def distance(self, low: float, high: float) -> float:
        """Return the signed distance between the closed interval [low, high] and the nearest edge of the band.

        Positive: the interval lies inside, by this much. Negative: it lies wholly outside, by this much, or, where an
        edge of the band runs through it, it juts out by this much.
        """
        if self.excludes(low, high):
            return 0.0 - self.clearance(low, high)
        return min(low - self.low, self.high - high)

    def clearance(self, low: float, high: float) -> float:
        """Return by how much the closed interval [low, high] lies clear of the band; negative if it reaches into it."""
        return max(self.low - high, low - self.high)


def band(rule: Rule) -> Band:
    """Return the band of a rule; ``equals: a, within: b`` is [a - b, a + b] of the decimals as they are written."""
    if rule.equals is not None and rule.within is not None:
        # In binary 0.1 - 0.01 is above 0.09, so that an interval that ends at the written edge would miss it.
        centre, half = Decimal(repr(rule.equals)), Decimal(repr(rule.within))
        return Band(float(centre - half), float(centre + half))
    if rule.at_least is not None:
        return Band(low=rule.at_least)
    if rule.at_most is not None:
        return Band(high=rule.at_most)
    if rule.above is not None:
        return Band(low=rule.above, open=True)
    assert rule.below is not None
    return Band(high=rule.below, open=True)


def disjoint(one: Band, other: Band) -> bool:
    """Say whether no number lies in both bands."""
    low, high = max(one.low, other.low), min(one.high, other.high)
    return low > high or (low == high and (one.open or other.open))

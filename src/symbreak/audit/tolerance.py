"""How far a number of a claim may move when it is computed again, on another machine or with other code."""

from collections.abc import Mapping
from typing import Any

from symbreak.claims.rules import band
from symbreak.config.registry import Rule


def tolerance(block: Mapping[str, Any], rule: Mapping[str, float]) -> tuple[float, str]:
    """Return the tolerance of a pinned interval's numbers, in their unit, and what it is.

    A rule with two edges says itself what counts as equal: ``within``. Of a rule with one edge, a statistical number
    may move by half its interval. Regimes exact and numeric have no sampling error, the hull of a rounding error says
    nothing: there a number may move as far as the rule's edge is away.

    Args:
        block: A part or a control of a claim file.
        rule: The rule that it is decided by, as pinned.
    """
    if rule.get("within"):
        return rule["within"], "within of the rule"
    low, high = block["low"], block["high"]
    if low is None or high is None:
        return 0.0, "equality, for the pinned one has no interval"
    if block["regime"] == "statistical":
        return (high - low) / 2, "half the pinned interval"
    return abs(band(Rule.model_validate(dict(rule))).distance(low, high)), "distance to the rule's edge"

"""The evidence made again against the pinned claim file, number by number."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from symbreak.audit.compare import Tolerance, exactly, leaves
from symbreak.audit.figures_alike import Alike
from symbreak.audit.finding import Finding
from symbreak.audit.pin import Pin
from symbreak.audit.tolerance import tolerance
from symbreak.claims.rules import band
from symbreak.config.registry import Rule

CHECK = "evidence"
ROUNDING = 1e-9
"""Of the largest number that a number is a sum or difference of: another processor may sum in another order, which
moves the last digits (2.2e-16 each), and a fit amplifies that."""
MEASURED = re.compile(
    r"claim_file(?P<block>\.parts\.[^.]+(?:\.control)?)?\.(?:estimate|low|high|margin|units\[\d+\]\.(?:value|error))"
)
UNIT = re.compile(r"(?P<units>.+\.units)\[\d+\]\.\w+")


def evidence(pin: Pin, again: dict[str, Any], how: Alike) -> Iterator[Finding]:
    """Compare the claim file made again with the pinned one; units that are equal to the last digit are one finding."""
    pinned = dict(pin.content["claim_file"])
    equal_units: Counter[str] = Counter()
    for finding in leaves(CHECK, pin.path, "claim_file", again, pinned, _tolerance(pinned, how)):
        unit = UNIT.fullmatch(finding.key)
        if unit and finding.state == "passed" and finding.margin in (None, 1.0):
            equal_units[unit["units"]] += 1
        elif finding.state == "failed" or finding.margin not in (None, 1.0):
            yield replace(finding, reason=how.reason)
        else:
            yield finding
    for key, count in equal_units.items():
        yield Finding(CHECK, pin.path, key, "passed", found=f"{count} values equal to the last digit")


def _tolerance(pinned: dict[str, Any], how: Alike) -> Tolerance:
    """Equality of what the same machine gives, rounding of the same code's, else what the claim itself tolerates."""
    if how.level == "same":
        return exactly
    allowed: dict[str, float] = {}
    for name, part in pinned["parts"].items():
        for key, block in ((f".parts.{name}", part), (f".parts.{name}.control", part["control"])):
            rule = block["rule"] or part["rule"]
            allowed[key] = _rounding(block, rule) if how.level == "rounding" else tolerance(block, rule)[0]
    of_claim = allowed[f".parts.{pinned['deciding']}"]

    def measured(key: str, value: float) -> float:
        found = MEASURED.fullmatch(key)
        if found is None:
            return ROUNDING * abs(value) if key.endswith(".power") else 0.0
        block = of_claim if found["block"] is None else allowed.get(found["block"], 0.0)
        return max(block, ROUNDING * abs(value)) if how.level == "rounding" else block

    return measured


def _rounding(block: dict[str, float | None], rule: dict[str, float]) -> float:
    allowed = band(Rule.model_validate(rule))
    ends = [end for end in (block["low"], block["high"], allowed.low, allowed.high) if end is not None]
    return ROUNDING * max((abs(end) for end in ends if math.isfinite(end)), default=0.0)

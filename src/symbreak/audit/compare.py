"""Two trees of JSON values, leaf by leaf."""

import math
from collections.abc import Callable, Iterator
from typing import Any

from symbreak.audit.finding import ABSENT, Finding, equal

Tolerance = Callable[[str, float], float]
"""From a leaf's key and its expected value to how far the found value may lie from it."""


def exactly(_key: str, _value: float) -> float:
    """Allow no difference at all."""
    return 0.0


def within(check: str, file: str, key: str, expected: float, found: float, tolerance: float) -> Finding:
    """Compare two numbers up to a tolerance >= 0, in their unit."""
    difference = abs(expected - found)
    left = (1.0 if difference == 0 else -math.inf) if tolerance == 0 else 1 - difference / tolerance
    finite = left if math.isfinite(left) else None
    return Finding(check, file, key, "passed" if left >= 0 else "failed", expected, found, finite)


def leaves(
    check: str, file: str, key: str, expected: Any, found: Any, tolerance: Tolerance = exactly
) -> Iterator[Finding]:
    """Compare two JSON values and report one finding a leaf, with keys as ``a.b[3].c``.

    A key on one side only is a failure. Numbers with a fraction are compared up to the tolerance of their key, all
    other leaves exactly.

    Args:
        check: The name of the check.
        file: The file that ``found`` is from.
        key: The key of both values in it.
        expected: What it should hold.
        found: What it holds.
        tolerance: How far a number may be off.
    """
    if isinstance(expected, dict) and isinstance(found, dict):
        for name in sorted(expected.keys() | found.keys()):
            below = f"{key}.{name}" if key else name
            yield from leaves(check, file, below, expected.get(name, ABSENT), found.get(name, ABSENT), tolerance)
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for i, (one, other) in enumerate(zip(expected, found, strict=True)):
            yield from leaves(check, file, f"{key}[{i}]", one, other, tolerance)
    elif isinstance(expected, float) and isinstance(found, float) and (allowed := tolerance(key, expected)):
        yield within(check, file, key, expected, found, allowed)
    else:
        yield equal(check, file, key, expected, found)


def differing(check: str, file: str, key: str, expected: Any, found: Any, reason: str = "") -> Iterator[Finding]:
    """Compare two JSON values exactly: one finding if they are equal, else one for every leaf that differs."""
    failed = [f for f in leaves(check, file, key, expected, found) if f.state == "failed"]
    if failed:
        yield from (Finding(f.check, f.file, f.key, "failed", f.expected, f.found, reason=reason) for f in failed)
    else:
        yield Finding(check, file, key, "passed")

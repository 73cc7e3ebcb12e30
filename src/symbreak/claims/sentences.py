"""Sentences about a decision, generated from its rule so that what people read cannot differ from what is decided."""

import math
from typing import Any

from symbreak.claims.rules import Band, band
from symbreak.config.registry import Part


def number(value: float) -> str:
    """Write a number as short as it can be without losing a digit: ``0.99``, ``1e-06``, ``5``."""
    return repr(float(value)).removesuffix(".0")


def rounded(value: float, digits: int = 3) -> str:
    """Write a measured number with a few significant digits."""
    return f"{value:.{digits}g}"


def percent(level: float) -> str:
    """Write a confidence level: ``99.88 %``."""
    return f"{100 * level:.2f} %"


def supported_if(part: Part, level: float) -> str:
    """Say what makes a part supported: "Supported if the whole 99.88 % interval of Q is at least 0.99."."""
    return f"Supported if {_whole(part.quantity, part.regime, level)} {_lies(band(part.rule))}."


def refuted_if(part: Part, level: float) -> str:
    """Say what would refute a part: its own ``refuted_if``, or lying wholly outside the rule."""
    where = _lies(band(part.refuted_if)) if part.refuted_if is not None else _lies_outside(band(part.rule))
    return f"Refuted if {_whole(part.quantity, part.regime, level)} {where}."


def control_must(part: Part, level: float) -> str:
    """Say what the control must show before the part is looked at."""
    control = part.control
    subject = _whole(control.quantity, control.regime or part.regime, level)
    if control.rule is not None:
        return f"The control is shown if {subject} {_lies(band(control.rule))}."
    return f"The control is shown if the claim's own rule fails there: {subject} {_lies_outside(band(part.rule))}."


def outcome(evidence: dict[str, Any]) -> str:
    """Say in one line how a claim was decided.

    Args:
        evidence: A claim file, or anything with its keys ``verdict``, ``margin``, ``n``, ``control``, ``underpowered``.

    Returns:
        For instance ``supported (underpowered) | margin 0.0012 | n = 8 | control shown``.
    """
    margin = "no margin" if evidence["margin"] is None else f"margin {rounded(evidence['margin'], 2)}"
    return f"{verdict_words(evidence)}  |  {margin}  |  n = {evidence['n']}  |  control {evidence['control']}"


def verdict_words(evidence: dict[str, Any]) -> str:
    """Return the verdict, marked where the claim is underpowered."""
    return str(evidence["verdict"]) + (" (underpowered)" if evidence["underpowered"] else "")


def _whole(quantity: str, regime: str, level: float) -> str:
    if regime == "statistical":
        return f"the whole {percent(level)} interval of {quantity}"
    return f"{quantity}, in every unit and with its numerical error,"


def _lies(b: Band) -> str:
    if math.isinf(b.high):
        return f"is {'above' if b.open else 'at least'} {number(b.low)}"
    if math.isinf(b.low):
        return f"is {'below' if b.open else 'at most'} {number(b.high)}"
    if b.low == b.high:
        return f"equals {number(b.low)}"
    return f"lies between {number(b.low)} and {number(b.high)}"


def _lies_outside(b: Band) -> str:
    if math.isinf(b.high):
        return f"is {'at most' if b.open else 'below'} {number(b.low)}"
    if math.isinf(b.low):
        return f"is {'at least' if b.open else 'above'} {number(b.high)}"
    if b.low == b.high:
        return f"differs from {number(b.low)}"
    return f"lies wholly below {number(b.low)} or wholly above {number(b.high)}"

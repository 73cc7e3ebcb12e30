"""Every derived number, verdict and sentence of a pinned claim file against what its stored units give."""

import math
from collections.abc import Iterator
from typing import Any

from symbreak.audit.compare import Tolerance, leaves
from symbreak.audit.finding import Finding, holds
from symbreak.audit.pin import Pin
from symbreak.audit.pin_shape import PinnedClaim
from symbreak.audit.project import Project
from symbreak.audit.rebuild import STORED, rebuild
from symbreak.claims.rules import band
from symbreak.config.registry import Rule
from symbreak.errors import SymbreakError

CHECK = "recomputed"
RELATIVE = 1e-12
"""A number made again by the same code may differ by this share of the numbers that it is a difference of: another
processor may sum in another order, which moves the last digits (2.2e-16 each)."""


def numbers(project: Project, pin: Pin) -> Iterator[Finding]:
    """Decide a claim again on its stored units by the registry of the working tree, and compare leaf by leaf."""
    claim_file, entry = pin.content["claim_file"], project.plan.claims[pin.claim]
    paper = project.plan.configuration.registry.papers[entry.paper]
    try:
        expected = rebuild(claim_file, pin.claim, entry, paper) | {"scale": project.plan.scale}
    except SymbreakError as error:
        yield holds(CHECK, pin.path, "claim_file.parts", False, "units that can be decided on", str(error))
        return
    yield from leaves(CHECK, pin.path, "claim_file", expected, _derived(claim_file), _tolerance(expected))


def _derived(claim_file: PinnedClaim) -> dict[str, Any]:
    """The claim file without units and without what does not follow from them."""
    parts = {
        key: {k: v for k, v in part.items() if k != "units"}
        | {"control": {k: v for k, v in part["control"].items() if k != "units"}}
        for key, part in claim_file["parts"].items()
    }
    kept = {k: v for k, v in claim_file.items() if k not in STORED or k == "scale"}
    return kept | {"parts": parts}


def _tolerance(expected: dict[str, Any]) -> Tolerance:
    """Ends of an interval are sums of numbers as large as the larger end, margins differences of ends and edges."""
    scales: dict[str, float] = {}
    for key, part in expected["parts"].items():
        control = part["control"]
        scales |= _scales(f"claim_file.parts.{key}", part, part["rule"])
        scales |= _scales(f"claim_file.parts.{key}.control", control, control["rule"] or part["rule"])
    scales["claim_file.margin"] = scales[f"claim_file.parts.{expected['deciding']}.margin"]
    return lambda key, value: RELATIVE * max(abs(value), scales.get(key, 0.0))


def _scales(prefix: str, block: dict[str, Any], rule: dict[str, float]) -> dict[str, float]:
    ends = max((abs(block[end]) for end in ("low", "high") if block[end] is not None), default=0.0)
    allowed = band(Rule.model_validate(rule))
    edges = [abs(edge) for edge in (allowed.low, allowed.high) if math.isfinite(edge)]
    return {f"{prefix}.{key}": ends for key in ("estimate", "low", "high")} | {f"{prefix}.margin": max(ends, *edges)}

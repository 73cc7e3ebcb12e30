"""The derived numbers of a claim file, made again from its stored units and the registry.

This is a second reading of docs/developing.md, on purpose not the one of ``claims.run``: a number that the job wrote
under a wrong key differs here.
"""

import math
from typing import Any

from symbreak.audit.pin_shape import PinnedClaim, PinnedUnit
from symbreak.claims.decide import ControlDecision, PartDecision, combine, decide
from symbreak.claims.evidence import Unit
from symbreak.claims.intervals import Interval
from symbreak.config.registry import Claim, PaperEntry, Rule
from symbreak.errors import SymbreakError
from symbreak.provenance.registration import entry_sha256

STORED = ("scale", "diverged")
"""Keys of a claim file that do not follow from units and registry; other checks look at them."""


def rebuild(pinned: PinnedClaim, name: str, entry: Claim, paper: PaperEntry) -> dict[str, Any]:
    """Decide a claim again on the units that its file stores.

    Args:
        pinned: The claim file; only ``units`` of its parts and their controls are read.
        name: The claim's id.
        entry: Its entry in the registry.
        paper: The entry of its paper, for the level.

    Returns:
        The claim file without ``units`` and without the keys of ``STORED``.

    Raises:
        SymbreakError: A part of the registry has no units in the file, or its units cannot be decided on.
    """
    level = 1 - paper.alpha / paper.family_size
    decisions: dict[str, PartDecision] = {}
    for key, part in entry.parts.items():
        if key not in pinned["parts"]:
            raise SymbreakError(f"the claim file has no part '{key}', which claims.yaml has")
        found = pinned["parts"][key]
        decisions[key] = decide(part, units_of(found["units"]), units_of(found["control"]["units"]), level)
    joint = combine(decisions)
    deciding = decisions[joint.deciding]
    return {
        "claim": name,
        "paper": entry.paper,
        "statement": entry.statement,
        "source": entry.source,
        "targets": joint.targets,
        "verdict": joint.verdict,
        "deciding": joint.deciding,
        "margin": deciding.margin,
        "n": deciding.interval.n,
        "control": "shown" if all(d.control.shown for d in decisions.values()) else "not shown",
        "underpowered": any(d.underpowered for d in decisions.values()),
        "entry_sha256": entry_sha256(entry),
        "parts": {key: _part(decision) for key, decision in decisions.items()},
    }


def units_of(stored: list[PinnedUnit]) -> list[Unit]:
    """Return the units that a claim file stores; a null value is one that was not finite."""
    finite = [dict(unit) | ({} if unit["value"] is not None else {"value": math.nan}) for unit in stored]
    return [Unit(**unit) for unit in finite]  # type: ignore[arg-type]


def _part(decision: PartDecision) -> dict[str, Any]:
    part = decision.part
    return _interval(decision.interval) | {
        "target": part.target,
        "quantity": part.quantity,
        "regime": part.regime,
        "unit": part.unit,
        "basis": part.basis,
        "rule": _rule(part.rule),
        "refuted_if": _rule(part.refuted_if),
        "rule_text": decision.supported_text,
        "refuted_text": decision.refuted_text,
        "margin": decision.margin,
        "verdict": decision.verdict,
        "reason": decision.reason,
        "power": decision.power,
        "underpowered": decision.underpowered,
        "control": _control(decision, decision.control),
    }


def _control(decision: PartDecision, control: ControlDecision) -> dict[str, Any]:
    entry = decision.part.control
    return _interval(control.interval) | {
        "quantity": entry.quantity,
        "kind": entry.kind,
        "regime": entry.regime or decision.part.regime,
        "rule": _rule(entry.rule),
        "rule_text": control.text,
        "margin": control.margin,
        "shown": control.shown,
        "reason": control.interval.reason,
    }


def _interval(found: Interval) -> dict[str, Any]:
    ends = {"estimate": found.estimate, "low": found.low, "high": found.high}
    return ends | {"method": found.method, "level": found.level, "n": found.n, "clusters": found.clusters}


def _rule(rule: Rule | None) -> dict[str, float] | None:
    return None if rule is None else rule.model_dump(exclude_none=True)

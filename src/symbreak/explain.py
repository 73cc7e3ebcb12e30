"""Everything about one claim in words: statement, rule, control, numbers, and the file and hash of all it rests on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from symbreak.claims.sentences import control_must, refuted_if, rounded, supported_if, verdict_words
from symbreak.config.registry import Claim, Part
from symbreak.config.strict import nearest
from symbreak.errors import SymbreakError
from symbreak.files import sha256
from symbreak.plan import Plan, Step
from symbreak.provenance.freshness import Freshness, freshness
from symbreak.status import read_claim_file


def explain(plan: Plan, name: str, root: Path) -> str:
    """Explain one claim at the plan's scale.

    Args:
        plan: All artifacts of the scale.
        name: The claim's id.
        root: The project's root folder.

    Returns:
        Some lines of text.

    Raises:
        SymbreakError: There is no such claim.
    """
    if name not in plan.claims:
        raise SymbreakError(f"There is no claim '{name}' in claims.yaml{nearest(name, list(plan.claims))}.")
    evidence = read_claim_file(root / plan.claim(name).path)
    head = _head(plan, name, freshness(plan, name, root), evidence)
    return "\n".join([*head, *_parts(plan, plan.claims[name], evidence), *_files(plan, name, root)])


def _head(plan: Plan, name: str, fresh: Freshness, evidence: dict[str, Any] | None) -> Iterator[str]:
    claim = plan.claims[name]
    yield f"{name} ({', '.join(claim.targets)} of {plan.configuration.registry.papers[claim.paper].title})"
    yield f"  {claim.statement}"
    yield f"  Source: {claim.source}"
    yield f"  At scale {plan.scale}: {verdict_words(evidence) if evidence else 'not computed'}; {fresh.state}"
    if fresh.reason:
        yield f"  {fresh.reason}"
    for amendment in claim.amended:
        yield f"  Amended: part '{amendment.part}', {amendment.reason}"


def _parts(plan: Plan, claim: Claim, evidence: dict[str, Any] | None) -> Iterator[str]:
    paper = plan.configuration.registry.papers[claim.paper]
    for key, part in claim.parts.items():
        yield ""
        yield f"Part {key}, target {part.target}, {part.regime}"
        yield from (f"  {line}" for line in _rules(part, 1 - paper.alpha / paper.family_size))
        yield f"  Basis: {part.basis}"
        if evidence:
            yield from (f"  {line}" for line in _numbers(evidence["parts"][key]))


def _rules(part: Part, level: float) -> list[str]:
    return [control_must(part, level), supported_if(part, level), refuted_if(part, level)]


def _numbers(part: dict[str, Any]) -> Iterator[str]:
    control = part["control"]
    yield f"Control: {_interval(control)}: {'shown' if control['shown'] else 'not shown'}"
    yield f"Measured: {_interval(part)}: {verdict_words(part)}"
    if part["reason"]:
        yield f"Because: {part['reason']}"
    if part["power"] is not None:
        yield f"Power: {rounded(part['power'], 2)} for the effect that the basis names"


def _interval(found: dict[str, Any]) -> str:
    who = f"n = {found['n']}" + (f" in {found['clusters']} clusters" if found["clusters"] is not None else "")
    if found["low"] is None:
        return f"{found['quantity']}: no interval ({found['method']}, {who}; {found['reason']})"
    ends = f"[{rounded(found['low'], 6)}, {rounded(found['high'], 6)}]"
    return f"{found['quantity']} {rounded(found['estimate'], 6)} in {ends} ({found['method']}, {who})"


def _files(plan: Plan, name: str, root: Path) -> Iterator[str]:
    claim, steps = plan.claims[name], {step.path: step for step in plan.steps()}
    tables = plan.tables(name)
    above = sorted({path for table in tables for path in table.inputs})
    sets = sorted(
        {path for run in above for path in steps[run].inputs} | {path for path in above if path.startswith("data/")}
    )
    groups = {
        "data": [steps[path] for path in sets],
        f"runs of {claim.experiment}": [steps[path] for path in above if path not in sets],
        "tables": tables,
        "claim file": [plan.claim(name)],
        "figure": [plan.figure(name)],
    }
    yield ""
    for title, members in groups.items():
        yield from (f"  {title}: {_file(step, root)}" for step in members)


def _file(step: Step, root: Path) -> str:
    path = root / step.path
    return f"{step.path}  sha256 {sha256(path)[:16]}" if path.is_file() else f"{step.path}  (not here)"

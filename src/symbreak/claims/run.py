"""The claim job: ``python -m symbreak.claims.run --claim ID --params JSON --code FP --tables DIR --out ID.json``."""

import argparse
import hashlib
import importlib.util
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from symbreak.claims.decide import ControlDecision, PartDecision, combine, decide
from symbreak.claims.evidence import Unit
from symbreak.claims.intervals import Interval
from symbreak.claims.tables import Tables
from symbreak.config.load import evidence_module
from symbreak.config.registry import Amendment, Paper, Part, Rule
from symbreak.config.strict import Strict
from symbreak.errors import SymbreakError
from symbreak.files import canonical, write_json
from symbreak.provenance.job import job


class Family(Strict):
    """What of a paper's entry decides the level of its intervals: 1 - alpha / family_size."""

    alpha: float
    family_size: int

    @property
    def level(self) -> float:
        """Confidence level of every interval of the paper (Bonferroni over its statistical targets)."""
        return 1 - self.alpha / self.family_size


class DecidedEntry(Strict):
    """What of a claim's registry entry its decision rests on: all but ``figure`` and ``caption``."""

    paper: Paper
    targets: tuple[str, ...]
    statement: str
    source: str
    experiment: str
    probes: tuple[str, ...]
    parts: dict[str, Part]
    amended: tuple[Amendment, ...] = ()

    @property
    def sha256(self) -> str:
        """The sha256 of its canonical JSON, defaults written out."""
        return hashlib.sha256(canonical(self.model_dump(mode="json")).encode()).hexdigest()


class ClaimJob(Strict):
    """The parameters of a claim job: entry, family, and the seeds that each arm of its experiment was asked to run."""

    claim: DecidedEntry
    paper: Family
    scale: str
    experiment: str
    seeds: dict[str, tuple[int, ...]]


def main(argv: Sequence[str] | None = None) -> None:
    """Decide one claim and write its claim file with manifest and run file."""
    args = _arguments(argv)
    asked = ClaimJob.model_validate_json(args.params)
    tables = Tables(args.tables, asked.experiment, sorted(asked.seeds))
    module = evidence_module(asked.claim.paper, args.claim)
    with job(
        artifact=args.out,
        kind="claim",
        entry="symbreak.claims.run",
        modules=(module,),
        planned=args.code,
        params=json.loads(args.params),
        inputs=table_inputs(tables, asked.claim.probes),
        threads=1,
    ) as record:
        result = judge(args.claim, asked, tables)
        write_json(args.out, finite(result))
        record.note(claim=args.claim, diverged=result["diverged"])


def judge(name: str, asked: ClaimJob, tables: Tables) -> dict[str, Any]:
    """Compute the content of a claim file (see docs/developing.md), non-finite numbers still in it.

    Args:
        name: The claim's id.
        asked: Entry, family and seeds.
        tables: The tables of its experiment.

    Raises:
        SymbreakError: An evidence function is missing or does not return units, or they do not suit the interval.
    """
    claim, level = asked.claim, asked.paper.level
    module = evidence_module(claim.paper, name)
    parts: dict[str, PartDecision] = {}
    units: dict[str, tuple[list[Unit], list[Unit]]] = {}
    for key, part in claim.parts.items():
        units[key] = (evidence(module, part.evidence, tables), evidence(module, part.control.evidence, tables))
        try:
            parts[key] = decide(part, *units[key], level)
        except SymbreakError as error:
            raise SymbreakError(f"claim '{name}', part '{key}': {error}") from None
    decision = combine(parts)
    deciding = parts[decision.deciding]
    return {
        "claim": name,
        "paper": claim.paper,
        "scale": asked.scale,
        "statement": claim.statement,
        "source": claim.source,
        "targets": decision.targets,
        "verdict": decision.verdict,
        "deciding": decision.deciding,
        "margin": deciding.margin,
        "n": deciding.interval.n,
        "control": _shown(all(p.control.shown for p in parts.values())),
        "diverged": tables.lost(claim.probes, asked.seeds),
        "underpowered": any(p.underpowered for p in parts.values()),
        "entry_sha256": claim.sha256,
        "parts": {key: _part(parts[key], *units[key]) for key in parts},
    }


def evidence(module: str, function: str, tables: Tables) -> list[Unit]:
    """Call one evidence function.

    Raises:
        SymbreakError: The module or function does not exist, or it returns something else than a list of units.
    """
    if importlib.util.find_spec(module) is None:
        raise SymbreakError(
            f"there is no module '{module}'; write it, with a function for each 'evidence' of the claim"
        )
    found = getattr(importlib.import_module(module), function, None)
    if found is None:
        raise SymbreakError(f"module '{module}' has no function '{function}', which claims.yaml names as evidence")
    units = found(tables)
    if not isinstance(units, list) or not all(isinstance(u, Unit) for u in units):
        raise SymbreakError(f"'{module}.{function}' must return a list of Unit (symbreak.claims.evidence)")
    return units


def table_inputs(tables: Tables, probes: Sequence[str]) -> dict[str, Path]:
    """Return every table that a claim may read, by the name ``arm/probe`` that it has in the manifest.

    Raises:
        SymbreakError: A table is missing.
    """
    paths = {f"{arm}/{probe}": tables.path(arm, probe) for arm in tables.arms for probe in probes}
    missing = [str(path) for path in paths.values() if not path.is_file()]
    if missing:
        raise SymbreakError(
            f"missing probe tables: {', '.join(missing)}; compute them with 'snakemake --cores 8 {missing[0]} ...'"
        )
    return paths


def finite(value: Any) -> Any:
    """Replace numbers that JSON cannot hold by null (a part's ``reason`` says where units are not finite)."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _part(decision: PartDecision, units: Sequence[Unit], control_units: Sequence[Unit]) -> dict[str, Any]:
    part = decision.part
    return {
        "target": part.target,
        "quantity": part.quantity,
        "regime": part.regime,
        "unit": part.unit,
        **_interval(decision.interval, units),
        "rule": _rule(part.rule),
        "refuted_if": None if part.refuted_if is None else _rule(part.refuted_if),
        "rule_text": decision.supported_text,
        "refuted_text": decision.refuted_text,
        "basis": part.basis,
        "margin": decision.margin,
        "verdict": decision.verdict,
        "reason": decision.reason,
        "power": decision.power,
        "underpowered": decision.underpowered,
        "control": _control(decision, decision.control, control_units),
    }


def _control(decision: PartDecision, control: ControlDecision, units: Sequence[Unit]) -> dict[str, Any]:
    entry = decision.part.control
    return {
        "quantity": entry.quantity,
        "kind": entry.kind,
        "regime": entry.regime or decision.part.regime,
        **_interval(control.interval, units),
        "rule": None if entry.rule is None else _rule(entry.rule),
        "rule_text": control.text,
        "margin": control.margin,
        "shown": control.shown,
        "reason": control.interval.reason,
    }


def _interval(found: Interval, units: Sequence[Unit]) -> dict[str, Any]:
    keys = ("method", "level", "estimate", "low", "high", "n", "clusters")
    return {key: getattr(found, key) for key in keys} | {"units": [_unit(u) for u in units]}


def _unit(unit: Unit) -> dict[str, Any]:
    return {key: getattr(unit, key) for key in ("unit", "cluster", "value", "count", "trials", "group", "error")}


def _rule(rule: Rule) -> dict[str, float]:
    return rule.model_dump(exclude_none=True)


def _shown(shown: bool) -> str:
    return "shown" if shown else "not shown"


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m symbreak.claims.run", description=main.__doc__)
    parser.add_argument("--claim", required=True, help="the claim's id in claims.yaml")
    parser.add_argument("--params", required=True, help="entry, family, scale, experiment, seeds: JSON of a ClaimJob")
    parser.add_argument("--code", required=True, help="code fingerprint planned for this job")
    parser.add_argument("--tables", type=Path, required=True, help="the folder results/SCALE/probes")
    parser.add_argument("--out", type=Path, required=True, help="the claim file to write, ID.json")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()

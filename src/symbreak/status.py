"""What is known about every claim and every target: verdict, margin, n, control, freshness, and the reason in words."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from symbreak.claims.sentences import rounded, verdict_words
from symbreak.config.registry import Registry
from symbreak.errors import SymbreakError
from symbreak.provenance.freshness import Freshness

NOT_REGISTERED = "not registered"
COLOURS = {"supported": "green", "refuted": "red", "fresh": "green", "stale": "yellow", "tainted": "red"}


@dataclass(frozen=True)
class Row:
    """One line of the status: a claim, or with ``target`` one target of a paper's catalogue.

    ``verdict``, ``margin``, ``n`` and ``control`` are null where nothing is computed; ``id`` is null and ``verdict``
    ``not registered`` for a target that no claim decides; ``figure`` is its path if it has been drawn.
    """

    id: str | None
    paper: str
    verdict: str | None = None
    margin: float | None = None
    n: int | None = None
    control: str | None = None
    freshness: str | None = None
    figure: str | None = None
    underpowered: bool = False
    reason: str = ""
    target: str | None = None


def rows(registry: Registry, scale: str, root: Path, freshness: Callable[[str], Freshness]) -> list[Row]:
    """Return one row a claim, in the registry's order, from the claim files under ``root/results/SCALE/claims``.

    Args:
        registry: The registry of claims.
        scale: ``smoke``, ``desk`` or ``paper``.
        root: The project's root folder.
        freshness: Judges a claim by its id.

    Raises:
        SymbreakError: A claim file cannot be read.
    """
    return [_claim_row(_empty(registry, c, scale, root, freshness(c)), scale, root) for c in registry.claims]


def target_rows(registry: Registry, scale: str, root: Path, freshness: Callable[[str], Freshness]) -> list[Row]:
    """Return one row for every target of every catalogue and claim that decides it, ``not registered`` where none does.

    Arguments and errors are those of ``rows``.
    """
    empty = {c: _empty(registry, c, scale, root, freshness(c)) for c in registry.claims}
    found: list[Row] = []
    for paper, entry in registry.papers.items():
        for target in entry.targets:
            own = [c for c, claim in registry.claims.items() if claim.paper == paper and target in claim.targets]
            found += [_target_row(empty[c], target, scale, root) for c in own]
            found += [] if own else [Row(None, paper, NOT_REGISTERED, target=target)]
    return found


def pinned_rows(registry: Registry, scale: str, root: Path) -> list[Row]:
    """Return one row a claim from what the repository has pinned, without freshness."""
    pins = {name: read_claim_file(root / _pin(scale, name)) for name in registry.claims}
    empty = {name: Row(name, claim.paper) for name, claim in registry.claims.items()}
    return [_filled(empty[name], pin["claim_file"]) if pin else empty[name] for name, pin in pins.items()]


def read_claim_file(path: Path) -> dict[str, Any] | None:
    """Read a claim file or a pin; null if there is none.

    Raises:
        SymbreakError: It is not a JSON object.
    """
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise SymbreakError(f"{path}: not JSON ({error}); delete it and compute the claim again.") from None
    if not isinstance(content, dict):
        raise SymbreakError(f"{path}: expected a JSON object; delete it and compute the claim again.")
    return content


def as_json(lines: Sequence[Row]) -> str:
    """Return the rows as a JSON list of objects; ``target`` is there only in rows of targets."""
    return json.dumps([{k: v for k, v in asdict(r).items() if k != "target" or v is not None} for r in lines], indent=2)


def show(lines: Sequence[Row], console: Console) -> None:
    """Print the rows as a table: on a terminal folded to its width, in a plain log as wide as it needs."""
    by_target = any(row.target for row in lines)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in [*(["target"] if by_target else []), "claim", "verdict", "margin", "n", "control", "freshness"]:
        table.add_column(name, no_wrap=True, justify="right" if name in ("margin", "n") else "left")
    table.add_column("reason", overflow="fold", ratio=1 if console.is_terminal else None)
    for row in lines:
        table.add_row(*([f"{row.paper} {row.target}"] if by_target else []), *map(_coloured, _cells(row)))
    if not console.is_terminal:
        console.width = max(
            console.width, Measurement.get(console, console.options.update(width=10_000), table).maximum
        )
    console.print(table)


def markdown(lines: Sequence[Row], statements: Mapping[str, str]) -> str:
    """Return the rows as a Markdown table with the claims' statements, by id."""
    head = ["| claim | statement | verdict | margin | n | control |", "| --- | --- | --- | ---: | ---: | --- |"]
    said = {name: statement.replace("|", "\\|") for name, statement in statements.items()}
    body = [f"| `{row.id}` | {said[str(row.id)]} | {' | '.join(_cells(row)[1:5])} |" for row in lines]
    return "\n".join(head + body)


def _empty(registry: Registry, name: str, scale: str, root: Path, fresh: Freshness) -> Row:
    picture = f"figures/{scale}/{name}.svg"
    drawn = picture if (root / picture).is_file() else None
    return Row(name, registry.claims[name].paper, freshness=fresh.state, figure=drawn, reason=fresh.reason)


def _claim_row(empty: Row, scale: str, root: Path) -> Row:
    evidence = read_claim_file(root / _path(scale, str(empty.id)))
    if evidence is not None:
        return _filled(empty, evidence)
    path = _pin(scale, str(empty.id))
    pin = read_claim_file(root / path)
    if pin is None:
        return empty
    return replace(empty, reason=f"{empty.reason}; {path} has: {verdict_words(pin['claim_file'])}")


def _filled(row: Row, evidence: Mapping[str, Any]) -> Row:
    known = {key: evidence[key] for key in ("verdict", "margin", "n", "control", "underpowered")}
    why = evidence["parts"][evidence["deciding"]]["reason"]
    return replace(row, **known, reason="; ".join(filter(None, [row.reason, why, _lost(evidence["diverged"])])))


def _target_row(empty: Row, target: str, scale: str, root: Path) -> Row:
    evidence = read_claim_file(root / _path(scale, str(empty.id)))
    if evidence is None:
        return replace(_claim_row(empty, scale, root), target=target)
    verdict = evidence["targets"][target]
    parts = [part for part in evidence["parts"].values() if part["target"] == target]
    same = [part for part in parts if part["verdict"] == verdict]
    deciding = min(same, key=lambda part: -math.inf if part["margin"] is None else part["margin"])
    return replace(
        empty,
        target=target,
        verdict=verdict,
        margin=deciding["margin"],
        n=deciding["n"],
        control="shown" if all(part["control"]["shown"] for part in parts) else "not shown",
        underpowered=any(part["underpowered"] for part in parts),
        reason="; ".join(filter(None, [empty.reason, deciding["reason"]])),
    )


def _lost(diverged: Sequence[Mapping[str, Any]]) -> str:
    names = ", ".join(f"{lost['arm']}/{lost['seed']}" for lost in diverged)
    return f"{len(diverged)} diverged: {names}" if diverged else ""


def _cells(row: Row) -> list[str]:
    verdict = (row.verdict or "not computed") + (" (underpowered)" if row.underpowered else "")
    margin = "-" if row.margin is None else rounded(row.margin, 2)
    n = "-" if row.n is None else str(row.n)
    return [row.id or "-", verdict, margin, n, row.control or "-", row.freshness or "-", row.reason]


def _coloured(cell: str) -> Text:
    return Text(cell, style=COLOURS.get(cell.removesuffix(" (underpowered)"), ""))


def _path(scale: str, claim: str) -> Path:
    return Path("results") / scale / "claims" / f"{claim}.json"


def _pin(scale: str, claim: str) -> Path:
    return Path("results") / "pinned" / scale / f"{claim}.json"

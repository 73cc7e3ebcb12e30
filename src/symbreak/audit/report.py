"""Findings as a table and as JSON: failures first, then what was not checked, and counts of everything."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from symbreak.audit.differences import Difference
from symbreak.audit.finding import Finding, State

ORDER: tuple[State, ...] = ("failed", "not checked", "passed")
COLOURS = {"failed": "red", "not checked": "yellow", "passed": "green"}


def counts(findings: Sequence[Finding]) -> dict[str, int]:
    """Return how many findings have each state."""
    found = Counter(finding.state for finding in findings)
    return {state: found[state] for state in ORDER}


def as_json(
    findings: Sequence[Finding],
    differences: Sequence[Difference],
    out_of_reach: Sequence[str],
    circumstances: Mapping[str, Any],
) -> str:
    """Return everything as one JSON object: ``counts``, ``findings``, ``differences``, ``out_of_reach``, ``made``."""
    ordered = sorted(findings, key=lambda f: ORDER.index(f.state))
    content = {
        "counts": counts(findings),
        "findings": [finding.as_dict() for finding in ordered],
        "differences": [difference.as_dict() for difference in differences],
        "out_of_reach": list(out_of_reach),
        "made": dict(circumstances),
    }
    return json.dumps(content, indent=2)


def show(
    findings: Sequence[Finding],
    differences: Sequence[Difference],
    out_of_reach: Sequence[str],
    verbose: bool,
    console: Console,
) -> None:
    """Print failures, what was not checked and why, what differs, and the counts; with ``verbose`` every comparison."""
    states = ORDER if verbose else ("failed",)
    listed = [finding for state in states for finding in findings if finding.state == state]
    if listed:
        _print(_table(listed), console)
    if not verbose:
        _not_checked(findings, console)
    for difference in differences:
        console.print(Text(f"differs: {difference.claim}: {difference.what}: {difference.pinned} -> {difference.here}"))
    for line in out_of_reach:
        console.print(Text(f"out of reach: {line}", style="dim"))
    console.print(_checks(findings))
    console.print(Text(", ".join(f"{n} {state}" for state, n in counts(findings).items()), style="bold"))


def _print(table: Table, console: Console) -> None:
    """On a terminal folded to its width, in a plain log as wide as it needs."""
    if not console.is_terminal:
        needed = Measurement.get(console, console.options.update(width=10_000), table).maximum
        console.width = max(console.width, needed)
    console.print(table)


def _table(findings: Sequence[Finding]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("state", "check"):
        table.add_column(name, no_wrap=True)
    table.add_column("comparison", overflow="fold")
    for f in findings:
        table.add_row(Text(f.state, style=COLOURS[f.state]), Text(f.check), Text("\n".join(_lines(f))))
    return table


def _lines(f: Finding) -> Iterator[str]:
    """One comparison in words: where, both values, the margin, the reason."""
    yield _where(f)
    if f.state == "failed":
        yield f"  expected {_said(f.expected)}"
        yield f"  found    {_said(f.found)}"
    elif f.found is not None:
        yield f"  {_said(f.found)}" + ("" if f.margin is None else f", {f.margin:.3g} of its tolerance left")
    if f.reason:
        yield f"  {f.reason}"


def _not_checked(findings: Sequence[Finding], console: Console) -> None:
    """One line a check and reason, with the first file of them."""
    grouped: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        if finding.state == "not checked":
            grouped.setdefault((finding.check, finding.reason), []).append(finding)
    for (check, reason), group in grouped.items():
        others = f" and {len(group) - 1} more" if len(group) > 1 else ""
        console.print(Text(f"not checked: {check}: {_where(group[0])}{others}: {reason}", style="yellow"))


def _checks(findings: Sequence[Finding]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("check")
    for state in ORDER:
        table.add_column(state, justify="right")
    for check in dict.fromkeys(finding.check for finding in findings):
        found = counts([finding for finding in findings if finding.check == check])
        table.add_row(check, *(str(n) for n in found.values()))
    return table


def _where(f: Finding) -> str:
    return f"{f.file}: {f.key}" if f.key else f.file


def _said(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)

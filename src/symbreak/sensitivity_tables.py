"""The tables of ``symbreak sensitivity``."""

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from symbreak.claims.holm import TargetHolm
from symbreak.claims.leave_one_out import LeaveOneOut, LeftOut
from symbreak.claims.sensitivity import PaperSensitivity, PartSensitivity
from symbreak.claims.sentences import number, rounded
from symbreak.claims.tolerance import Scaled

NAMED = 3  # units that are named before the rest is counted
LONGEST = 40  # characters of a unit's name
CHANGED = "yellow"


def show(papers: Sequence[PaperSensitivity], console: Console) -> None:
    """Print the three tables, each after the sentence that says what it shows; what changes is coloured."""
    parts = [part for paper in papers for part in paper.parts]
    _print(console, _of_tolerances(parts), _tolerances(parts))
    _print(console, _of_units(parts), _units(parts))
    _print(console, _of_holm(papers), _holm(papers))


def show_sources(read: Mapping[str, str], not_read: Mapping[str, str], console: Console) -> None:
    """Print which files were read, and of which claims there was none."""
    pinned = [claim for claim, path in read.items() if path.startswith("results/pinned/")]
    console.print(f"Read: {len(read) - len(pinned)} claim files computed here, {len(pinned)} pins.", soft_wrap=True)
    if pinned:
        console.print(f"  pins: {', '.join(pinned)}", soft_wrap=True)
    if not_read:
        console.print(
            f"Not read, so that what only they decide counts as p = 1: {len(not_read)} claims.", soft_wrap=True
        )
    for reason in dict.fromkeys(not_read.values()):
        names = ", ".join(claim for claim, why in not_read.items() if why == reason)
        console.print(f"  {reason}: {names}", soft_wrap=True, markup=False)


def _of_tolerances(parts: Sequence[PartSensitivity]) -> str:
    rows = [row for part in parts for row in part.tolerances]
    scalable = [row for row in rows if row.tolerance]
    halved = sum(row.half not in (None, row.registered) for row in scalable)
    doubled = sum(row.double not in (None, row.registered) for row in scalable)
    return (
        "Verdicts at half and at double each tolerance, one at a time. "
        f"Of {len(scalable)} tolerances {halved} change a verdict when halved, {doubled} when doubled; "
        f"{len(rows) - len(scalable)} rules have none that could be."
    )


def _tolerances(parts: Sequence[PartSensitivity]) -> Table:
    table = _table("claim", "part", "of", "tolerance", "at half", "as registered", "at double", "why none")
    for part in parts:
        for row in part.tolerances:
            table.add_row(*_scaled(part, row), style=CHANGED if row.changes else "")
    return table


def _scaled(part: PartSensitivity, row: Scaled) -> Iterable[str]:
    size = "-" if row.tolerance is None else number(row.tolerance)
    return part.claim, part.part, row.of, size, row.half or "-", row.registered, row.double or "-", row.reason or ""


def _of_units(parts: Sequence[PartSensitivity]) -> str:
    moved = sum(any(change.decided for change in part.leave_one_out.changes) for part in parts)
    few = sum(any(not change.decided for change in part.leave_one_out.changes) for part in parts)
    return (
        "Verdicts without any one independent unit (a cluster whole; the same name in part and control together). "
        f"Of {len(parts)} parts {moved} are decided otherwise without some unit; "
        f"{few} have so few that without one there is no interval."
    )


def _units(parts: Sequence[PartSensitivity]) -> Table:
    table = _table("claim", "part", "verdict", "changed", "estimate", "its range", "without which")
    for part in parts:
        found = part.leave_one_out
        row = (part.claim, part.part, part.verdict, f"{len(found.changes)} of {found.n}", _size(found.estimate))
        table.add_row(*row, _range(found), Text(_which(found)), style=CHANGED if found.changes else "")
    return table


def _range(found: LeaveOneOut) -> str:
    return "-" if found.low is None else f"{_size(found.low)} to {_size(found.high)}"


def _which(found: LeaveOneOut) -> str:
    outcomes = {change: _outcome(change) for change in found.changes}
    return "; ".join(
        f"{_named([change.name for change in outcomes if outcomes[change] == outcome], found.n)}: {outcome}"
        for outcome in dict.fromkeys(outcomes.values())
    )


def _outcome(change: LeftOut) -> str:
    return change.verdict if change.decided else f"{change.verdict} ({change.reason})"


def _named(names: Sequence[str], n: int) -> str:
    if len(names) == n:
        return "any"
    more = len(names) - NAMED
    return ", ".join(name[:LONGEST] for name in names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _of_holm(papers: Sequence[PaperSensitivity]) -> str:
    rows = [row for paper in papers for row in paper.targets]
    moved = sum(row.holm_verdict != row.verdict for row in rows)
    return (
        "Holm's step-down beside the fixed family level, which alone decides: p of a target's least favourable part, "
        "times the family size (at most alpha: inside the rule at the family level), and after Holm; "
        f"targets not computed count as p = 1. "
        f"Of {len(rows)} statistical targets {moved} would have another verdict under Holm."
    )


def _holm(papers: Sequence[PaperSensitivity]) -> Table:
    table = _table("target", "least favourable part", "p", "p x family", "Holm", "alpha", "verdict", "under Holm")
    for paper in papers:
        for row in paper.targets:
            sizes = [_bound(row, p) for p in (row.p, row.family, row.holm)]
            names = (f"{paper.paper} {row.target}", row.part)
            verdicts = (number(paper.alpha), row.verdict, row.holm_verdict)
            table.add_row(*names, *sizes, *verdicts, style=CHANGED if row.holm_verdict != row.verdict else "")
    return table


def _bound(row: TargetHolm, p: float) -> str:
    return ("<= " if row.bound else "") + rounded(p, 2)


def _size(value: float | None) -> str:
    return "-" if value is None else rounded(value, 4)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _print(console: Console, sentence: str, table: Table) -> None:
    """Print on a terminal folded to its width, in a plain log as wide as the table needs."""
    console.print(sentence, soft_wrap=True)
    if not console.is_terminal:
        needed = Measurement.get(console, console.options.update(width=10_000), table).maximum
        console.width = max(console.width, needed)
    console.print(table)
    console.print()

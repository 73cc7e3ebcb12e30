"""What each claim costs: core-minutes as predicted in the registry and as this machine has measured them."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from symbreak.plan import Plan, Step
from symbreak.provenance.manifest import run_path


@dataclass(frozen=True)
class Cost:
    """Core-minutes of one claim: its runs, probe tables, decision and figure, without the image sets.

    ``measured`` is processor time on the machine that computed them; what several claims rest on is shared out between
    them in equal parts. ``missing``: artifacts that are not here, and so are not in it.
    """

    claim: str
    predicted: float | None
    measured: float
    missing: int


def costs(plan: Plan, root: Path, papers: Sequence[str]) -> list[Cost]:
    """Return the cost of every claim of ``papers``, in the registry's order, from the run files under ``root``."""
    users = Counter(path for claim in plan.claims for path in {step.path for step in _steps(plan, claim)})
    return [_cost(plan, claim, root, users) for claim, entry in plan.claims.items() if entry.paper in papers]


def as_json(found: Sequence[Cost]) -> str:
    """Return costs as a JSON list of objects."""
    return json.dumps([asdict(cost) for cost in found], indent=2)


def show(found: Sequence[Cost], console: Console) -> None:
    """Print a table with its sums."""
    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=True)
    predicted, measured = (sum(getattr(c, name) or 0.0 for c in found) for name in ("predicted", "measured"))
    table.add_column("claim", footer="all", no_wrap=True)
    table.add_column("predicted core-minutes", footer=f"{predicted:.1f}", justify="right")
    table.add_column("measured", footer=f"{measured:.1f}", justify="right")
    table.add_column("not computed here", footer=str(sum(c.missing for c in found)), justify="right")
    for cost in found:
        expected = "-" if cost.predicted is None else f"{cost.predicted:.1f}"
        table.add_row(cost.claim, expected, f"{cost.measured:.1f}", str(cost.missing))
    console.print(table)


def _cost(plan: Plan, claim: str, root: Path, users: Counter[str]) -> Cost:
    paths = {step.path for step in _steps(plan, claim)}
    records = {path: run_path(root / path) for path in paths}
    here = {path: json.loads(record.read_text()) for path, record in records.items() if record.is_file()}
    minutes = sum(record["cpu_seconds"] / 60 / users[path] for path, record in here.items())
    return Cost(claim, plan.claims[claim].core_minutes, round(minutes, 2), len(paths) - len(here))


def _steps(plan: Plan, claim: str) -> Iterator[Step]:
    experiment = plan.claims[claim].experiment
    yield from (plan.run(experiment, arm) for arm in plan.arms[experiment] if plan.has_run(experiment, arm))
    yield from plan.tables(claim)
    yield from (plan.claim(claim), plan.figure(claim))

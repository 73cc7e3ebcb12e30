"""The command line: what is known about claims, what it hangs on and costs, pins and audits; probes of any network."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from symbreak import cost as costing
from symbreak import explain as explanation
from symbreak import status as report
from symbreak.cli_adopt import adopt
from symbreak.cli_audit import audit
from symbreak.cli_probe import probe
from symbreak.cli_sensitivity import sensitivity
from symbreak.cli_sentences import sentences
from symbreak.errors import SymbreakError
from symbreak.plan import Plan
from symbreak.provenance import record as recording
from symbreak.provenance.freshness import freshness

app = typer.Typer(
    help="Claims about symmetry breaking in neural networks, and what is known about them.", add_completion=False
)


class Scale(StrEnum):
    """The sizes at which everything can be run."""

    smoke = "smoke"
    desk = "desk"
    paper = "paper"


class By(StrEnum):
    """What a line of the status is about."""

    claim = "claim"
    target = "target"


ScaleOption = Annotated[Scale | None, typer.Option(help="The scale; params.yaml's own if it is not given.")]

PaperOption = Annotated[str | None, typer.Option(help="A paper's key in claims.yaml; all papers if it is not given.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print a JSON list instead of a table.")]


app.command()(adopt)
app.command()(probe)
app.command()(audit)
app.command()(sensitivity)


@app.callback()
def main() -> None:
    """Run from the project's root folder."""


@app.command()
def status(
    scale: ScaleOption = None,
    by: Annotated[By, typer.Option(help="One line a claim, or one for every target of the catalogues.")] = By.claim,
    paper: PaperOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every claim: verdict, margin, n, control, freshness, and the reason in words."""
    with sentences():
        plan, root = Plan.load(Path(), scale), Path()
        make = report.target_rows if by is By.target else report.rows
        papers = _papers(plan, paper)
        rows = make(plan.configuration.registry, plan.scale, root, lambda claim: freshness(plan, claim, root))
        rows = [row for row in rows if row.paper in papers]
    if as_json:
        print(report.as_json(rows))
    else:
        report.show(rows, Console())


@app.command()
def cost(scale: ScaleOption = None, paper: PaperOption = None, as_json: JsonOption = False) -> None:
    """Show what each claim is expected to cost and has cost on this machine, in core-minutes."""
    with sentences():
        plan = Plan.load(Path(), scale)
        found = costing.costs(plan, Path(), _papers(plan, paper))
    if as_json:
        print(costing.as_json(found))
    else:
        costing.show(found, Console())


def _papers(plan: Plan, paper: str | None) -> list[str]:
    papers: list[str] = list(plan.configuration.registry.papers)
    if paper is not None and paper not in papers:
        raise SymbreakError(f"there is no paper '{paper}'; claims.yaml has {', '.join(papers)}")
    return papers if paper is None else [paper]


@app.command()
def explain(claim: str, scale: ScaleOption = None) -> None:
    """Explain one claim: statement, rule, control, numbers, and the files that it rests on."""
    with sentences():
        plan = Plan.load(Path(), scale)
        print(explanation.explain(plan, claim, Path()))


@app.command()
def record(scale: ScaleOption = None) -> None:
    """Pin what this machine has computed: DVC's lock and results/pinned. Refuses anything unfinished or uncommitted."""
    with sentences():
        done = recording.record(Path(), scale or Scale.desk)
    for path in done:
        typer.echo(f"pinned {path}")

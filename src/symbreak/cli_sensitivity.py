"""``symbreak sensitivity``: what verdicts hang on."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from symbreak.cli_sentences import sentences
from symbreak.config.load import load


def sensitivity(
    claims: Annotated[list[str] | None, typer.Argument(metavar="[CLAIM]...", help="All if none is given.")] = None,
    paper: Annotated[str | None, typer.Option(help="A paper's key in claims.yaml; all if it is not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object instead of tables.")] = False,
) -> None:
    """Show what verdicts hang on: tolerances, single units, and the correction for the family. Decides nothing."""
    from symbreak import sensitivity as studying  # statistics are imported only by who computes them
    from symbreak import sensitivity_tables as tables

    with sentences():
        configuration = load(Path())
        found = studying.study(configuration.registry, configuration.params.scale, Path(), claims or [], paper)
    if as_json:
        print(studying.as_json(found))
    else:
        tables.show(found.papers, Console())
        tables.show_sources(found.read, found.not_read, Console())

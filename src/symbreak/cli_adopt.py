"""``symbreak adopt``: after 'git clone' and 'dvc pull', Snakemake has nothing to do."""

from pathlib import Path

import typer

from symbreak.cli_sentences import sentences
from symbreak.provenance import adopt as adopting


def adopt() -> None:
    """Teach Snakemake that what was pulled need not be made again; refuses unless all of it is what it should be."""
    with sentences():
        count = adopting.adopt(Path())
    typer.echo(f"adopted {count} artifacts: 'snakemake figures/all' has nothing to do")

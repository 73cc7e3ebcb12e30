"""Options of ``symbreak audit --retrain`` and what is said of it."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from symbreak.errors import SymbreakError
from symbreak.machine import usable_cores

if TYPE_CHECKING:
    from symbreak.audit.retrain import Retrained

RetrainOption = Annotated[
    bool, typer.Option("--retrain", help="Compute the named claims again, from their data on, in a copy of the commit.")
]
AllOption = Annotated[bool, typer.Option("--all", help="With --retrain: all claims.")]
FreshOption = Annotated[bool, typer.Option("--fresh-seeds", help="With --retrain: other seeds, judged statistically.")]
CoresOption = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="With --retrain: Snakemake's cores; all of them by default.")
]
ThreadsOption = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="With --retrain: threads of each job, not params.yaml's.")
]
KeepOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="With --retrain: make the copy in this folder and keep it.")
]


@dataclass(frozen=True)
class RetrainOptions:
    """What was given on the command line beside the claims; ``revision`` may be given without ``--retrain``."""

    everything: bool
    revision: str | None
    fresh: bool
    cores: int | None
    threads: int | None
    keep: Path | None

    def refuse_without(self, retrain: bool) -> None:
        """Refuse options that mean nothing without ``--retrain``."""
        given = [name for name, value in asdict(self).items() if value and name != "revision"]
        if given and not retrain:
            names = {"everything": "all", "fresh": "fresh-seeds"}
            raise SymbreakError(f"--{names.get(given[0], given[0])} belongs to --retrain, which is not given.")


def retrained(claims: list[str], options: RetrainOptions) -> "Retrained":
    """Compute claims again and compare them.

    Raises:
        SymbreakError: Neither claims nor ``--all`` are given, or both are.
    """
    # Deciding claims again takes scipy, which the other commands need not wait for.
    from symbreak.audit.retrain import Request, retrain

    if bool(claims) == options.everything:
        raise SymbreakError(
            "--retrain needs claims or --all, and not both; 'symbreak cost' lists claims with their cost."
        )
    cores, revision = options.cores or usable_cores(), options.revision or "HEAD"
    typer.echo("computing again in a copy; the working tree is only read", err=True)
    return retrain(Path(), Request(tuple(claims), cores, revision, options.fresh, options.threads, options.keep))


def lines(done: "Retrained") -> Iterator[str]:
    """Say what was made again and how each claim was judged."""
    said = done.circumstances
    threads = "of params.yaml" if said["threads"] is None else said["threads"]
    seeds = f"{len(said['fresh_seeds'])} fresh seeds" if said["fresh_seeds"] else "the same seeds"
    yield f"made again: {said['commit'][:12]}, scale {said['scale']}, {said['cores']} cores, threads {threads}, {seeds}"
    yield from (f"judged: {claim}: {manner}" for claim, manner in done.judged.items())

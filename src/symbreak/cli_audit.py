"""``symbreak audit``: whether what is pinned can be believed, and whether this machine computed the same."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from symbreak.audit import report
from symbreak.audit.codecheck import check_target, write
from symbreak.audit.codecheck import codecheck as configuration
from symbreak.audit.differences import Difference
from symbreak.audit.finding import Finding
from symbreak.audit.rerun import audit_rerun
from symbreak.cli_retrain import (
    AllOption,
    CoresOption,
    FreshOption,
    KeepOption,
    RetrainOption,
    RetrainOptions,
    ThreadsOption,
    lines,
    retrained,
)
from symbreak.cli_sentences import sentences
from symbreak.errors import SymbreakError


def audit(
    claims: Annotated[
        list[str] | None, typer.Argument(metavar="[CLAIM]...", help="With --figures or --retrain: only these claims.")
    ] = None,
    pinned: Annotated[
        bool, typer.Option("--pinned", help="Check the pinned results themselves: numbers, hashes, rules, history.")
    ] = False,
    rev: Annotated[
        str | None, typer.Option(metavar="REV", help="The commit whose pins to compare with; HEAD if not given.")
    ] = None,
    figures: Annotated[
        bool, typer.Option("--figures", help="From the pinned probe tables: decide and draw again, and compare.")
    ] = False,
    retrain: RetrainOption = False,
    everything: AllOption = False,
    fresh: FreshOption = False,
    cores: CoresOption = None,
    threads: ThreadsOption = None,
    keep: KeepOption = None,
    codecheck: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what was audited as this codecheck.yml, too.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show every comparison with its margin.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print every comparison as JSON.")] = False,
) -> None:
    """Compare what this machine computed with what is pinned, or check the pins; exit 1 if anything failed."""
    with sentences():
        options = RetrainOptions(everything, rev, fresh, cores, threads, keep)
        _refuse_two(pinned, rev, figures, retrain, claims)
        options.refuse_without(retrain)
        if codecheck:
            check_target(codecheck, [Path(), *([keep] if keep else [])])
        done = retrained(claims or [], options) if retrain else None
        findings, differences, out_of_reach = done.audited if done else _audited(pinned, rev, figures, claims or [])
        circumstances = done.circumstances if done else {}
        if codecheck:
            write(codecheck, configuration(Path(), findings, out_of_reach, circumstances))
    if as_json:
        print(report.as_json(findings, differences, out_of_reach, circumstances))
    else:
        for line in lines(done) if done else ():
            typer.echo(line)
        report.show(findings, differences, out_of_reach, verbose, Console())
    if report.counts(findings)["failed"]:
        raise typer.Exit(1)


Audited = tuple[list[Finding], list[Difference], tuple[str, ...]]


def _refuse_two(pinned: bool, rev: str | None, figures: bool, retrain: bool, claims: list[str] | None) -> None:
    modes = {"--pinned": pinned, "--rev": rev is not None and not retrain, "--figures": figures, "--retrain": retrain}
    named = [name for name, given in modes.items() if given]
    if len(named) > 1:
        raise SymbreakError(f"{' and '.join(named)} are audits of different things. Name one.")
    if claims and not (figures or retrain):
        said = "claims are named after --figures and --retrain only; the others audit all."
        raise SymbreakError(f"'{' '.join(claims)}': {said}")


def _audited(pinned: bool, rev: str | None, figures: bool, claims: list[str]) -> Audited:
    if pinned:
        return _pinned()
    return _figures(claims) if figures else (*audit_rerun(Path(), rev or "HEAD"), ())


def _pinned() -> Audited:
    # Deciding claims again takes scipy, which the other commands need not wait for.
    from symbreak.audit.pinned import OUT_OF_REACH, audit_pinned

    return audit_pinned(Path()), [], OUT_OF_REACH


def _figures(claims: list[str]) -> Audited:
    # As above, and drawing takes matplotlib.
    from symbreak.audit.figures import OUT_OF_REACH, audit_figures

    return (*audit_figures(Path(), claims), OUT_OF_REACH)

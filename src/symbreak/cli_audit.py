"""``symbreak audit``: whether what is pinned can be believed, and whether this machine computed the same."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from symbreak.audit import report
from symbreak.audit.differences import Difference
from symbreak.audit.finding import Finding
from symbreak.audit.rerun import audit_rerun
from symbreak.cli_sentences import sentences
from symbreak.errors import SymbreakError


def audit(
    pinned: Annotated[
        bool, typer.Option("--pinned", help="Check the pinned results themselves: numbers, hashes, rules, history.")
    ] = False,
    rev: Annotated[
        str | None, typer.Option(metavar="REV", help="The commit whose pins to compare with; HEAD if not given.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show every comparison with its margin.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print every comparison as JSON.")] = False,
) -> None:
    """Compare what this machine computed with what is pinned, or check the pins; exit 1 if anything failed."""
    with sentences():
        if pinned and rev is not None:
            raise SymbreakError("--pinned checks the working tree's pins; --rev compares computed results. Name one.")
        findings, differences, out_of_reach = _pinned() if pinned else (*audit_rerun(Path(), rev or "HEAD"), ())
    if as_json:
        print(report.as_json(findings, differences, out_of_reach))
    else:
        report.show(findings, differences, out_of_reach, verbose, Console())
    if report.counts(findings)["failed"]:
        raise typer.Exit(1)


def _pinned() -> tuple[list[Finding], list[Difference], tuple[str, ...]]:
    # Deciding claims again takes scipy, which the other commands need not wait for.
    from symbreak.audit.pinned import OUT_OF_REACH, audit_pinned

    return audit_pinned(Path()), [], OUT_OF_REACH

"""How a command ends that the user can mend."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from symbreak.errors import SymbreakError


@contextmanager
def sentences() -> Iterator[None]:
    """Turn an error that the user can mend into its sentence and exit code 2."""
    try:
        yield
    except SymbreakError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None

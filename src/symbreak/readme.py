"""The README's table of verdicts, from the pinned results: ``python -m symbreak.readme [--check]``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from symbreak.config.load import load
from symbreak.config.registry import Registry
from symbreak.errors import SymbreakError
from symbreak.files import atomic
from symbreak.status import markdown, pinned_rows

BEGIN, END = "<!-- verdicts:begin -->", "<!-- verdicts:end -->"


def main(argv: Sequence[str] | None = None) -> int:
    """Write the table between its marks, or with ``--check`` only say whether it is the one of the pinned results."""
    parser = argparse.ArgumentParser(prog="python -m symbreak.readme", description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if the table is another")
    check, readme = parser.parse_args(argv).check, Path("README.md")
    old = readme.read_text()
    try:
        new = rewritten(old, load(Path()).registry, Path())
    except SymbreakError as error:
        print(error, file=sys.stderr)
        return 2
    if check and new != old:
        print("README.md: its table of verdicts is not that of results/pinned/desk; run 'python -m symbreak.readme'.")
    elif new != old:
        with atomic(readme) as temporary:
            temporary.write_text(new)
    return int(check and new != old)


def rewritten(text: str, registry: Registry, root: Path) -> str:
    """Return a README's text with the table of the verdicts that are pinned at scale desk between its marks.

    Raises:
        SymbreakError: The marks are not there, once each and in order.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise SymbreakError(f"README.md: expected the lines {BEGIN} and {END} once each, in this order; put them back.")
    statements = {name: claim.statement for name, claim in registry.claims.items()}
    table = markdown(pinned_rows(registry, "desk", root), statements)
    return f"{text[: text.index(BEGIN)]}{BEGIN}\n{table}\n{text[text.index(END) :]}"


if __name__ == "__main__":
    sys.exit(main())

"""The probes' benchmarks, each by its name or by its number in issue 4.

    python -m benchmarks.probes NAME [--json FILE] [--cores 0] [--rounds 7]

What a benchmark measures, and options of its own: ``python -m benchmarks.probes NAME --help``.
"""

import argparse
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

NAMES = {
    "hessian": "B2",
    "spectrum": "B3",
    "replica": "B4",
    "information": "B5",
    "npoint": "B6",
    "gradients": "B7",
    "landscape": "B8",
    "charges": "B10",
}


def part(name: str) -> Path:
    """Return the file of the benchmark ``name``."""
    return Path(__file__).with_name(f"probe_{name}.py")


def main(arguments: Sequence[str]) -> None:
    """Run the benchmark that comes first in ``arguments`` as if it had been called with those that follow."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    listed = ", ".join(f"{name} ({number})" for name, number in NAMES.items())
    made.add_argument("name", metavar="NAME", choices=[*NAMES, *NAMES.values()], help=listed)
    name = made.parse_args(arguments[:1]).name
    named = {number: name for name, number in NAMES.items()}
    before, sys.argv = sys.argv, [f"benchmarks.probes {name}", *arguments[1:]]
    try:
        runpy.run_path(str(part(named.get(name, name))), run_name="__main__")
    finally:
        sys.argv = before


if __name__ == "__main__":
    main(sys.argv[1:])

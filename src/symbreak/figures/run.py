"""The figure job: ``python -m symbreak.figures.run --claim ID ... --evidence ID.json --out ID.svg ID.png``."""

import argparse
import importlib.util
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from symbreak.claims.tables import Tables
from symbreak.config.strict import Strict
from symbreak.errors import SymbreakError
from symbreak.figures.style import save
from symbreak.files import sha256
from symbreak.provenance.job import job
from symbreak.provenance.manifest import read_manifest


class FigureJob(Strict):
    """The parameters of a figure job: the claim, the figure's module, and the arms whose tables it may read."""

    claim: str
    figure: str
    experiment: str
    arms: tuple[str, ...]


def main(argv: Sequence[str] | None = None) -> None:
    """Draw one claim's figure from its probe tables and its claim file."""
    args = _arguments(argv)
    asked = FigureJob.model_validate_json(args.params)
    svg, png = args.out
    with job(
        artifact=svg,
        kind="figure",
        entry="symbreak.figures.run",
        modules=(f"symbreak.figures.{asked.figure}",),
        planned=args.code,
        params=json.loads(args.params),
        inputs={"evidence": args.evidence} | decided_on(args.evidence),
        threads=1,
    ) as record:
        evidence = json.loads(args.evidence.read_text())
        save(find(asked.figure)(Tables(args.tables, asked.experiment, asked.arms), evidence), svg, png)
        record.note(claim=args.claim, verdict=evidence["verdict"])


def find(name: str) -> Callable[[Tables, dict[str, Any]], Figure]:
    """Return ``draw`` of ``symbreak.figures.<name>``, imported only now.

    Raises:
        SymbreakError: There is no such module.
    """
    module = f"symbreak.figures.{name}"
    if importlib.util.find_spec(module) is None:
        raise SymbreakError(f"no figure '{name}': expected src/symbreak/figures/{name}.py with a function 'draw'")
    found: Callable[[Tables, dict[str, Any]], Figure] = importlib.import_module(module).draw
    return found


def decided_on(evidence: Path) -> dict[str, Path]:
    """Return the tables that a claim was decided on, from its manifest, by their names there.

    Raises:
        SymbreakError: The manifest is missing, or a table is no longer the one that the verdict was decided on.
    """
    tables = read_manifest(evidence)["inputs"]
    paths = {name: Path(table["path"]) for name, table in tables.items()}
    changed = [str(p) for name, p in paths.items() if not p.is_file() or sha256(p) != tables[name]["sha256"]]
    if changed:
        raise SymbreakError(
            f"{evidence} was decided on other tables than there are now ({', '.join(changed)}); "
            f"a figure shows the tables of its verdict, so decide again first: 'snakemake --cores 8 {evidence}'"
        )
    return paths


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m symbreak.figures.run", description=main.__doc__)
    parser.add_argument("--claim", required=True, help="the claim's id in claims.yaml")
    parser.add_argument("--params", required=True, help="claim, module, experiment and arms: JSON of a FigureJob")
    parser.add_argument("--code", required=True, help="code fingerprint planned for this job")
    parser.add_argument("--tables", type=Path, required=True, help="the folder results/SCALE/probes")
    parser.add_argument("--evidence", type=Path, required=True, help="the claim file, ID.json")
    parser.add_argument("--out", type=Path, nargs=2, required=True, metavar=("SVG", "PNG"), help="what to write")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()

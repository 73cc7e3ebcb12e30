"""The probe job: ``python -m symbreak.probes.run --probe P --params JSON --code FP [--run R] [--data D] --out T``."""

import argparse
import importlib
import importlib.util
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from symbreak.config.specs import ArmSpec
from symbreak.errors import SymbreakError
from symbreak.files import atomic
from symbreak.probes.source import Source
from symbreak.provenance.job import job


def main(argv: Sequence[str] | None = None) -> None:
    """Run one probe of one arm and write its table with manifest and run file."""
    args = _arguments(argv)
    spec = ArmSpec.model_validate_json(args.params)
    options = _options(spec, args.probe)
    inputs = _inputs(args.run, args.data)
    with job(
        artifact=args.out,
        kind="probe",
        entry="symbreak.probes.run",
        modules=(f"symbreak.probes.{args.probe}",),
        planned=args.code,
        params=json.loads(args.params),
        inputs=inputs,
        threads=spec.threads,
    ) as record:
        table = find(args.probe)(Source(spec, args.run, args.data), **options)
        write_table(args.out, table)
        record.note(probe=args.probe, rows=len(table))


def find(name: str) -> Callable[..., pd.DataFrame]:
    """Return ``probe`` of ``symbreak.probes.<name>``, imported only now.

    Raises:
        SymbreakError: There is no such module.
    """
    module = f"symbreak.probes.{name}"
    if importlib.util.find_spec(module) is None:
        raise SymbreakError(
            f"no probe '{name}': expected the module src/symbreak/probes/{name}.py with a function 'probe'"
        )
    found: Callable[..., pd.DataFrame] = importlib.import_module(module).probe
    return found


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a tidy table as Parquet (zstd); equal tables give equal bytes.

    Raises:
        SymbreakError: The table is empty or has a column twice.
    """
    if table.empty:
        raise SymbreakError(f"the probe gave no row for {path}: a probe returns one row a unit, at least one")
    if not table.columns.is_unique:
        raise SymbreakError(f"the probe gave a column twice for {path}: {list(table.columns)}")
    # The schema's metadata would hold pandas' version and the index: neither is part of the result.
    arrow = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None)
    with atomic(path) as temporary:
        pq.write_table(arrow, temporary, compression="zstd")


def _options(spec: ArmSpec, probe: str) -> dict[str, object]:
    if probe not in spec.probes:
        raise SymbreakError(
            f"arm '{spec.arm}' of '{spec.experiment}' has the probes {sorted(spec.probes)}, not '{probe}'"
        )
    return spec.probes[probe]


def _inputs(run: Path | None, data: Path | None) -> dict[str, Path]:
    """The files that a probe may read, by the names they have in the manifest."""
    found = {} if data is None else {"data": data}
    if run is not None:
        found |= {"run": run} | {name: run.with_name(f"{run.stem}.{name}.parquet") for name in ("epochs", "steps")}
    return found


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m symbreak.probes.run", description=main.__doc__)
    parser.add_argument("--probe", required=True, help="module name under symbreak.probes")
    parser.add_argument("--params", required=True, help="the arm, JSON of an ArmSpec")
    parser.add_argument("--code", required=True, help="code fingerprint planned for this job")
    parser.add_argument("--run", type=Path, help="A.safetensors of the arm's run")
    parser.add_argument("--data", type=Path, help="the prepared set, data/SET.npz")
    parser.add_argument("--out", type=Path, required=True, help="the table to write, P.parquet")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()

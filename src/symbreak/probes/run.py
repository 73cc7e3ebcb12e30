"""The probe job: ``python -m symbreak.probes.run --probe P --params JSON --code FP [--run R] [--data D] --out T``.

``--probe``, ``--code`` and ``--out`` repeat together: several probes of one arm in one process.
"""

import argparse
import importlib
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from symbreak.config.probes import probe_modules
from symbreak.config.specs import ArmSpec
from symbreak.errors import SymbreakError
from symbreak.files import atomic
from symbreak.probes.source import Source
from symbreak.provenance.job import job


def main(argv: Sequence[str] | None = None) -> None:
    """Run probes of one arm, one after the other in this process, and write each one's table, manifest and run file."""
    args = _arguments(argv)
    spec = ArmSpec.model_validate_json(args.params)
    source = Source(spec, args.run, args.data)
    jobs = _jobs(args.probe, args.code, args.out)
    options = {probe: _options(spec, probe) for probe in args.probe}
    for probe, code, out in jobs:
        _run(probe, options[probe], source, code, out, _inputs(args.run, args.data))


def _run(probe: str, options: dict[str, object], source: Source, code: str, out: Path, inputs: dict[str, Path]) -> None:
    spec = source.spec
    with job(
        artifact=out,
        kind="probe",
        entry="symbreak.probes.run",
        modules=probe_modules(spec, probe),
        planned=code,
        params=spec.model_copy(update={"probes": {probe: options}}).model_dump(mode="json"),
        inputs=inputs,
        threads=spec.threads,
    ) as record:
        table = find(probe)(source, **options)
        write_table(out, table)
        record.note(probe=probe, rows=len(table))
        if "warnings" in table.attrs:
            record.note(warnings=table.attrs["warnings"])


def _jobs(probes: list[str], codes: list[str], outs: list[Path]) -> list[tuple[str, str, Path]]:
    if not len(probes) == len(codes) == len(outs):
        raise SymbreakError(
            f"every probe needs its own --code and --out, found {len(probes)} --probe, {len(codes)} --code and "
            f"{len(outs)} --out; repeat all three in the same order"
        )
    return list(zip(probes, codes, outs, strict=True))


def find(name: str) -> Callable[..., pd.DataFrame]:
    """Return ``probe`` of ``symbreak.probes.<name>``, or what makes a table of its ``measure``; imported only now.

    Raises:
        SymbreakError: There is no such module, or it has neither function.
    """
    module = f"symbreak.probes.{name}"
    if importlib.util.find_spec(module) is None:
        raise SymbreakError(
            f"no probe '{name}': expected the module src/symbreak/probes/{name}.py with a function 'probe'"
        )
    own: Callable[..., pd.DataFrame] | None = getattr(importlib.import_module(module), "probe", None)
    if own is not None:
        return own
    # By name: a probe that makes its own table has nothing of this in its fingerprint.
    of_networks: Callable[..., pd.DataFrame] = importlib.import_module("symbreak.probes.piped").of(name)
    return of_networks


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
    parser.add_argument("--probe", required=True, action="append", help="module name under symbreak.probes; repeats")
    parser.add_argument("--params", required=True, help="the arm, JSON of an ArmSpec")
    parser.add_argument("--code", required=True, action="append", help="code fingerprint planned for the probe")
    parser.add_argument("--run", type=Path, help="A.safetensors of the arm's run")
    parser.add_argument("--data", type=Path, help="the prepared set, data/SET.npz")
    parser.add_argument("--out", type=Path, required=True, action="append", help="the table to write, P.parquet")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()

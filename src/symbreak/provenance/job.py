"""What ran on what: the frame around every job, and the manifest and run file beside its artifact."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from threadpoolctl import threadpool_limits

from symbreak.errors import SymbreakError
from symbreak.files import remove_leftovers, sha256, write_json
from symbreak.machine import identity, peak_memory
from symbreak.provenance.closure import closure, fingerprint
from symbreak.provenance.manifest import manifest_path, outputs, read_manifest, run_path
from symbreak.provenance.versions import installed


class Record:
    """Facts that a job adds to its manifest; they must be the same whenever the same job runs."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}

    def note(self, **facts: Any) -> None:
        """Add facts (JSON values), for instance ``device="cpu"`` or ``diverged=[...]``."""
        self.facts.update(facts)


@contextmanager
def job(
    *,
    artifact: Path,
    kind: str,
    entry: str,
    modules: tuple[str, ...],
    planned: str,
    params: Mapping[str, Any],
    inputs: Mapping[str, Path],
    threads: int,
) -> Iterator[Record]:
    """Run the body of a job and write ``*.manifest.json`` and ``*.run.json`` beside its artifact.

    Args:
        artifact: The main file that the body writes; its siblings of the same stem are recorded too.
        kind: ``data``, ``run``, ``probe``, ``claim`` or ``figure``.
        entry: The module that was started; with ``modules`` it gives the code fingerprint.
        modules: Modules that are imported by name.
        planned: The fingerprint that the planner saw. If it differs from the one at the start or at
            the end, the artifact is ``tainted``.
        params: The job's parameters (JSON values).
        inputs: Named input files.
        threads: Threads of every numerical library, part of the identity of the bytes.

    Yields:
        A record to note facts in. If the body raises, nothing is recorded.
    """
    sys.excepthook = _sentence
    started, record, start = time.monotonic(), Record(), fingerprint(entry, modules)
    hashes = {name: _input(path) for name, path in inputs.items()}
    remove_leftovers(artifact)  # they would count as part of a folder that DVC hashes
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(threads)  # for libraries loaded later; threadpool_limits is for those already here
    with threadpool_limits(threads):
        yield record
    code = {
        "entry": entry,
        "modules": list(modules),
        "planned": planned,
        "start": start,
        "end": fingerprint(entry, modules),
    }
    manifest = {
        "schema": 1,
        "kind": kind,
        "artifact": artifact.as_posix(),
        "command": ["python", "-m", entry, *sys.argv[1:]],
        "params": dict(params),
        "inputs": hashes,
        "outputs": {path.name: sha256(path) for path in outputs(artifact)},
        "code": code | {"files": closure(entry, modules)},
        "tainted": len({planned, code["start"], code["end"]}) > 1 or any(h.get("tainted") for h in hashes.values()),
        "versions": installed(),
        "threads": threads,
        "device": "cpu",
        "deterministic": True,
        "diverged": [],
    }
    write_json(run_path(artifact), _circumstances(started))
    write_json(manifest_path(artifact), manifest | record.facts)


def _sentence(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """End a job's log with the sentence of an error that a user can mend, and with the traceback of any other."""
    if isinstance(error, SymbreakError):
        print(f"error: {error}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def _input(path: Path) -> dict[str, Any]:
    entry: dict[str, Any] = {"path": path.as_posix(), "sha256": sha256(path)}
    if manifest_path(path).is_file():
        above = read_manifest(path)
        entry["tainted"] = above["tainted"]
        entry |= {"sources": above["sources"]} if "sources" in above else {}
    return entry


def _circumstances(started: float) -> dict[str, Any]:
    return {
        "wall_seconds": round(time.monotonic() - started, 3),
        "cpu_seconds": round(time.process_time(), 3),
        "peak_memory_mib": round(peak_memory() / 2**20, 1),
        **identity(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }

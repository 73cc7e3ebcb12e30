"""Unfinished training on disk, so that a killed job goes on where it was.

``<run>.resume/<group>.json`` names the last complete ``<group>.step-<n>.safetensors`` and its sha256. The tensors are
written first and the JSON is renamed over its predecessor last, so a kill at any moment leaves the last good pair.
Nothing is forced out of the operating system's cache: what a power cut spoils is noticed by its hash, and trained anew.
"""

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout
from safetensors.torch import load, save_file
from torch import Tensor

from symbreak.errors import SymbreakError
from symbreak.files import atomic, canonical, sha256, write_json

SECONDS = 60.0  # a snapshot costs well below a second, so at most one in a hundred is lost to them


@dataclass(frozen=True)
class Snapshot:
    """A group of replicas between two steps: all tensors, and the rest as JSON values, ``steps`` among them."""

    tensors: Mapping[str, Tensor]
    facts: dict[str, Any]


class Folder:
    """Where an arm's snapshots are; a context in which no other process has them.

    Args:
        path: The folder; it is there while it is in use, and as long as there are snapshots in it.
        identity: JSON values that a job must share with the one whose snapshot it resumes from: parameters, code, data,
            device and versions. Snapshots of another identity are removed; a line on stderr says what differs.
        seconds: How often to keep one; the clock has no influence on any number.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any], seconds: float = SECONDS) -> None:
        self._path, self._identity, self._seconds = path, dict(identity), seconds
        self._lock = FileLock(path / "lock")

    def __enter__(self) -> Self:
        """Take possession of the folder.

        Raises:
            SymbreakError: If another process has it: one that outlived the workflow that started it, for instance.
        """
        self._path.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise SymbreakError(
                f"another process is training what {self._path} belongs to; wait until it has ended, or end it"
            ) from None
        for temporary in self._path.glob(".*"):  # of a process killed while it wrote
            temporary.unlink()
        self._refuse_others()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the folder up, and remove it if nothing is kept in it."""
        if not any(self._path.glob("*.json")):
            self.remove()
        self._lock.release()

    def of(self, group: int) -> "Keeper":
        """Return the keeper of one group's snapshots."""
        return Keeper(self._path, f"group-{group:05d}", self._identity, self._seconds)

    def remove(self) -> None:
        """Remove all snapshots: the run is complete."""
        if self._path.is_dir():
            shutil.rmtree(self._path)

    def _refuse_others(self) -> None:
        found = [record["identity"] for path in self._path.glob("*.json") if (record := _read(path))]
        keys = self._identity.keys() | {key for other in found for key in other}
        different = [key for key in sorted(keys) if any(o.get(key) != self._identity.get(key) for o in found)]
        if different:
            print(f"{self._path} is of another job ({', '.join(different)} differ): training anew", file=sys.stderr)
            for path in (*self._path.glob("*.json"), *self._path.glob("*.safetensors")):
                path.unlink()


class Keeper:
    """Keeps the snapshots of one group; only the last one is on disk."""

    def __init__(self, folder: Path, name: str, identity: dict[str, Any], seconds: float) -> None:
        self._folder, self._name, self._identity, self._seconds = folder, name, identity, seconds
        self._last = time.monotonic()

    def due(self) -> bool:
        """Whether it is time for the next snapshot."""
        return time.monotonic() - self._last >= self._seconds

    def keep(self, snapshot: Snapshot) -> None:
        """Write a snapshot and remove its predecessor."""
        tensors = self._folder / f"{self._name}.step-{snapshot.facts['steps']:08d}.safetensors"
        with atomic(tensors) as temporary:
            save_file({n: value.detach().cpu().contiguous() for n, value in snapshot.tensors.items()}, temporary)
        record = {
            "identity": self._identity,
            "tensors": tensors.name,
            "sha256": sha256(tensors),
            "facts": snapshot.facts,
        }
        write_json(self.path, record | {"seal": _seal(record)})
        for old in self._folder.glob(f"{self._name}.step-*.safetensors"):
            if old != tensors:
                old.unlink()
        self._last = time.monotonic()

    def last(self) -> Snapshot | None:
        """Return the last complete snapshot or None; a damaged one is named on stderr and not used."""
        if not self.path.is_file():
            return None
        record = _read(self.path)
        tensors = self._folder / record["tensors"] if record else None
        # what is loaded is what was hashed, and holds no file open
        content = tensors.read_bytes() if tensors and tensors.is_file() else b""
        if record is None or hashlib.sha256(content).hexdigest() != record["sha256"]:
            print(f"{self.path} or the snapshot that it names is damaged: training anew", file=sys.stderr)
            return None
        print(f"{self.path}: resuming from step {record['facts']['steps']}", file=sys.stderr)
        return Snapshot(load(content), record["facts"])

    @property
    def path(self) -> Path:
        """The JSON that names the last snapshot."""
        return self._folder / f"{self._name}.json"


def _read(path: Path) -> dict[str, Any] | None:
    """Return the record in a JSON file, or None if it is not as it was written."""
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        return found if found.pop("seal") == _seal(found) else None
    except (ValueError, TypeError, AttributeError, KeyError):
        return None


def _seal(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical(record).encode()).hexdigest()

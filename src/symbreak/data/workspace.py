"""The folder in which the files of one set are gathered: one lock, whole downloads, a quarantine."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from symbreak.files import atomic


@dataclass(frozen=True)
class Workspace:
    """``downloads`` belongs to one set and one process at a time; ``bad`` keeps what was refused."""

    downloads: Path
    bad: Path

    def whole(self, name: str, download: Callable[[Path], None]) -> Path:
        """Return the folder ``name``, filled by ``download`` unless an earlier, killed process had filled it.

        ``download`` works in a folder with a temporary name, renamed only when it has returned.
        """
        folder = self.downloads / name
        if not folder.exists():
            part = Path(tempfile.mkdtemp(prefix=f"{name}.", suffix=".part", dir=self.downloads))
            download(part)
            part.rename(folder)
        return folder

    def quarantine(self, name: str, content: bytes) -> Path:
        """Keep a refused file aside as ``<name>.<first 8 digits of its sha256>`` and return its path."""
        path = self.bad / f"{name}.{hashlib.sha256(content).hexdigest()[:8]}"
        with atomic(path) as temporary:
            temporary.write_bytes(content)
        return path


@contextmanager
def workspace(data: Path, name: str) -> Iterator[Workspace]:
    """Open the workspace of the set ``name`` under the folder ``data``, alone; wait while another process has it.

    What a killed process left half done is removed at the start, everything but the quarantine at the end.
    """
    downloads = data / "downloads" / name
    downloads.parent.mkdir(parents=True, exist_ok=True)
    with _locked(downloads.with_name(f"{name}.lock")):
        downloads.mkdir(exist_ok=True)
        for part in downloads.glob("*.part"):
            shutil.rmtree(part)
        try:
            yield Workspace(downloads, data / "quarantine")
        finally:
            shutil.rmtree(downloads)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"waiting: another process holds {path}", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()

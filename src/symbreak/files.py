"""Atomic writes, content hashes and canonical JSON."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` and rename it onto ``path`` at the end.

    The temporary name keeps the suffix of ``path``, for libraries that choose a format by it.
    If the body raises, the temporary file is removed and ``path`` is left as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(artifact: Path) -> None:
    """Remove the temporary files that a killed process left beside an artifact, its own and those of its siblings."""
    for temporary in artifact.parent.glob(f".{artifact.stem}.*"):
        temporary.unlink()


def sha256(path: Path) -> str:
    """Return the sha256 of a file's content as hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def canonical(value: Any) -> str:
    """Return JSON with sorted keys and no spaces; NaN and infinity are refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON with sorted keys, atomically; NaN and infinity are refused."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, sort_keys=True, indent=2, allow_nan=False) + "\n")

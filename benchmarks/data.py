"""The real sets that benchmarks train on, and where they came from."""

import os
import tempfile
from pathlib import Path

from symbreak.config.specs import Set
from symbreak.data import prepared
from symbreak.data.catalogue import files
from symbreak.data.collect import collect, sources
from symbreak.data.formats import prepare
from symbreak.data.prepared import Prepared
from symbreak.data.workspace import workspace
from symbreak.files import sha256

ROOT = Path(__file__).resolve().parent.parent


def load(name: Set, root: Path = ROOT) -> tuple[Prepared, str]:
    """Return a set and its source in words: the project's prepared set, else one gathered as the data job does it.

    What is gathered is not kept: only the data job, which records what it did, writes in ``data/``.

    Raises:
        SymbreakError: If no source has the published files.
    """
    path = root / "data" / f"{name}.npz"
    if path.is_file():
        return prepared.load(path), f"data/{name}.npz, sha256 {sha256(path)}"
    named, wanted = os.environ.get("SYMBREAK_DATA_MIRROR"), files(name)
    with tempfile.TemporaryDirectory() as folder, workspace(Path(folder), name) as work:
        found = collect(name, wanted, sources(name, Path(named) if named else None), work)
    content = {file: taken.content for file, taken in found.items()}
    return prepare(content), "; ".join(f"{file} from {taken.source}" for file, taken in found.items())

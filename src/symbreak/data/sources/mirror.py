"""A folder on this machine with the published files."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from symbreak.config.specs import Set
from symbreak.data.catalogue import files
from symbreak.data.sources.source import Reader, UnavailableError
from symbreak.data.unpack import unpack
from symbreak.data.workspace import Workspace

FOLDERS: Mapping[Set, str] = {"mnist": "mnist", "fashion_mnist": "fashion-mnist", "cifar10": "cifar-10"}
HOW = (
    "a mirror is a folder with mnist/ and fashion-mnist/ (four idx files each) and cifar-10/ (data_batch_1.bin to "
    "data_batch_5.bin and test_batch.bin of the binary version), each file plain, .gz or .xz; name it by the "
    "environment variable SYMBREAK_DATA_MIRROR or by 'data: {mirror: PATH}' in params.yaml"
)


def find(root: Path, name: Set, file: str) -> Path | None:
    """Return the path of a set's file in a mirror, plain or compressed, or None if it is not there."""
    candidates = [root / FOLDERS[name] / f"{file}{suffix}" for suffix in ("", ".gz", ".xz")]
    return next((path for path in candidates if path.is_file()), None)


@dataclass(frozen=True)
class Mirror:
    """The mirror at ``root`` (None: no mirror was named)."""

    root: Path | None
    name: str = "mirror"

    def open(self, name: Set, work: Workspace) -> Mapping[str, Reader]:
        """See `Source.open`."""
        if self.root is None:
            raise UnavailableError("none was named (SYMBREAK_DATA_MIRROR, or data.mirror in params.yaml)")
        if not self.root.is_dir():
            raise UnavailableError(f"{self.root} is not a folder")
        found = {file: find(self.root, name, file) for file in files(name)}
        return {file: partial(unpack, path) for file, path in found.items() if path is not None}

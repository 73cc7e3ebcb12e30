"""Decompression of one file by its suffix."""

import gzip
import lzma
import zlib
from pathlib import Path

from symbreak.errors import SymbreakError


class DamagedError(SymbreakError):
    """A file that cannot be read as what it should be."""

    def __init__(self, path: Path, reason: str) -> None:
        """Name the file and what is wrong with it."""
        super().__init__(f"{path.name}: {reason}")
        self.path = path


def unpack(path: Path) -> bytes:
    """Return a file's content, decompressed if its name ends in ``.gz`` or ``.xz``.

    Raises:
        DamagedError: If the compressed stream is truncated or broken.
    """
    content = path.read_bytes()
    try:
        if path.suffix == ".gz":
            return gzip.decompress(content)
        return lzma.decompress(content) if path.suffix == ".xz" else content
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DamagedError(path, f"cannot be decompressed ({error}); {len(content)} bytes were found") from error

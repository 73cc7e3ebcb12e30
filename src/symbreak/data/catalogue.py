"""Which files make up a set, and the hashes that their decompressed content must have.

The table is ``hashes.json``; ``symbreak.data.derive_hashes`` derives it from files that match the published md5.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from symbreak.config.specs import Set
from symbreak.errors import SymbreakError

HASHES = Path(__file__).with_name("hashes.json")
CLASSES = 10  # of each of the three sets


@dataclass(frozen=True)
class Expected:
    """One file of a set: the decompressed content's ``size`` in bytes and ``sha256``, and the published file's md5.

    ``published`` names the file that ``md5`` is of: the ``.gz`` for MNIST and Fashion-MNIST, the content for CIFAR-10.
    """

    size: int
    sha256: str
    published: str
    md5: str


Files = Mapping[str, Expected]


class WrongContentError(SymbreakError):
    """A file's content is not the published one."""


def files(name: Set) -> Files:
    """Return the files of a set by the name of their decompressed content, in the order training, test."""
    table = json.loads(HASHES.read_text())["sets"]
    return {file: Expected(**entry) for file, entry in table[name].items()}


def check(name: str, content: bytes, expected: Expected) -> None:
    """Refuse a file whose content differs from the published one.

    Raises:
        WrongContentError: If sha256 or size differ; the message has both hashes.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != expected.sha256:
        raise WrongContentError(
            f"{name}: expected {expected.size} bytes with sha256 {expected.sha256}, "
            f"found {len(content)} bytes with sha256 {found}"
        )

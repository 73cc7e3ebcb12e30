"""Derive ``hashes.json`` from files that match the published md5.

    python -m symbreak.data.derive_hashes --mirror PATH

rewrites the sizes and sha256 of the decompressed contents; the published md5 in the file are what is trusted. They
are those that torchvision's ``MNIST`` and ``FashionMNIST`` check downloads against, and for CIFAR-10 those of the
``.bin`` files of the binary version (cs.toronto.edu/~kriz/cifar.html).
"""

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any, get_args

from symbreak.config.specs import Set
from symbreak.data.catalogue import HASHES, Expected, files
from symbreak.data.sources.mirror import find
from symbreak.data.unpack import unpack
from symbreak.errors import SymbreakError
from symbreak.files import write_json


def derive(mirror: Path, name: Set) -> dict[str, dict[str, Any]]:
    """Return file -> entry of ``hashes.json`` of one set, computed from a mirror folder.

    Raises:
        SymbreakError: If a file is not there or does not match its published md5.
    """
    return {file: _entry(find(mirror, name, file), entry) for file, entry in files(name).items()}


def _entry(path: Path | None, known: Expected) -> dict[str, Any]:
    if path is None:
        raise SymbreakError(f"the mirror lacks {known.published}; deriving hashes needs every file of a set")
    content = unpack(path)
    published = path.read_bytes() if path.name == known.published else content
    found = hashlib.md5(published, usedforsecurity=False).hexdigest()
    if found != known.md5:
        raise SymbreakError(f"{path}: expected the published md5 {known.md5}, found {found}; use another copy")
    sha256 = hashlib.sha256(content).hexdigest()
    return {"size": len(content), "sha256": sha256, "published": known.published, "md5": known.md5}


def main() -> None:
    """Rewrite ``hashes.json`` from the folder given by ``--mirror``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mirror", type=Path, required=True)
    mirror = parser.parse_args().mirror
    sets = {name: derive(mirror, name) for name in get_args(Set)}
    write_json(HASHES, json.loads(HASHES.read_text()) | {"sets": sets})


if __name__ == "__main__":
    main()

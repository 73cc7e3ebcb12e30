"""What DVC's cache holds against the names that dvc.lock gives it, read without DVC.

A remote's object is named by the md5 of its content, and DVC believes the name: unless the remote is configured with
``verify``, ``dvc pull`` takes a damaged object into the cache and the working tree, and ``dvc status`` calls it up to
date. With ``verify`` the object stays out, and DVC names the file, or only the folder that it is in.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from symbreak.audit.lock_file import read
from symbreak.errors import SymbreakError

CACHE = ".dvc/cache"
LOCK = "dvc.lock"
LISTING = ".dir"
"""How the md5 of a folder ends; its object is the JSON list of the folder's files."""


@dataclass(frozen=True)
class Object:
    """A pinned file or folder, and the md5 that its object's content has here (None: the object is not here)."""

    path: str
    md5: str
    found: str | None

    @property
    def name(self) -> str:
        """The object's path in the cache and, the same, in the remote."""
        return f"files/md5/{self.md5[:2]}/{self.md5[2:]}"

    @property
    def whole(self) -> bool:
        """Whether the object is here with the content that its name says."""
        return self.found == self.md5.removesuffix(LISTING)


def wanting(root: Path) -> list[Object]:
    """Hash every object that dvc.lock names.

    Args:
        root: The project's root folder, with DVC's cache in its default place, ``.dvc/cache``.

    Returns:
        The objects that the cache lacks or holds damaged; of a folder whose list is such, only the list. Empty if there
        is no dvc.lock or no cache: then nothing was pinned or pulled.

    Raises:
        SymbreakError: dvc.lock, or a list whose content has its md5, cannot be read.
    """
    if not (root / LOCK).is_file() or not (root / CACHE).is_dir():
        return []
    return [pinned for pinned in _pinned(root) if not pinned.whole]


def _pinned(root: Path) -> Iterator[Object]:
    outs = {out["path"]: out["md5"] for stage in read(root / LOCK).values() for out in stage["outs"]}
    for path, md5 in outs.items():
        pinned = _object(root, path, md5)
        yield pinned
        if md5.endswith(LISTING) and pinned.whole:
            yield from (_object(root, f"{path}/{name}", md5) for name, md5 in _listed(root, pinned))


def _object(root: Path, path: str, md5: str) -> Object:
    file = root / CACHE / Object(path, md5, None).name
    if not file.is_file():
        return Object(path, md5, None)
    with file.open("rb") as stream:
        return Object(path, md5, hashlib.file_digest(stream, "md5").hexdigest())


def _listed(root: Path, listing: Object) -> Iterator[tuple[str, str]]:
    file = root / CACHE / listing.name
    try:
        yield from ((entry["relpath"], entry["md5"]) for entry in json.loads(file.read_bytes()))
    except (ValueError, KeyError, TypeError) as error:
        raise SymbreakError(
            f"{CACHE}/{listing.name}: expected DVC's list of the files of {listing.path}, found something else "
            f"({type(error).__name__}: {error}), although its md5 is the one in {LOCK}. Record the results again."
        ) from None

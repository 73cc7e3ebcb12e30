"""Objects of DVC's cache against their names, on a cache laid out by hand as DVC 3 does."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from symbreak.errors import SymbreakError
from symbreak.provenance.objects import Object, wanting

FILES = {"out/one.json": b"1", "runs/a.parquet": b"a", "runs/deep/b.parquet": b"b"}


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


LISTED = json.dumps(
    [{"md5": md5(FILES[path]), "relpath": path.removeprefix("runs/")} for path in list(FILES)[1:]]
).encode()
PINNED = {"out/one.json": md5(b"1"), "runs": f"{md5(LISTED)}.dir"}


def place(root: Path, name: str) -> Path:
    return root / ".dvc/cache/files/md5" / name[:2] / name[2:]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A clone whose cache is whole."""
    outs = "".join(
        f"    - path: {path}\n      hash: md5\n      md5: {name}\n      size: 1\n" for path, name in PINNED.items()
    )
    (tmp_path / "dvc.lock").write_text(
        f"schema: '2.0'\nstages:\n  all:\n    cmd: 'true'\n    deps: []\n    outs:\n{outs}"
    )
    contents = {md5(content): content for content in FILES.values()} | {PINNED["runs"]: LISTED}
    for name, content in contents.items():
        place(tmp_path, name).parent.mkdir(parents=True, exist_ok=True)
        place(tmp_path, name).write_bytes(content)
    return tmp_path


def test_a_whole_cache_wants_nothing(root: Path) -> None:
    assert wanting(root) == []


@pytest.mark.parametrize("path", FILES)
def test_a_damaged_object_is_found_with_its_path_and_its_content(root: Path, path: str) -> None:
    name = md5(FILES[path])
    place(root, name).write_bytes(b"other")
    (bad,) = wanting(root)
    assert bad == Object(path, name, md5(b"other"))
    assert bad.name == f"files/md5/{name[:2]}/{name[2:]}"


@pytest.mark.parametrize("path", FILES)
def test_an_absent_object_is_found_with_its_path(root: Path, path: str) -> None:
    place(root, md5(FILES[path])).unlink()
    assert wanting(root) == [Object(path, md5(FILES[path]), None)]


@pytest.mark.parametrize(
    ("damage", "found"), [(lambda p: p.unlink(), None), (lambda p: p.write_bytes(b"[]"), md5(b"[]"))]
)
def test_of_a_folder_whose_list_is_not_whole_only_the_list_is_told(
    root: Path, damage: Callable[[Path], object], found: str | None
) -> None:
    place(root, md5(b"a")).unlink()
    damage(place(root, PINNED["runs"]))
    assert wanting(root) == [Object("runs", PINNED["runs"], found)]


@pytest.mark.parametrize("name", ["dvc.lock", ".dvc"])
def test_where_nothing_was_pinned_or_pulled_nothing_is_wanted(root: Path, name: str) -> None:
    place(root, md5(b"a")).unlink()
    (root / name).rename(root / "away")
    assert wanting(root) == []


def test_a_list_with_the_right_md5_that_is_none_is_refused(root: Path) -> None:
    lock = root / "dvc.lock"
    lock.write_text(lock.read_text().replace(PINNED["runs"], f"{md5(b'{}x')}.dir"))
    place(root, f"{md5(b'{}x')}.dir").parent.mkdir(parents=True, exist_ok=True)
    place(root, f"{md5(b'{}x')}.dir").write_bytes(b"{}x")
    with pytest.raises(SymbreakError, match="expected DVC's list of the files of runs"):
        wanting(root)

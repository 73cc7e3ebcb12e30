"""The code fingerprint follows imports and sees nothing but code."""

from pathlib import Path

import pytest

from symbreak.errors import SymbreakError
from symbreak.provenance.closure import closure, fingerprint

FILES = {
    "pkg/__init__.py": '"""Package."""\n',
    "pkg/entry.py": "from pkg.helper import f\n\n\ndef main():\n    from pkg import lazy\n    return f() + lazy.X\n",
    "pkg/helper.py": "import os\nfrom pkg.deep.leaf import g\n\n\ndef f():\n    return g()\n",
    "pkg/deep/__init__.py": "",
    "pkg/deep/leaf.py": "def g():\n    return 1\n",
    "pkg/lazy.py": "X = 1\n",
    "pkg/named.py": "Y = 1\n",
    "pkg/other.py": "Z = 1\n",
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_closure_is_every_module_that_can_run(source: Path) -> None:
    found = closure("pkg.entry", ("pkg.named",), source)
    assert set(found) == {"pkg", "pkg.entry", "pkg.helper", "pkg.deep", "pkg.deep.leaf", "pkg.lazy", "pkg.named"}


@pytest.mark.parametrize(
    "name", ["pkg/entry.py", "pkg/helper.py", "pkg/deep/leaf.py", "pkg/lazy.py", "pkg/named.py", "pkg/__init__.py"]
)
def test_code_anywhere_in_the_closure_changes_it(source: Path, name: str) -> None:
    before = fingerprint("pkg.entry", ("pkg.named",), source)
    (source / name).write_text((source / name).read_text() + "\nNEW_CODE = 2\n")
    assert fingerprint("pkg.entry", ("pkg.named",), source) != before


def test_code_elsewhere_does_not(source: Path) -> None:
    before = fingerprint("pkg.entry", ("pkg.named",), source)
    (source / "pkg/other.py").write_text("Z = 3\n")
    assert fingerprint("pkg.entry", ("pkg.named",), source) == before


def test_comments_docstrings_and_formatting_do_not(source: Path) -> None:
    before = fingerprint("pkg.entry", (), source)
    (source / "pkg/deep/leaf.py").write_text(
        '"""New words."""\n\n\n# a comment\ndef g():\n    """More words."""\n\n    return (\n        1\n    )\n'
    )
    assert fingerprint("pkg.entry", (), source) == before
    (source / "pkg/deep/leaf.py").write_text("def g():\n    return 2\n")
    assert fingerprint("pkg.entry", (), source) != before


def test_a_missing_module_is_an_error_with_the_nearest_name(source: Path) -> None:
    with pytest.raises(SymbreakError, match=r"no module 'pkg.enrty'.*did you mean 'pkg.entry'"):
        fingerprint("pkg.enrty", (), source)


def test_relative_imports_are_refused_not_missed(source: Path) -> None:
    (source / "pkg/entry.py").write_text("from . import other\n")
    with pytest.raises(SymbreakError, match="relative imports"):
        fingerprint("pkg.entry", (), source)

"""A recorded project, whole or as a clone of what git has of it."""

import shutil
from pathlib import Path

import pytest

from .project import build, git


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, repo_root: Path) -> Path:
    root = tmp_path_factory.mktemp("recorded") / "project"
    root.mkdir()
    build(root, repo_root)
    return root


@pytest.fixture(scope="session")
def cloned(template: Path) -> Path:
    git(template.parent, "clone", "--quiet", str(template), "clone")
    return template.parent / "clone"


@pytest.fixture
def whole(template: Path, tmp_path: Path) -> Path:
    """The machine on which everything was computed."""
    shutil.copytree(template, tmp_path / "whole")
    return tmp_path / "whole"


@pytest.fixture
def clone(cloned: Path, tmp_path: Path) -> Path:
    """What git has: no tables, no runs, no cache of DVC."""
    shutil.copytree(cloned, tmp_path / "clone")
    return tmp_path / "clone"

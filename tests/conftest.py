"""What all tests share: one thread, the data mirror, the order of the stages, the registry tests' switch."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .workflow.background import Background
from .workflow.workspace import copy_project

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"  # read by numpy and torch when they are first imported

STAGES = ("unit", "workflow", "audit")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the cheap stages first and what waits for the smoke run last, and skip what fetches from registries unless
    it was asked for."""
    items.sort(key=lambda item: (_needs_smoke(item), _stage(item)))
    if os.environ.get("SYMBREAK_TEST_REGISTRIES") != "1":
        skip = pytest.mark.skip(reason="fetches from package registries; set SYMBREAK_TEST_REGISTRIES=1 to run it")
        for item in items:
            if "registry" in item.keywords:
                item.add_marker(skip)


def _needs_smoke(item: pytest.Item) -> bool:
    return "smoke" in getattr(item, "fixturenames", ())


def _stage(item: pytest.Item) -> int:
    return next((n for n, stage in enumerate(STAGES) if stage in item.path.parts), len(STAGES))


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The root of the repository."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def mirror(repo_root: Path) -> Path:
    """A folder with the original files of the data sets: SYMBREAK_DATA_MIRROR, else ../shared/data."""
    named = os.environ.get("SYMBREAK_DATA_MIRROR")
    folder = Path(named) if named else repo_root.parent / "shared" / "data"
    if not folder.is_dir():
        reason = f"no data mirror: {folder} is not there; set SYMBREAK_DATA_MIRROR to a folder with the originals"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def given_mirror(repo_root: Path) -> Path | None:
    """The mirror if there is one; without it the workflow gets the data as on a user's machine."""
    named = os.environ.get("SYMBREAK_DATA_MIRROR")
    folder = Path(named).resolve() if named else repo_root.parent / "shared" / "data"
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session", autouse=True)
def smoke_begun(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, repo_root: Path, given_mirror: Path | None
) -> Iterator[Background | None]:
    """The pipeline at scale smoke, begun before the first test if some test needs it: most tests keep one core busy."""
    if not any(_needs_smoke(item) for item in request.session.items):
        yield None
        return
    workspace = copy_project(repo_root, tmp_path_factory.mktemp("smoke"), given_mirror)
    workspace.commit("the project")
    begun = Background.begin(workspace, "figures/all", "--config", "scale=smoke")
    yield begun
    begun.stop()

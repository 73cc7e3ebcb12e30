"""What every source of files offers, and how it says that it cannot."""

from collections.abc import Callable, Mapping
from typing import Protocol

from symbreak.config.specs import Set
from symbreak.data.workspace import Workspace

Reader = Callable[[], bytes]


class UnavailableError(Exception):
    """A source that cannot be used here and now; the message is the reason."""


class Source(Protocol):
    """A place that may have files of a set."""

    @property
    def name(self) -> str:
        """The source's name in logs and manifests, with its version where it has one."""

    def open(self, name: Set, work: Workspace) -> Mapping[str, Reader]:
        """Return readers of the decompressed contents of the files that the source has, by file name.

        Raises:
            UnavailableError: If the source cannot be used.
            DamagedError: If it delivered a file that cannot be read; a reader may raise it as well.
        """

"""Fashion-MNIST in Debian's package, fetched by apt and unpacked without being installed."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from symbreak.config.specs import Set
from symbreak.data.sources.source import Reader, UnavailableError
from symbreak.data.sources.tool import run
from symbreak.data.unpack import DamagedError, unpack
from symbreak.data.workspace import Workspace


@dataclass(frozen=True)
class Debian:
    """The package ``package``, whose ``.gz`` files lie in ``folder``."""

    package: str
    folder: str

    @property
    def name(self) -> str:
        """The package; its content, not its version, is what is verified."""
        return f"debian {self.package}"

    def open(self, name: Set, work: Workspace) -> Mapping[str, Reader]:
        """See `Source.open`."""
        folder = work.whole("debian", self._download) / self.folder
        return {path.stem: partial(unpack, path) for path in folder.glob("*.gz")}

    def _download(self, folder: Path) -> None:
        fetch = ["apt-get", "download", self.package]
        try:
            run(fetch, folder)
        except UnavailableError as error:
            if "Unable to locate" not in str(error):
                raise
            self._update(folder)
            run(fetch, folder)
        archive = next(folder.glob("*.deb"))
        try:
            run(["dpkg-deb", "-x", archive.name, "."], folder)
        except UnavailableError as error:
            raise DamagedError(archive, str(error)) from error
        archive.unlink()

    def _update(self, folder: Path) -> None:
        if os.geteuid() != 0:
            raise UnavailableError(
                f"apt's package lists lack {self.package}; run 'apt-get update' as root if this is Debian or Ubuntu"
            )
        run(["apt-get", "update"], folder)


FASHION_MNIST = Debian("dataset-fashion-mnist", "usr/share/datasets/fashion-mnist")

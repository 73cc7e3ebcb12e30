"""torchvision's own download against an upstream on this machine."""

import gzip
import hashlib
import io
import pickle
import shutil
import socket
import struct
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest

from symbreak.data.catalogue import files
from symbreak.data.collect import collect
from symbreak.data.formats import write_records
from symbreak.data.sources.source import UnavailableError
from symbreak.data.sources.torchvision_download import Torchvision, download
from symbreak.data.unpack import DamagedError
from symbreak.data.workspace import workspace

Upstream = tuple[dict[str, Any], dict[str, bytes]]  # class attributes, contents


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass

    def copyfile(self, source: IO[bytes], outputfile: IO[bytes]) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # torchvision closes its first request after the headers
            super().copyfile(source, outputfile)


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Serve a new folder on 127.0.0.1; give the folder and its URL."""
    folder = tmp_path / "upstream"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def tiny_mnist(folder: Path, url: str) -> Upstream:
    """Serve 12 images of 4 x 4 as each of MNIST's parts; return the class attributes and the contents."""
    rng = np.random.default_rng(5)
    images = b"\0\0\x08\x03" + struct.pack(">3I", 12, 4, 4) + rng.bytes(192)
    labels = b"\0\0\x08\x01" + struct.pack(">I", 12) + bytes(range(10)) + b"\0\1"
    contents = {
        f"{part}-{kind}-ubyte": content
        for part in ("train", "t10k")
        for kind, content in (("images-idx3", images), ("labels-idx1", labels))
    }
    resources = []
    for name, content in contents.items():
        packed = gzip.compress(content, mtime=0)
        (folder / f"{name}.gz").write_bytes(packed)
        resources.append([f"{name}.gz", md5(packed)])
    return {"mirrors": [url], "resources": resources}, contents


def tiny_cifar(folder: Path, url: str) -> Upstream:
    """Serve six batches of 3 images in the python version; return the class attributes and the binary version."""
    rng = np.random.default_rng(6)
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    members, binary = {}, {}
    for name in names:
        data, labels = rng.integers(256, size=(3, 3072), dtype=np.uint8), rng.integers(10, size=3)
        members[name] = pickle.dumps({"data": data, "labels": labels.tolist()})
        binary[f"{name}.bin"] = b"".join(bytes([c]) + row.tobytes() for c, row in zip(labels, data, strict=True))
    members["batches.meta"] = pickle.dumps({"label_names": list("abcdefghij")})
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    (folder / "cifar-10-python.tar.gz").write_bytes(buffer.getvalue())
    hashes = [[name, md5(members[name])] for name in names]
    attributes = {
        "url": f"{url}cifar-10-python.tar.gz",
        "tgz_md5": md5(buffer.getvalue()),
        "train_list": hashes[:5],
        "test_list": hashes[5:],
        "meta": {"filename": "batches.meta", "key": "label_names", "md5": md5(members["batches.meta"])},
    }
    return attributes, binary


def test_the_real_files_pass_torchvisions_md5_and_our_hashes(
    tmp_path: Path, upstream: tuple[Path, str], mirror: Path
) -> None:
    folder, url = upstream
    for path in (mirror / "mnist").glob("*.gz"):
        shutil.copy(path, folder)
    with workspace(tmp_path / "data", "mnist") as work:
        found = collect("mnist", files("mnist"), [Torchvision({"mirrors": [url]})], work)
    assert {f.source for f in found.values()} == {"torchvision"}
    assert len(found) == 4


def test_pickles_become_the_binary_version(tmp_path: Path, upstream: tuple[Path, str]) -> None:
    attributes, binary = tiny_cifar(*upstream)
    assert download("cifar10", tmp_path, attributes) == {}
    assert {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()} == binary


def test_a_damaged_download_is_kept_aside(tmp_path: Path, upstream: tuple[Path, str]) -> None:
    attributes, _ = tiny_cifar(*upstream)
    archive = upstream[0] / "cifar-10-python.tar.gz"
    archive.write_bytes(archive.read_bytes()[:-50])
    with workspace(tmp_path, "cifar10") as work, pytest.raises(DamagedError) as caught:
        Torchvision(attributes).open("cifar10", work)
    expected, found = attributes["tgz_md5"], md5(archive.read_bytes())
    assert f"expected the published md5 {expected}, found {found}" in str(caught.value)
    assert not (tmp_path / "downloads" / "cifar10").exists()


@pytest.mark.parametrize("spoil", [lambda c: c[:-5], lambda c: c[:30] + bytes([c[30] ^ 1]) + c[31:]])
def test_torchvision_refuses_truncated_and_flipped_files(
    tmp_path: Path, upstream: tuple[Path, str], spoil: Callable[[bytes], bytes]
) -> None:
    attributes, _ = tiny_mnist(*upstream)
    path = upstream[0] / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(spoil(path.read_bytes()))
    outcome = download("mnist", tmp_path, attributes)
    assert Path(outcome["damaged"]).read_bytes() == path.read_bytes()
    assert md5(path.read_bytes()) in outcome["reason"]


def test_what_torchvision_accepts_is_laid_out_whole(tmp_path: Path, upstream: tuple[Path, str]) -> None:
    attributes, contents = tiny_mnist(*upstream)
    assert download("mnist", tmp_path, attributes) == {}
    assert {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()} == contents


def test_unreachable_is_a_reason_not_a_traceback(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        with workspace(tmp_path, "mnist") as work, pytest.raises(UnavailableError, match=r"not reachable: .*refused"):
            Torchvision({"mirrors": [url]}).open("mnist", work)


def test_a_silent_upstream_is_given_up_in_time(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with workspace(tmp_path, "mnist") as work, pytest.raises(UnavailableError, match=r"stopped after 0\.5 s"):
            Torchvision({"mirrors": [url]}, timeout=0.5).open("mnist", work)


def test_the_published_md5_are_torchvisions() -> None:
    from torchvision import datasets

    for name, dataset in (("mnist", datasets.MNIST), ("fashion_mnist", datasets.FashionMNIST)):
        assert {(e.published, e.md5) for e in files(name).values()} == set(dataset.resources)


def test_records_are_a_label_then_planes() -> None:
    image = np.arange(3072, dtype=np.int64).astype(np.uint8).reshape(1, 3, 32, 32)
    assert write_records(image, np.array([7], np.uint8)) == bytes([7]) + bytes(i % 256 for i in range(3072))

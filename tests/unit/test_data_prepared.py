"""Published formats and the prepared file."""

import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from symbreak.data.catalogue import files
from symbreak.data.formats import prepare, read_idx, read_records
from symbreak.data.prepared import Bytes, Prepared, load, save
from symbreak.data.sources.mirror import find
from symbreak.data.unpack import unpack
from symbreak.errors import SymbreakError


def some_set() -> Prepared:
    rng = np.random.default_rng(1)
    return Prepared(
        rng.integers(256, size=(30, 3, 4, 5), dtype=np.uint8),
        rng.integers(10, size=30, dtype=np.uint8),
        rng.integers(256, size=(7, 3, 4, 5), dtype=np.uint8),
        rng.integers(10, size=7, dtype=np.uint8),
    )


def arrays(prepared: Prepared) -> list[Bytes]:
    return [prepared.train_images, prepared.train_labels, prepared.test_images, prepared.test_labels]


def test_a_prepared_set_survives_saving(tmp_path: Path) -> None:
    saved = some_set()
    save(tmp_path / "set.npz", saved)
    for left, right in zip(arrays(saved), arrays(load(tmp_path / "set.npz")), strict=True):
        assert left.dtype == right.dtype == np.uint8
        np.testing.assert_array_equal(left, right)
    with np.load(tmp_path / "set.npz", allow_pickle=False) as plain:
        np.testing.assert_array_equal(plain["test_images"], saved.test_images)


def test_the_file_does_not_depend_on_the_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "a.npz", some_set())
    monkeypatch.setattr("time.time", lambda: 1.9e9)
    save(tmp_path / "b.npz", some_set())
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_loaded_arrays_are_private_and_torch_takes_them_without_a_warning(tmp_path: Path) -> None:
    save(tmp_path / "set.npz", some_set())
    before = hashlib.sha256((tmp_path / "set.npz").read_bytes()).hexdigest()
    torch.from_numpy(load(tmp_path / "set.npz").train_images)[:] = 0
    assert hashlib.sha256((tmp_path / "set.npz").read_bytes()).hexdigest() == before


@pytest.mark.parametrize("content", [b"", b"not a zip file at all"])
def test_a_file_that_is_no_prepared_set_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "set.npz").write_bytes(content)
    with pytest.raises(SymbreakError, match="is not a prepared set"):
        load(tmp_path / "set.npz")


def test_compressed_and_missing_arrays_are_refused(tmp_path: Path) -> None:
    names = dict(zip(("train_images", "train_labels", "test_images", "test_labels"), arrays(some_set()), strict=True))
    np.savez_compressed(tmp_path / "packed.npz", **names)
    with pytest.raises(SymbreakError, match="not a stored array"):
        load(tmp_path / "packed.npz")
    del names["test_labels"]
    np.savez(tmp_path / "short.npz", **names)
    with pytest.raises(SymbreakError, match="test_labels"):
        load(tmp_path / "short.npz")


def test_numbers_of_images_and_labels_must_agree() -> None:
    images, labels = np.zeros((4, 1, 2, 2), np.uint8), np.zeros(3, np.uint8)
    with pytest.raises(SymbreakError, match=r"found uint8 \[4, 1, 2, 2\] and uint8 \[3\]"):
        Prepared(images, labels, images, labels)


def test_idx_is_read_row_by_row() -> None:
    content = b"\0\0\x08\x03" + struct.pack(">3I", 2, 2, 3) + bytes(range(12))
    np.testing.assert_array_equal(read_idx(content), np.arange(12).reshape(2, 2, 3))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0\0\x0d\x01" + struct.pack(">I", 1) + b"\0", "starts with"),
        (b"\0\0\x08\x01" + struct.pack(">I", 3) + b"\0\0", r"shape \[3\] has 11 bytes, found 10"),
    ],
)
def test_broken_idx_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(SymbreakError, match=message):
        read_idx(content)


def test_broken_records_are_refused() -> None:
    with pytest.raises(SymbreakError, match="3073 bytes each"):
        read_records(bytes(3072))


def test_batches_are_joined_in_order_and_the_last_is_the_test_set() -> None:
    rng = np.random.default_rng(2)
    batches = [rng.integers(256, size=(2, 3073), dtype=np.uint8) for _ in range(6)]
    prepared = prepare({f"{i}.bin": batch.tobytes() for i, batch in enumerate(batches)})
    np.testing.assert_array_equal(prepared.train_labels, [row[0] for batch in batches[:5] for row in batch])
    np.testing.assert_array_equal(prepared.test_images[1, 2, 3, 4], batches[5][1, 1 + 2 * 1024 + 3 * 32 + 4])
    assert prepared.train_images.shape == (10, 3, 32, 32)


def test_mnist_is_where_its_format_puts_it(mirror: Path) -> None:
    contents = {file: unpack(find(mirror, "mnist", file)) for file in files("mnist")}
    prepared = prepare(contents)
    assert prepared.train_images.shape == (60000, 1, 28, 28)
    for n in (0, 1234, 59999):
        raw = contents["train-images-idx3-ubyte"][16 + 784 * n : 16 + 784 * (n + 1)]
        assert prepared.train_images[n].tobytes() == raw
    assert prepared.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert prepared.test_labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]

"""A prepared set: four arrays in one ``.npz``, mapped into memory rather than read."""

import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from symbreak.errors import SymbreakError

Bytes = npt.NDArray[np.uint8]

LOCAL_HEADER = 30  # bytes before name and extra field of a zip member; their lengths are its last two uint16


@dataclass(frozen=True)
class Prepared:
    """A whole set: images uint8 ``[N, C, H, W]`` and labels uint8 ``[N]``, in the original order.

    Raises:
        SymbreakError: If dtypes or shapes are others.
    """

    train_images: Bytes
    train_labels: Bytes
    test_images: Bytes
    test_labels: Bytes

    def __post_init__(self) -> None:
        """Check dtypes and shapes."""
        for part in ("train", "test"):
            images, labels = getattr(self, f"{part}_images"), getattr(self, f"{part}_labels")
            if images.ndim != 4 or labels.shape != images.shape[:1] or {images.dtype, labels.dtype} != {np.dtype("u1")}:
                raise SymbreakError(
                    f"{part} images must be uint8 [N, C, H, W] and labels uint8 [N], found "
                    f"{images.dtype} {list(images.shape)} and {labels.dtype} {list(labels.shape)}"
                )


def save(path: Path, prepared: Prepared) -> None:
    """Write the four arrays uncompressed; equal arrays give equal bytes."""
    arrays = {field.name: np.ascontiguousarray(getattr(prepared, field.name)) for field in fields(prepared)}
    with path.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def load(path: Path) -> Prepared:
    """Map a prepared set into memory; pages are read when touched and shared between processes.

    Writing to the arrays changes this process's copy only.

    Raises:
        SymbreakError: If the file is not a prepared set.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return Prepared(*(_map(path, archive.getinfo(f"{field.name}.npy")) for field in fields(Prepared)))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        how = "make it with python -m symbreak.data.run"
        raise SymbreakError(f"{path} is not a prepared set ({error}); {how}") from error


def _map(path: Path, member: zipfile.ZipInfo) -> Bytes:
    with path.open("rb") as stream:
        stream.seek(member.header_offset + LOCAL_HEADER - 4)
        name, extra = np.frombuffer(stream.read(4), "<u2").tolist()
        stream.seek(name + extra, 1)
        if member.compress_type != zipfile.ZIP_STORED or np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError(f"{member.filename} is not a stored array of format 1.0")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        if fortran or dtype != np.uint8:
            raise ValueError(f"{member.filename} is not a row-major array of uint8")
        # copy on write: torch warns about arrays that cannot be written to
        return np.asarray(np.memmap(path, np.uint8, mode="c", offset=stream.tell(), shape=shape))

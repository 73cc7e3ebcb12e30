"""The published formats: idx (MNIST, Fashion-MNIST) and CIFAR-10's binary version."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from symbreak.data.prepared import Prepared
from symbreak.errors import SymbreakError

Bytes = npt.NDArray[np.uint8]

SIDE = 32  # of a CIFAR-10 image
RECORD = 1 + 3 * SIDE * SIDE  # one label byte, then the red, green and blue planes
IDX_OF_BYTES = b"\x00\x00\x08"


def read_idx(content: bytes) -> Bytes:
    """Return the array of an idx file of unsigned bytes (yann.lecun.com/exdb/mnist).

    Raises:
        SymbreakError: If the header is another one or the length does not fit it.
    """
    if content[:3] != IDX_OF_BYTES:
        raise SymbreakError(f"an idx file of bytes starts with {IDX_OF_BYTES!r}, found {content[:3]!r}")
    header = 4 + 4 * content[3]
    shape = np.frombuffer(content[4:header], ">u4").astype(np.int64)
    size = header + shape.prod()
    if len(content) != size:
        raise SymbreakError(f"an idx file of shape {shape.tolist()} has {size} bytes, found {len(content)}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def read_records(content: bytes) -> tuple[Bytes, Bytes]:
    """Return images ``[N, 3, 32, 32]`` and labels ``[N]`` of a file of CIFAR-10's binary version.

    Raises:
        SymbreakError: If the file is not a whole number of records.
    """
    if len(content) % RECORD:
        raise SymbreakError(f"records have {RECORD} bytes each, which does not divide {len(content)}")
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    return records[:, 1:].reshape(-1, 3, SIDE, SIDE), records[:, 0]


def write_records(images: Bytes, labels: Bytes) -> bytes:
    """Return images ``[N, 3, 32, 32]`` and labels ``[N]`` as a file of CIFAR-10's binary version."""
    return np.concatenate([labels[:, None], images.reshape(len(images), -1)], axis=1).tobytes()


def prepare(contents: Mapping[str, bytes]) -> Prepared:
    """Turn the decompressed files of a set, by name in the order training, test, into its four arrays.

    Raises:
        SymbreakError: If a file is not in its format or images and labels differ in number.
    """
    if any(name.endswith(".bin") for name in contents):
        batches = [read_records(content) for content in contents.values()]
        images = np.concatenate([i for i, _ in batches[:-1]])
        labels = np.concatenate([label for _, label in batches[:-1]])
        return Prepared(images, labels, *batches[-1])
    arrays = {name: read_idx(content) for name, content in contents.items()}
    images, test = (arrays[f"{part}-images-idx3-ubyte"][:, None] for part in ("train", "t10k"))
    return Prepared(images, arrays["train-labels-idx1-ubyte"], test, arrays["t10k-labels-idx1-ubyte"])

"""Two pictures of one figure: PNG pixel by pixel, SVG line by line."""

import re
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from symbreak.audit.finding import ABSENT

NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
ID = re.compile(r"\b(?:[a-z]|C[0-9a-f]+_[0-9a-f]+_)[0-9a-f]{10}\b")
"""matplotlib's ids of markers, clip paths, hatches and collections: hashes of coordinates in full precision."""
AROUND = 60
"""Letters shown on either side of the first that differs."""


@dataclass(frozen=True)
class Apart:
    """What differs between two pictures.

    Attributes:
        expected: What the first has where they first differ, with the place.
        found: What the second has there.
        size: The largest difference: levels of 255 of a PNG, points of an SVG; infinite if they cannot be compared.
        said: How much differs, and where most.
    """

    expected: str
    found: str
    size: float
    said: str = ""


def pixels(expected: Path, found: Path) -> Apart | None:
    """Compare two PNGs.

    Args:
        expected: The picture drawn again.
        found: The picture that is audited.

    Returns:
        Nothing if every pixel is the same, else the first pixel that differs, row by row from the top left, both
        counted from 0, and the number and the largest of all differences.
    """
    one, other = _read(expected), _read(found)
    if other is None or one is None:
        return Apart("a PNG that can be read", "another content", np.inf)
    if one.shape != other.shape:
        return Apart(_size(one), _size(other), np.inf)
    levels = np.abs(one.astype(int) - other.astype(int)).max(axis=2)
    if not levels.any():
        return None
    first, worst = np.argwhere(levels)[0], np.argwhere(levels == levels.max())[0]
    said = (
        f"{np.count_nonzero(levels)} of {levels.size} pixels differ; "
        f"most, by {levels.max()} of 255, at {_pixel(one, worst)}, found {_colour(other, worst)}"
    )
    return Apart(_pixel(one, first), _pixel(other, first), float(levels.max()), said)


def drawings(expected: Path, found: Path) -> Apart | None:
    """Compare two SVGs.

    Args:
        expected: The picture drawn again.
        found: The picture that is audited.

    Returns:
        Nothing if every line is the same, else the first line that differs, how many do, and by how many points
        their coordinates do; infinitely if anything but coordinates and hashed ids differs.
    """
    pairs = list(zip_longest(*(path.read_text(errors="replace").splitlines() for path in (expected, found))))
    differ = [(i, one, other) for i, (one, other) in enumerate(pairs) if one != other]
    if not differ:
        return None
    line, one, other = differ[0]
    sizes = [_points(first or "", second or "") for _, first, second in differ]
    said = f"{len(differ)} of {len(pairs)} lines differ; most, by {max(sizes):.3g} points"
    return Apart(_line(line, one, other), _line(line, other, one), max(sizes), said)


def _read(path: Path) -> NDArray[np.uint8] | None:
    """Return red, green, blue and opacity, ``[rows, columns, 4]``; nothing if it is no picture."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGBA"))
    except (OSError, ValueError, SyntaxError):  # what Pillow raises of broken files
        return None


def _size(picture: NDArray[np.uint8]) -> str:
    return f"{picture.shape[0]} rows of {picture.shape[1]} pixels"


def _pixel(picture: NDArray[np.uint8], at: NDArray[np.intp]) -> str:
    return f"row {at[0]}, column {at[1]}: {_colour(picture, at)}"


def _colour(picture: NDArray[np.uint8], at: NDArray[np.intp]) -> str:
    return "#" + bytes(picture[at[0], at[1]]).hex()


def _points(one: str, other: str) -> float:
    if _text(one) != _text(other):
        return np.inf
    numbers = zip(*(NUMBER.findall(ID.sub("", line)) for line in (one, other)), strict=True)
    return max((abs(float(a) - float(b)) for a, b in numbers), default=0.0)


def _text(line: str) -> str:
    return NUMBER.sub("0", ID.sub("", line))


def _line(number: int, line: str | None, other: str | None) -> str:
    """The neighbourhood of the first letter that differs; lines are counted from 1, as editors do."""
    if line is None:
        return ABSENT
    same = next((i for i, (a, b) in enumerate(zip(line, other or "", strict=False)) if a != b), 0)
    return f"line {number + 1}: {line[max(0, same - AROUND) : same + AROUND]}"

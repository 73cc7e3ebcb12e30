"""Class-balanced subsets."""

import numpy as np
import numpy.typing as npt

from symbreak.errors import SymbreakError

Rows = npt.NDArray[np.int64]


def balanced(labels: npt.NDArray[np.uint8], count: int | None, classes: int, seed: int) -> Rows:
    """Draw ``count`` rows without replacement, the same number of each class.

    If ``count`` is not a multiple of ``classes``, the classes of the lowest numbers have one row more. Subsets of the
    same seed are nested: a smaller one is part of a larger one.

    Args:
        labels: True labels of the whole set, uint8 ``[N]``.
        count: Rows to draw; None is the whole set.
        classes: Number of classes.
        seed: Seed of the draw.

    Returns:
        Rows in ascending order, int64 ``[count]``.

    Raises:
        SymbreakError: If the set has too few rows of a class.
    """
    if count is None:
        return np.arange(len(labels))
    rng = np.random.Generator(np.random.PCG64(seed))
    drawn = []
    for label in range(classes):
        rows, wanted = np.flatnonzero(labels == label), count // classes + (label < count % classes)
        if len(rows) < wanted:
            raise SymbreakError(
                f"a class-balanced subset of {count} needs {wanted} images of class {label}, and the set has "
                f"{len(rows)}; ask for fewer images, or for null, the whole set as it is"
            )
        drawn.append(rng.permutation(rows)[:wanted])
    return np.sort(np.concatenate(drawn))

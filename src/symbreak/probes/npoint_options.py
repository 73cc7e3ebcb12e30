"""What probes of sampled nets read from params.yaml: the net's name and the points at which it is evaluated."""

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from symbreak.errors import SymbreakError
from symbreak.theory.correlators import KERNELS, Neuron

Array = NDArray[np.float64]


def named(neuron: str) -> Neuron:
    """Return the name of a net of arXiv:2008.08601.

    Raises:
        SymbreakError: There is no such net.
    """
    if neuron not in KERNELS:
        raise SymbreakError(f"expected 'neuron' to be one of {sorted(KERNELS)}, found '{neuron}'; choose one of them")
    return cast(Neuron, neuron)


def located(points: Sequence[Sequence[float]]) -> Array:
    """Return points as an array [P, d].

    Raises:
        SymbreakError: They are not finite numbers, d of them a point.
    """
    lengths = {len(point) for point in points}
    if len(lengths) != 1 or lengths == {0} or not np.isfinite([c for point in points for c in point]).all():
        raise SymbreakError(
            f"expected 'points' as a list of lists of d finite numbers, at least one, found {list(points)}; for d = 1 "
            "write [[0.2], [0.4]]"
        )
    return np.array(points, dtype=np.float64)


def sized(ensembles: Sequence[tuple[int, int]], least: int) -> Sequence[tuple[int, int]]:
    """Return pairs (width, number of nets) if widths are at least 1 and numbers at least ``least``.

    Raises:
        SymbreakError: Some are not.
    """
    bad = [[width, nets] for width, nets in ensembles if width < 1 or nets < least]
    if bad:
        raise SymbreakError(
            f"expected pairs of a width of at least 1 and at least {least} nets, found {bad}; give larger numbers"
        )
    return ensembles

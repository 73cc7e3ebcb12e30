"""Least-squares couplings: which combination of integrals comes closest to Delta G4, and how well it is determined.

Every ordered tuple of inputs counts once, as in the code of arXiv:2008.08601 (lam_fit.py: 1,296 tuples of 6 inputs),
whose gradient descent on the mean squared error ends where this closed form is.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from symbreak.errors import SymbreakError
from symbreak.theory.wick import multisets

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """Couplings ``[k]`` and 1/condition number of the terms, each scaled to length 1 (0: they are collinear)."""

    couplings: Array
    reciprocal_condition: float


def multiplicities(points: int, order: int) -> Array:
    """Return how many ordered tuples each multiset of ``order`` out of ``points`` points stands for, ``[E]``."""
    counts = (np.bincount(chosen) for chosen in multisets(points, order))
    return np.array([math.factorial(order) / math.prod(math.factorial(n) for n in count) for count in counts])


def fit(terms: Array, target: Array, points: int) -> Fit:
    """Fit ``target`` ``[E_4]`` by couplings times ``terms`` ``[k, E_4]``; of collinear terms the shortest solution.

    Raises:
        SymbreakError: A term vanishes at all inputs, so that nothing determines its coupling.
    """
    root = np.sqrt(multiplicities(points, 4))
    columns = (terms * root).T
    lengths = np.linalg.norm(columns, axis=0)
    if not (lengths > 0).all():
        raise SymbreakError(
            f"expected terms that do not vanish, found term {int(np.argmin(lengths))} to be 0 at all inputs; "
            "leave it out or take other inputs"
        )
    scaled, _, _, singular = np.linalg.lstsq(columns / lengths, target * root)
    return Fit(scaled / lengths, float(singular[-1] / singular[0]))

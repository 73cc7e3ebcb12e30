"""How far a function is from commuting with a transformation: defects, relative and without unit.

* commutator of a non-linearity R with Q: ``|R(Q x) - Q R(x)| / |R(Q x)|`` (Fok, An and Wang, arXiv:1710.06096,
  section 3: Q is left over by R if and only if ``[R, Q] = 0``);
* covariance defect: ``|f(Q x) - Q' f(x)| / |f(x)|`` (section 2.2), with Q' the identity the invariance defect.

Norms are over all samples and components of one element Q; 0 is an exact symmetry, 1 is no likeness at all.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from symbreak.errors import SymbreakError
from symbreak.seeding import derive
from symbreak.theory.groups import Element, Shape, elements, identity

Array = NDArray[np.float64]
Map = Callable[[Tensor], Tensor]
MAPS: Shape = (1, 8, 8)  # of the random features on which a non-linearity is tried: 64 of them, also as a map
BATCH = 64  # random inputs an element


def covariance_defect(f: Map, x: Tensor, element: Element, image: Element = identity) -> float:
    """Return ``|f(Q x) - Q' f(x)| / |f(x)|``.

    Args:
        f: (``[B, ...]``) -> ``[B, ...]``.
        x: Inputs ``[B, ...]``.
        element: Q, which acts on inputs.
        image: Q', which acts on outputs; default: the identity, for the invariance of ``f``.

    Raises:
        SymbreakError: If the outputs are all zero, or not finite.
    """
    still = f(x)
    return relative(f(element(x)) - image(still), still)


def commutator(
    nonlinearity: Map, group: str, *, samples: int, seed: int, theta: float, shape: Shape = MAPS
) -> tuple[float, float]:
    """Average the commutator norm of a non-linearity with a group over elements and random inputs.

    Args:
        nonlinearity: R, (``[B, *shape]``) -> the same shape.
        group: A key of ``GROUPS``.
        samples: How many elements, each with ``BATCH`` inputs of its own from N(0, 1); a group with fewer is gone
            through again.
        seed: Of elements and inputs.
        theta: Angle of ``block_rotation`` and the ``map_rotation``s, radians.
        shape: Of a sample.

    Returns:
        The mean and its standard error.

    Raises:
        SymbreakError: If ``R(Q x)`` is zero on all inputs, or not finite, or has another shape.
    """
    listed = list(elements(group, shape, samples, seed, theta))
    norms = []
    for draw in range(samples):
        generator = np.random.default_rng(derive(seed, "features", group, str(draw)))
        x = torch.from_numpy(generator.standard_normal((BATCH, *shape)))
        element = listed[draw % len(listed)]
        moved = nonlinearity(element(x))
        if moved.shape != x.shape:
            raise SymbreakError(
                f"a non-linearity must keep the shape {list(x.shape)}, but it gives {list(moved.shape)}"
            )
        norms.append(relative(moved - element(nonlinearity(x)), moved))
    return float(np.mean(norms)), float(np.std(norms, ddof=1) / math.sqrt(samples))


def relative(difference: Tensor, size: Tensor) -> float:
    """Return ``|difference| / |size|``.

    Raises:
        SymbreakError: If the size is zero or one of them is not finite.
    """
    above, below = float(torch.linalg.vector_norm(difference)), float(torch.linalg.vector_norm(size))
    if below == 0 or not math.isfinite(above) or not math.isfinite(below):
        raise SymbreakError(
            f"a relative defect needs finite outputs that are not all zero, but |difference| is {above} and |outputs| "
            f"{below}; choose other inputs or weights"
        )
    return above / below


def averaged(above: Array, below: Array, sampled: bool) -> tuple[Array, Array]:
    """Average defects over elements: ``mean_s sqrt(sum_n above[s, n] / sum_n below[n])``, with a standard error.

    Args:
        above: Squared differences ``[S, R, N]``: elements, replicas, inputs.
        below: Squared sizes ``[R, N]``.
        sampled: Whether the elements are a random sample of their group, and not all of it.

    Returns:
        Mean and error ``[R]``. The error is that of the jackknife over inputs (elements held fixed), joined in
        quadrature by the standard error over elements if these are sampled: if anything too large, as what both
        have in common is counted twice.
    """
    total, size = above.sum(2), below.sum(1)
    defects = np.sqrt(total / size)
    left_out = np.sqrt(np.maximum(total[:, :, None] - above, 0) / (size[:, None] - below)).mean(0)
    inputs = above.shape[2]
    variance = (inputs - 1) / inputs * np.square(left_out - left_out.mean(1, keepdims=True)).sum(1)
    return defects.mean(0), np.sqrt(variance + (_of_mean(defects) if sampled else 0))


def mean_change(change: Array, sampled: bool) -> tuple[Array, Array]:
    """Average signed changes ``[S, R, N]`` over elements and inputs; mean and error ``[R]``, the error as above."""
    over_inputs = _of_mean(np.moveaxis(change.mean(0), 1, 0))
    over_elements = _of_mean(change.mean(2)) if sampled else 0
    return change.mean((0, 2)), np.sqrt(over_inputs + over_elements)


def _of_mean(values: Array) -> Array:
    """Squared standard error of the mean over the first axis."""
    variance: Array = np.var(values, axis=0, ddof=1) / len(values)
    return variance


def best_image(still: Array, moved: Array) -> Array:
    """Return squared residuals ``|f(Q x_n) - Q' f(x_n)|^2`` ``[N]`` for the linear Q' that fits best.

    Q' is fitted by least squares on every other input and applied to those between, and the other way round, so that
    a Q' with many components gains nothing by their number. Zero if and only if f is covariant under Q.

    Args:
        still: ``f(x)`` ``[N, C]``.
        moved: ``f(Q x)`` ``[N, C]``.
    """
    found = np.empty(len(still))
    even = np.arange(len(still)) % 2 == 0
    for fitted in (even, ~even):
        image = np.linalg.lstsq(still[fitted], moved[fitted])[0]
        found[~fitted] = np.square(moved[~fitted] - still[~fitted] @ image).sum(1)
    return found

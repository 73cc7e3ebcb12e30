"""Quadrature over the cube [-L, L]^d and over directions, for integrands that are smooth along rays from the origin.

A point of the cube is y = s v with v on the surface of the unit cube and 0 <= s <= L, so that dy = s^(d-1) ds dS(v).
ReLU-net's kernel has a kink at y = 0 and none along a ray, which this keeps at the end of the panels. Gauss-Legendre
throughout; along a ray in panels whose length doubles, from the kernel's own length up to L.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from symbreak.errors import SymbreakError

Array = NDArray[np.float64]
MOST_DIMENSIONS = 3  # of a product rule
RADIAL = 12  # nodes a panel; with panels that double, integrals of smooth kernels to 1e-10
FACE = {1: 1, 2: 32, 3: 12}  # nodes on each half of an axis of a face: integrals of ReLU-net's kernel to 1e-7


def surface(dimension: int, nodes: int) -> tuple[Array, Array]:
    """Return points v ``[M, d]`` on the surface of [-1, 1]^d and their weights ``[M]``, whose sum is 2 d 2^(d-1).

    Args:
        dimension: d, 1 to 3.
        nodes: Gauss-Legendre nodes on each half of an axis of a face; 0 is an edge, as kernels may have a kink there.

    Raises:
        SymbreakError: ``dimension`` is not 1, 2 or 3.
    """
    if not 1 <= dimension <= MOST_DIMENSIONS:
        raise SymbreakError(f"expected 1 to {MOST_DIMENSIONS} input dimensions for a product rule, found {dimension}")
    t, w = _panels(np.array([-1.0, 0.0, 1.0]), nodes)
    flat = _product([t] * (dimension - 1))
    weights = _product([w] * (dimension - 1)).prod(axis=1)
    faces = [np.insert(flat, axis, side, axis=1) for axis in range(dimension) for side in (-1.0, 1.0)]
    return np.concatenate(faces), np.tile(weights, len(faces))


def solid(dimension: int, cutoff: float, scale: float | None) -> tuple[Array, Array]:
    """Return points y ``[M, d]`` of [-L, L]^d and their weights ``[M]``.

    Args:
        dimension: d, 1 to 3.
        cutoff: L.
        scale: Length over which the integrand changes along a ray, where the panels start; None: it is a polynomial
            along each ray, as for a homogeneous kernel.

    Raises:
        SymbreakError: ``cutoff`` or ``scale`` is not positive, or ``dimension`` is not 1, 2 or 3.
    """
    if not cutoff > 0 or (scale is not None and not scale > 0):
        raise SymbreakError(f"expected a cutoff and a scale above 0, found {cutoff} and {scale}")
    s, along = _panels(_edges(cutoff, scale), RADIAL)
    v, across = surface(dimension, FACE.get(dimension, 1))
    y = (s[:, None, None] * v).reshape(-1, dimension)
    return y, np.outer(along * s ** (dimension - 1), across).ravel()


def directions(dimension: int, nodes: int) -> tuple[Array, Array]:
    """Return unit vectors ``[M, d]`` and weights ``[M]`` of sum 1: the mean over all directions.

    The surface element of the cube is seen from the origin under the solid angle dS / |v|^d.
    """
    v, weights = surface(dimension, nodes)
    length = np.linalg.norm(v, axis=1)
    angles = weights / length**dimension
    return v / length[:, None], angles / angles.sum()


def _edges(cutoff: float, scale: float | None) -> Array:
    if scale is None or scale >= cutoff:
        return np.array([0.0, cutoff])
    doublings = int(np.ceil(np.log2(cutoff / scale)))
    return np.array([0.0, *scale * 2.0 ** np.arange(doublings), cutoff])


def _panels(edges: Array, nodes: int) -> tuple[Array, Array]:
    t, w = np.polynomial.legendre.leggauss(nodes)
    points = [(left + right) / 2 + (right - left) / 2 * t for left, right in pairwise(edges)]
    return np.concatenate(points), np.concatenate([(right - left) / 2 * w for left, right in pairwise(edges)])


def _product(axes: list[Array]) -> Array:
    """All combinations, ``[M, number of axes]``; one of none."""
    if not axes:
        return np.ones((1, 0))
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))

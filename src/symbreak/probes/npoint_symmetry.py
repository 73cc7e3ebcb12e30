"""Whether an ensemble's 2- and 4-point functions are invariant under a group, with the same networks on both sides.

The difference G(g f) - G(f) is taken network by network (common random numbers): the noise of the two terms cancels
where the group hardly moves them. Each element's z is its mean over B blocks of networks by the standard error of that
mean; the p-value is that of the largest |t| over all elements and group elements, against the same after random
signs of whole blocks (under invariance a Haar rotation and its inverse are alike, so that a difference has no
preferred sign).

* Outputs, f -> R f: G2_ij(x, y) at all pairs of points, and G4_ijkl at coincident points (x, x, x, x).
* Inputs, f(x) -> f(R x): G2 and G4 of each output at all multisets of points.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from symbreak.theory.wick import multisets

Array = NDArray[np.float64]
FLIPS = 999  # random signs: the least p-value is 1e-3
CHUNK = 2**12  # elements whose flipped sums are held at once: FLIPS x CHUNK float64, 33 MB
TIE = 1e-10  # relative difference of two equal sums in another order


@dataclass(frozen=True)
class Invariance:
    """Result of a test over K group elements.

    Attributes:
        z: Largest |z| over the elements of the correlator, ``[K]``.
        p: p-value of the largest of all.
        p_error: Its standard error, of the random signs.
    """

    z: Array
    p: float
    p_error: float


def haar(count: int, dimension: int, rank: int, generator: np.random.Generator) -> Array:
    """Return the first ``rank`` columns of Haar-distributed rotations of SO(d), ``[count, d, rank]``.

    QR of a Gaussian matrix with R's diagonal made positive (Mezzadri 2007, arXiv:math-ph/0609050); determinant 1.
    """
    q, r = np.linalg.qr(generator.standard_normal((count, dimension, rank)))
    q = q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None]
    if rank == dimension:
        q[:, :, -1] *= np.linalg.det(q)[:, None]
    found: Array = q
    return found


def permutations(count: int, dimension: int, generator: np.random.Generator) -> Array:
    """Return matrices of random permutations other than the identity, ``[count, d, d]``; d at least 2."""
    found: list[Array] = []
    while len(found) < count:
        order = generator.permutation(dimension)
        if (order != np.arange(dimension)).any():
            found.append(np.eye(dimension)[order])
    return np.stack(found)


def rotated_points(x: Array, count: int, generator: np.random.Generator) -> Array:
    """Return Haar rotations of points [P, d], ``[count, P, d]``, by random frames of the space that the points span."""
    u, s, v = np.linalg.svd(x, full_matrices=False)
    if len(s) == x.shape[1] and np.linalg.det(v) < 0:
        u[:, -1] *= -1  # with v's last row: the frames then differ from v by a rotation
    found: Array = (u * s) @ np.swapaxes(haar(count, x.shape[1], len(s), generator), 1, 2)
    return found


def output_differences(f: Array, group: Array, parts: Sequence[slice], order: int) -> Iterable[Array]:
    """Yield, for each element R of ``group`` ``[K, D, D]``, the block sums of G(R f) - G(f), ``[B, E]``.

    Args:
        f: Outputs ``[M, P, D]``.
        group: Orthogonal matrices.
        parts: Blocks of networks.
        order: 2 or 4.
    """
    _, points, outputs = f.shape
    if order == 2:
        grams = np.stack([_gram(f[part].reshape(-1, 1, points * outputs)) for part in parts])
        kept = np.triu_indices(points * outputs)
    else:
        squares = [np.einsum("mpi,mpj->mpij", f[part], f[part]).reshape(-1, points, outputs**2) for part in parts]
        grams = np.stack([_gram(square) for square in squares])
        i, j, k, l = multisets(outputs, 4).T  # noqa: E741
        kept = (i * outputs + j, k * outputs + l)
    for matrix in group:
        action = np.kron(np.eye(points), matrix) if order == 2 else np.kron(matrix, matrix)
        moved = action @ grams @ action.T - grams
        yield moved[:, :, kept[0], kept[1]].reshape(len(parts), -1)


def verdict(differences: Iterable[Array], generator: np.random.Generator, rounding: float = 0.0) -> Invariance:
    """Test whether differences have mean 0.

    Args:
        differences: For each group element the block sums ``[B, E]`` of a difference.
        generator: Source of the random signs.
        rounding: Elements whose root sum of squares over blocks is not above it are not moved by the group.
    """
    signs: Array | None = None
    largest: list[float] = []
    flipped = np.zeros(FLIPS)
    for found in differences:
        if signs is None:
            signs = generator.choice([-1.0, 1.0], size=(FLIPS, len(found)))
        norms = np.linalg.norm(found, axis=0)
        moved = found[:, norms > rounding] / norms[norms > rounding]
        largest.append(float(np.abs(moved.sum(axis=0)).max(initial=0.0)))
        for start in range(0, moved.shape[1], CHUNK):
            flipped = np.maximum(flipped, np.abs(signs @ moved[:, start : start + CHUNK]).max(axis=1))
    p = (1 + np.sum(flipped >= max(largest) * (1 - TIE))) / (1 + FLIPS)
    count = 0 if signs is None else signs.shape[1]
    return Invariance(_student(np.array(largest), count), float(p), float(np.sqrt(p * (1 - p) / FLIPS)))


def _student(ratio: Array, count: int) -> Array:
    """|sum d| / |d| of B numbers d to their mean by its standard error: t^2 = (B - 1) q / (B - q), q = ratio^2."""
    q = ratio**2
    with np.errstate(divide="ignore"):  # blocks that all agree: an infinite z
        found: Array = np.sqrt((count - 1) * q / np.maximum(count - q, 0.0))
    return found


def _gram(values: Array) -> Array:
    """Sum over networks of the outer products of ``[M, P, n]``, ``[P, n, n]``."""
    columns = values.transpose(1, 2, 0)
    found: Array = columns @ values.transpose(1, 0, 2)
    return found

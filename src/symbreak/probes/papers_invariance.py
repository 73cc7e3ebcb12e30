"""The invariance test of the authors of arXiv:2106.00694, as their code has it (catalogue S5); it can hardly fail.

M = R G - G for group elements R = exp(sum_{i<j} u_ij J_ij), u_ij uniform on [0, 1): not Haar. mu_M and sigma_M are
mean and root mean square of M's entries over all R; delta_M = sqrt(2) times the average over entries of the standard
deviation of G between 10 chunks, not that of their mean. Their verdict is sigma_M < delta_M.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm

Array = NDArray[np.float64]
ELEMENTS = 1000


def elements(dimension: int, generator: np.random.Generator) -> Array:
    """Return the group elements R, ``[ELEMENTS, D, D]``."""
    upper = np.triu(generator.uniform(size=(ELEMENTS, dimension, dimension)), 1)
    found: Array = expm(upper - np.swapaxes(upper, 1, 2))
    return found


def papers_test(chunks: Array, order: int, group: Array) -> dict[str, float]:
    """Return ``mu_m``, ``sigma_m`` and ``delta_m``, in the unit of the correlator.

    Args:
        chunks: G of each chunk, ``[B, ..., D x order]`` with 2 or 4 indices of outputs.
        order: 2 or 4.
        group: R, ``[K, D, D]``.
    """
    dimension = chunks.shape[-1]
    side = dimension ** (order // 2)
    matrices = chunks.mean(axis=0).reshape(-1, side, side)
    action = group if order == 2 else np.einsum("kij,klm->kiljm", group, group).reshape(len(group), side, side)
    moved = action[:, None] @ matrices @ np.swapaxes(action, 1, 2)[:, None] - matrices
    return {
        "mu_m": float(moved.mean()),
        "sigma_m": float(np.sqrt(np.mean(moved**2))),
        "delta_m": float(np.sqrt(2) * chunks.std(axis=0).mean()),
    }

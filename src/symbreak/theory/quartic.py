"""Quartic couplings of networks at initialisation, to first order (arXiv:2008.08601 and its code nn-qft).

The networks' density is that of a Gaussian process times e^{-dS}. Sign: dS = - lambda_0 int f^4 - lambda_2 int y^2 f^4
- lambda_NL int int f^2 f^2, as the code's lam_fit.py and rg.py have it, so that couplings of these networks, whose
connected 4-point functions are positive, are positive. With kappa = K - sigma_b^2 (b1 does not propagate)

    Delta G4(x_1 .. x_4) = lambda_0 T0 + lambda_2 T2 + lambda_NL T_NL
    T0 = 24 int dy prod_a kappa(y, x_a),  T2 = 24 int dy |y|^2 prod_a kappa(y, x_a)
    T_NL = 8 sum_3 int dy kappa(y, x_1) kappa(y, x_2)  int dy' kappa(y', x_3) kappa(y', x_4)

over [-L, L]^d with the cutoff L. Inputs are arrays [P, d]; correlators and integrals are ``[E]`` over
``symbreak.theory.wick.multisets``; everything is dimensionless.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from symbreak.theory.correlators import KERNELS, Neuron
from symbreak.theory.cube import solid
from symbreak.theory.wick import multisets, places, splits, wick

Array = NDArray[np.float64]
Legs = Callable[[Array], Array]


@dataclass(frozen=True)
class Domain:
    """Where the interaction lives: [-cutoff, cutoff]^d; ``scale`` is the kernel's length, None if it has none."""

    cutoff: float
    scale: float | None


@dataclass(frozen=True)
class Integrals:
    """T0 (``local``), T2 (``squared``) and T_NL (``nonlocal_``), each ``[E_4]``."""

    local: Array
    squared: Array
    nonlocal_: Array


def propagator(neuron: Neuron, x: Array, sigma_b: float) -> Legs:
    """Return kappa = K - sigma_b^2 as a function of points y ``[M, d]`` with values ``[P, M]``; sigma_w = 1."""
    return lambda y: KERNELS[neuron](x, y, 1.0, sigma_b) - sigma_b**2


def integrals(legs: Legs, points: int, dimension: int, domain: Domain) -> Integrals:
    """Return T0, T2 and T_NL of the external ``legs``, which are functions of y at ``points`` inputs.

    Args:
        legs: kappa, from y ``[M, d]`` to ``[P, M]``.
        points: Number of inputs P.
        dimension: Input dimension d, 1 to 3.
        domain: The cube.

    Raises:
        SymbreakError: The domain is empty or has too many dimensions.
    """
    y, weights = solid(dimension, domain.cutoff, domain.scale)
    kappa, pairs, quadruples = legs(y), multisets(points, 2), multisets(points, 4)
    products = kappa[pairs[:, 0]] * kappa[pairs[:, 1]]
    first, second = places(points, quadruples[:, :2]), places(points, quadruples[:, 2:])
    local = (products * weights) @ products.T
    squared = (products * (weights * np.sum(y**2, axis=1))) @ products.T
    nonlocal_ = 8 * wick(products @ weights, points, 4)
    return Integrals(24 * local[first, second], 24 * squared[first, second], nonlocal_)


def six_point_first_order(g2: Array, delta4: Array, points: int) -> Array:
    """Return the 6-point function to first order in the couplings, sum_15 K K K + sum_15 K Delta G4, ``[..., E_6]``.

    Args:
        g2: K, ``[..., E_2]``.
        delta4: The couplings' contribution to the 4-point function, ``[..., E_4]``.
        points: Number of points P.
    """
    return wick(g2, points, 6) + splits(g2, delta4, points, (2, 4))

"""Moments of a ReLU neuron without bias at inputs of up to three dimensions, as an integral over directions.

E[prod_a max(0, w.x_a)] with w ~ N(0, 1/d)^d splits into length and direction of w, as the product is homogeneous:
E|w|^n times the mean over directions u of prod_a max(0, u.x_a).
"""

import math

import numpy as np
from numpy.typing import NDArray

from symbreak.theory.cube import directions
from symbreak.theory.wick import multisets

Array = NDArray[np.float64]
NODES = {1: 1, 2: 400, 3: 120}  # relative error of moments about 1e-6, from kinks where w.x = 0


def moments_relu(x: Array, order: int) -> Array:
    """Return M_n = E[s(x_1) ... s(x_n)] of ``order`` n at points [P, d] with sigma_w = 1 and sigma_b = 0, ``[E_n]``.

    Raises:
        SymbreakError: The points have more than 3 dimensions.
    """
    d = x.shape[1]
    u, weights = directions(d, NODES.get(d, 1))
    s = np.maximum(0.0, u @ x.T).T
    # E|w|^n = (2/d)^(n/2) Gamma((n + d)/2) / Gamma(d/2), a chi distribution with d degrees of freedom
    length = (2 / d) ** (order / 2) * math.gamma((order + d) / 2) / math.gamma(d / 2)
    found: Array = length * np.array([weights @ s[list(chosen)].prod(axis=0) for chosen in multisets(len(x), order)])
    return found

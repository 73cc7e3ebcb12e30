"""Exact correlators of Gauss-, Erf- and ReLU-nets at initialisation, at every width (arXiv:2008.08601).

f(x) = b1 + sum_j W1_j s_j(x), z_j = W0_j.x + b0_j, with standard deviations sigma_w/sqrt(d), sigma_b, sigma_w/sqrt(N),
sigma_b, all of mean 0. ``gauss``: s = exp(z - sigma_b^2 - sigma_w^2 |x|^2/d); ``erf``: s = erf(z); ``relu``:
s = max(0, z).

Given the neurons f is Gaussian with covariance sigma_b^2 + sigma_w^2 S, S(x, y) = (1/N) sum_j s_j(x) s_j(y). By the law
of total cumulance the connected 2k-point function is the k-th cumulant of S summed over all pairings; S is a mean of N
independent neurons, whose cumulants are those of one neuron by N^(k-1). With M_n the moments of one neuron:

    G2   = sigma_b^2 + sigma_w^2 M_2
    G4_c = sigma_w^4 / N   [3 M_4 - sum_3 M_2 M_2]
    G6_c = sigma_w^6 / N^2 [15 M_6 - 3 sum_15 M_2 M_4 + 2 sum_15 M_2 M_2 M_2]

Inputs are arrays [P, d]; everything is dimensionless. Correlators are ``[E]`` over ``symbreak.theory.wick.multisets``.
"""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from symbreak.errors import SymbreakError
from symbreak.theory import gaussnet
from symbreak.theory.wick import multisets, splits, wick

Array = NDArray[np.float64]
Neuron = Literal["gauss", "erf", "relu"]
RANK = 1e-12  # singular values below this fraction of the largest are rounding
NODES = 120  # of the Gauss-Hermite rule, an axis: erf's moments to 1e-10 for |x|, sigma_w, sigma_b <= 1 (80: 2e-8)
MOST_AXES = 2  # of the Gauss-Hermite rule: NODES^2 nodes


def kernel_erf(x: Array, y: Array, sigma_w: float = 1.0, sigma_b: float = 1.0) -> Array:
    """Return Erf-net's 2-point function [P, Q] (Williams 1997, Computing with infinite networks).

    K = sigma_b^2 + sigma_w^2 (2/pi) asin(2<x,y> / sqrt((1 + 2<x,x>) (1 + 2<y,y>))), with
    <x,y> = sigma_b^2 + sigma_w^2 x.y/d.
    """
    xy, xx, yy = _products(x, y, sigma_w, sigma_b)
    angle = np.arcsin(2 * xy / np.sqrt(np.outer(1 + 2 * xx, 1 + 2 * yy)))
    covariance: Array = sigma_b**2 + sigma_w**2 * 2 / np.pi * angle
    return covariance


def kernel_relu(x: Array, y: Array, sigma_w: float = 1.0, sigma_b: float = 0.0) -> Array:
    """Return ReLU-net's 2-point function [P, Q] (Cho and Saul 2009, arc-cosine kernel of degree 1).

    K = sigma_b^2 + sigma_w^2/(2 pi) sqrt(<x,x><y,y>) (sin t + (pi - t) cos t), cos t = <x,y>/sqrt(<x,x><y,y>).
    """
    xy, xx, yy = _products(x, y, sigma_w, sigma_b)
    norms = np.sqrt(np.outer(xx, yy))
    # at the origin without bias the neuron is 0 and its angle has no meaning
    cosine = np.clip(np.divide(xy, norms, out=np.zeros_like(xy), where=norms > 0), -1, 1)
    angle = np.arccos(cosine)
    covariance: Array = sigma_b**2 + sigma_w**2 / (2 * np.pi) * norms * (np.sin(angle) + (np.pi - angle) * cosine)
    return covariance


KERNELS: dict[str, Callable[[Array, Array, float, float], Array]] = {
    "gauss": gaussnet.kernel,
    "erf": kernel_erf,
    "relu": kernel_relu,
}


def two_point(neuron: Neuron, x: Array, sigma_w: float = 1.0, sigma_b: float = 1.0) -> Array:
    """Return G2 = K(x_a, x_b) at every width, ``[E_2]``."""
    a, b = multisets(len(x), 2).T
    found: Array = KERNELS[neuron](x, x, sigma_w, sigma_b)[a, b]
    return found


def moments(neuron: Neuron, x: Array, order: int, sigma_w: float = 1.0, sigma_b: float = 1.0) -> Array:
    """Return one neuron's moments M_n = E[s(x_1) ... s(x_n)] of ``order`` n, ``[E_n]``.

    ``gauss``: closed form at any d. ``relu``: closed form for d = 1 and sigma_b = 0; with s = |x| max(0, sign(x) w) it
    is (1/2) E|w|^n prod |x_a| if all x_a have one sign, else 0. ``erf``: see :func:`moments_by_quadrature`.

    Raises:
        SymbreakError: ReLU-net with d > 1 or sigma_b > 0, whose moments have no closed form here: sample them with
            ``symbreak.probes.npoint_sampling.neuron_moments``.
    """
    tuples = multisets(len(x), order)
    if neuron == "gauss":
        return np.array([gaussnet.moment(x[list(chosen)], sigma_w, sigma_b) for chosen in tuples])
    if neuron == "erf":
        return moments_by_quadrature(lambda z, _: erf(z), x, order, sigma_w, sigma_b)
    if x.shape[1] != 1 or sigma_b != 0:
        raise SymbreakError(
            f"expected d = 1 and sigma_b = 0 for closed moments of ReLU-net, found d = {x.shape[1]}, sigma_b = "
            f"{sigma_b}; sample them with symbreak.probes.npoint_sampling.neuron_moments"
        )
    chosen = x[:, 0][tuples]
    alike = (chosen > 0).all(axis=1) | (chosen < 0).all(axis=1)
    absolute = 2 ** (order / 2) * math.gamma((order + 1) / 2) / math.sqrt(math.pi)  # E|n|^order, n ~ N(0, 1)
    found: Array = np.where(alike, 0.5 * sigma_w**order * absolute * np.abs(chosen).prod(axis=1), 0.0)
    return found


def moments_by_quadrature(
    neuron: Callable[[Array, Array], Array], x: Array, order: int, sigma_w: float = 1.0, sigma_b: float = 1.0
) -> Array:
    """Return E[s(x_1) ... s(x_n)] ``[E_n]`` by a product Gauss-Hermite rule in the directions that the points span.

    Exact to rounding only for a smooth neuron; it converges slowly for a kink.

    Args:
        neuron: s as a function of pre-activations z ``[P, nodes]`` and inputs ``[P, 1, d]``.
        x: Inputs [P, d].
        order: n.
        sigma_w: Scale of the weights.
        sigma_b: Standard deviation of the biases.

    Raises:
        SymbreakError: The points and the bias span more than ``MOST_AXES`` directions.
    """
    factor = whitened(x, sigma_w, sigma_b)
    if factor.shape[1] > MOST_AXES:
        raise SymbreakError(
            f"expected points that span at most {MOST_AXES} directions with the bias, found {factor.shape[1]}; take "
            f"d = 1, or sample with symbreak.probes.npoint_sampling.neuron_moments"
        )
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    weights = weights / weights.sum()
    grid = np.stack(np.meshgrid(*[nodes] * factor.shape[1], indexing="ij")).reshape(factor.shape[1], -1)
    mass = np.stack(np.meshgrid(*[weights] * factor.shape[1], indexing="ij")).reshape(factor.shape[1], -1).prod(axis=0)
    s = neuron(factor @ grid, x[:, None])
    return np.array([mass @ s[list(chosen)].prod(axis=0) for chosen in multisets(len(x), order)])


def whitened(x: Array, sigma_w: float, sigma_b: float) -> Array:
    """Return A [P, r] with z = A n, n ~ N(0, 1)^r, one neuron's pre-activations at all points; r is their rank.

    z = F m with F = [sigma_w x/sqrt(d), sigma_b] and m ~ N(0, 1)^(d+1). Where F has full column rank A = F, so that a
    draw of n is one of (W0, b0) whatever the points; else F = U S V^T, and n = V^T m gives the same z from fewer draws.
    """
    f = np.hstack([sigma_w * x / math.sqrt(x.shape[1]), np.full((len(x), 1), sigma_b)])
    f = f[:, f.any(axis=0)]
    u, s, _ = np.linalg.svd(f, full_matrices=False)
    used = s > RANK * s[0] if len(s) else s > 0
    factor: Array = f if used.sum() == f.shape[1] else u[:, used] * s[used]
    return factor


def connected_four_of_moments(m2: Array, m4: Array, points: int, width: int, sigma_w: float = 1.0) -> Array:
    """Return G4_c ``[..., E_4]`` at ``width`` N of one neuron's moments ``[..., E_n]``: exactly 1/N."""
    found: Array = sigma_w**4 / width * (3 * m4 - wick(m2, points, 4))
    return found


def connected_six_of_moments(m2: Array, m4: Array, m6: Array, points: int, width: int, sigma_w: float = 1.0) -> Array:
    """Return G6_c ``[..., E_6]`` at ``width`` N of one neuron's moments ``[..., E_n]``: exactly 1/N^2."""
    terms = 15 * m6 - 3 * splits(m2, m4, points, (2, 4)) + 2 * wick(m2, points, 6)
    found: Array = sigma_w**6 / width**2 * terms
    return found


def connected_four_point(neuron: Neuron, x: Array, width: int, sigma_w: float = 1.0, sigma_b: float = 1.0) -> Array:
    """Return the exact G4_c of nets of ``width`` N at points [P, d], ``[E_4]``; see :func:`moments` for its limits."""
    m2, m4 = (moments(neuron, x, order, sigma_w, sigma_b) for order in (2, 4))
    return connected_four_of_moments(m2, m4, len(x), width, sigma_w)


def connected_six_point(neuron: Neuron, x: Array, width: int, sigma_w: float = 1.0, sigma_b: float = 1.0) -> Array:
    """Return the exact G6_c of nets of ``width`` N at points [P, d], ``[E_6]``; see :func:`moments` for its limits."""
    m2, m4, m6 = (moments(neuron, x, order, sigma_w, sigma_b) for order in (2, 4, 6))
    return connected_six_of_moments(m2, m4, m6, len(x), width, sigma_w)


def four_point(neuron: Neuron, x: Array, width: int, sigma_w: float = 1.0, sigma_b: float = 1.0) -> Array:
    """Return the exact G4 = sum_3 K K + G4_c, ``[E_4]``."""
    g2 = two_point(neuron, x, sigma_w, sigma_b)
    return wick(g2, len(x), 4) + connected_four_point(neuron, x, width, sigma_w, sigma_b)


def six_point(neuron: Neuron, x: Array, width: int, sigma_w: float = 1.0, sigma_b: float = 1.0) -> Array:
    """Return the exact G6 = sum_15 K K K + sum_15 K G4_c + G6_c, ``[E_6]``."""
    g2 = two_point(neuron, x, sigma_w, sigma_b)
    four = connected_four_point(neuron, x, width, sigma_w, sigma_b)
    six = connected_six_point(neuron, x, width, sigma_w, sigma_b)
    return wick(g2, len(x), 6) + splits(g2, four, len(x), (2, 4)) + six


def _products(x: Array, y: Array, sigma_w: float, sigma_b: float) -> tuple[Array, Array, Array]:
    """Covariances of z: <x,y> [P, Q], <x,x> [P], <y,y> [Q]."""
    scale = sigma_w**2 / x.shape[1]
    xy = sigma_b**2 + scale * x @ y.T
    return xy, sigma_b**2 + scale * np.sum(x**2, axis=1), sigma_b**2 + scale * np.sum(y**2, axis=1)

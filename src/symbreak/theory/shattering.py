"""How fast gradients at two inputs decorrelate with depth at initialisation (Balduzzi et al. 2017, arXiv:1702.08591).

The correlation is E[g(x) g(x')] / E[g(x)^2] over the weights, of a gradient g of the output. In a rectifier net of L
hidden layers with weights of variance 2 / width, the way back through a layer multiplies the variance by
``2 P(active)`` and the covariance by ``2 P(both active)``. The forms below hold where a unit is active for half of the
inputs and for a quarter of the pairs: mean-centred pre-activations at unrelated inputs. For neighbours on a grid, which
share their activity, and without centring, correlations are larger.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def plain(depth: ArrayLike) -> Array:
    """Return the correlation 2^-L of a feed-forward net: variance 1, covariance 1/2 a layer."""
    return np.asarray(0.5 ** np.asarray(depth, dtype=np.float64))


def residual(depth: ArrayLike) -> Array:
    """Return the correlation (3/4)^L of a residual net without norm: variance 2, covariance 3/2 a block."""
    return np.asarray(0.75 ** np.asarray(depth, dtype=np.float64))


def residual_normed(depth: ArrayLike, beta: float = 1.0) -> Array:
    """Return the correlation 1 / sqrt(1 + beta^2 L) of a residual net with BatchNorm and branches scaled by beta.

    The paper's form, up to a constant factor; :func:`residual_normed_exact` has the product it comes from.
    """
    return np.asarray(1 / np.sqrt(1 + beta**2 * np.asarray(depth, dtype=np.float64)))


def residual_normed_exact(depth: int, beta: float = 1.0) -> float:
    """Return the product of the blocks' factors, of which :func:`residual_normed` is an approximation for small beta.

    Block l (from 0) meets variance ``1 + beta^2 l``, by which its norm divides: the variance of the way back grows by
    ``1 + u``, u = beta^2 / (1 + beta^2 l), the covariance by ``1 + u / 2``. For beta = 1 the product tends to
    ``2 / sqrt(pi L)``, 1.13 times the paper's form.
    """
    gain = beta**2 / (1 + beta**2 * np.arange(depth))
    return float(np.prod((1 + gain / 2) / (1 + gain)))


def white_autocorrelation(points: int) -> Array:
    """Return the expected sample autocorrelation of n independent numbers at lags 0 to n - 1: 1, then -(n-k)/(n(n-1)).

    Exact for any exchangeable series: deviations from the sample's mean sum to zero, so that the products of the
    n (n - 1) ordered pairs sum to minus the sum of squares; n - k pairs lie at lag k.
    """
    lags = np.arange(points)
    expected: Array = -(points - lags) / (points * (points - 1.0))
    expected[0] = 1.0
    return expected


NODES = np.linspace(-30.0, 30.0, 1201)  # of log t, beyond which the integrand of 3 or more points is below 1e-12


def brownian_autocorrelation(points: int) -> Array:
    """Return the expected sample autocorrelation of Brownian motion on n points at lags 0 to n - 1.

    Without its mean, a path of independent increments is ``sum_j sqrt(b_j) z_j v_j`` with v_j the cosines of frequency
    j = 1 ... n - 1 (the eigenvectors of the path's Laplacian, whose eigenvalues are ``1 / b_j = 4 sin^2(pi j / 2 n)``)
    and z_j independent standard normal numbers. Different modes do not correlate in the ratio, so that the expectation
    is ``sum_j w_j sum_i v_j(i) v_j(i + k)`` with the expected shares, exactly (Magnus 1986, for ratios of quadratic
    forms),

        w_j = E[b_j z_j^2 / sum_i b_i z_i^2] = int_0^inf b_j / (1 + 2 t b_j) prod_i (1 + 2 t b_i)^(-1/2) dt,

    taken by the trapezoidal rule in log t, whose error falls exponentially; shares are divided by their sum, 1.
    """
    modes = np.arange(1, points)
    variances = 0.25 / np.sin(np.pi * modes / (2 * points)) ** 2
    t = np.exp(NODES)[:, None] / variances.sum()
    decay = -0.5 * np.log1p(2 * t * variances).sum(axis=1, keepdims=True)
    shares = (t * np.exp(decay) * variances / (1 + 2 * t * variances)).sum(axis=0)
    places = np.arange(points)
    vectors = np.sqrt(2 / points) * np.cos(np.pi * modes[:, None] * (places + 0.5) / points)
    weighted = vectors.T @ (vectors * (shares / shares.sum())[:, None])
    return np.array([np.trace(weighted, offset=lag) for lag in places])

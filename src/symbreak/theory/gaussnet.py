"""Closed forms of the Gauss-net's correlators at initialisation (Stoner, string_data 2020; arXiv:2008.08601).

f(x) = b1 + sum_j W1_j s_j(x),  s_j(x) = exp(W0_j.x + b0_j) / sqrt(exp[2 (sigma_b^2 + sigma_w^2 |x|^2 / d)]),
W0 ~ N(0, sigma_w^2/d), b0, b1 ~ N(0, sigma_b^2), W1 ~ N(mean_w1, sigma_w^2/N).
Inputs are arrays [P, d] (points, input dimension); everything is dimensionless.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def log_normaliser(x: Array, sigma_w: float = 1.0, sigma_b: float = 1.0) -> Array:
    """Return log of the neuron's denominator, sigma_b^2 + sigma_w^2 |x|^2 / d, shape [P] (the talk's sigma(x))."""
    logarithm: Array = sigma_b**2 + sigma_w**2 * np.sum(x**2, axis=-1) / x.shape[-1]
    return logarithm


def log_normaliser_authors(x: Array) -> Array:
    """Return log of the denominator in the authors' code, (1 + |x|^2) / d, shape [P].

    Their GaussNet ignores sigma_b and sigma_w and divides the 1 by d as well, so that it is the talk's
    formula only for d = 1 and sigma_b = sigma_w = 1.
    """
    logarithm: Array = (1 + np.sum(x**2, axis=-1)) / x.shape[-1]
    return logarithm


def moment(points: Array, sigma_w: float = 1.0, sigma_b: float = 1.0) -> float:
    """Return the single-neuron moment M_n = E[s(x_1) ... s(x_n)] at ``points`` of shape [n, d].

    The exponent sum_a z_a is Gaussian with variance n^2 sigma_b^2 + sigma_w^2 |sum_a x_a|^2 / d, hence
    M_n = exp{(n^2/2 - n) sigma_b^2 + sigma_w^2/(2d) (|sum_a x_a|^2 - 2 sum_a |x_a|^2)}.
    """
    n, d = points.shape
    squares = np.sum(points.sum(axis=0) ** 2) - 2 * np.sum(points**2)
    return float(np.exp((n**2 / 2 - n) * sigma_b**2 + sigma_w**2 / (2 * d) * squares))


def kernel(x: Array, y: Array, sigma_w: float = 1.0, sigma_b: float = 1.0) -> Array:
    """Return the talk's K_Gauss(x, y) = sigma_b^2 + sigma_w^2 exp(-sigma_w^2 |x-y|^2 / (2 d)), shape [P, Q].

    For mean_w1 = 0 it is the two-point function E[f(x) f(y)] at every width N, not only for N -> infinity.
    """
    distance2 = np.sum((x[:, None] - y[None]) ** 2, axis=-1)
    covariance: Array = sigma_b**2 + sigma_w**2 * np.exp(-(sigma_w**2) * distance2 / (2 * x.shape[-1]))
    return covariance


def two_point(
    x: Array, width: int, log_gain: Array, mean_w1: float = 0.0, sigma_w: float = 1.0, sigma_b: float = 1.0
) -> Array:
    """Return E[f(x) f(y)] for neurons multiplied by exp(log_gain(x)) and a shifted last layer, shape [P, P].

    Gain 0 and mean_w1 = 0 give :func:`kernel`. A mean adds mean_w1^2 [N M_2(x, y) + N (N-1) M_1(x) M_1(y)],
    the only term that knows the width.

    Args:
        x: Inputs [P, d].
        width: Number of neurons N.
        log_gain: Logarithm of the factor on every neuron at each input, [P]: 0 for the talk's normaliser.
        mean_w1: Mean of the last layer's weights.
        sigma_w: Scale of the weights.
        sigma_b: Standard deviation of the biases.
    """
    gain = np.exp(log_gain)
    second = np.outer(gain, gain) * (kernel(x, x, sigma_w, sigma_b) - sigma_b**2) / sigma_w**2
    first = gain * np.array([moment(point[None], sigma_w, sigma_b) for point in x])
    shifted: Array = width * second + width * (width - 1) * np.outer(first, first)
    return sigma_b**2 + sigma_w**2 * second + mean_w1**2 * shifted

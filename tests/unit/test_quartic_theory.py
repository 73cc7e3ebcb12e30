"""Quadrature, integrals, fits and ReLU moments of quartic couplings, against slow or closed forms."""

import math
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import integrate, stats

from symbreak.errors import SymbreakError
from symbreak.theory.correlators import KERNELS, connected_four_point, moments, six_point, two_point
from symbreak.theory.cube import directions, solid, surface
from symbreak.theory.quartic import Domain, integrals, propagator, six_point_first_order
from symbreak.theory.quartic_fit import fit, multiplicities
from symbreak.theory.relu_moments import moments_relu
from symbreak.theory.wick import multisets

Array = NDArray[np.float64]
SQUARE = [[0.5, 0.5], [0.5, 1.0], [1.0, 0.5], [1.0, 1.0]]
CORNERS = [[0.2, 0.2, 0.2], [1.0, 1.0, 0.2], [0.2, 1.0, 1.0], [1.0, 0.2, 1.0]]


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_quadrature_is_exact_for_polynomials_on_the_cube_its_surface_and_the_sphere(dimension: int) -> None:
    y, weights = solid(dimension, 3.0, 0.5)
    assert weights.sum() == pytest.approx(6.0**dimension)
    assert weights @ y[:, 0] ** 4 == pytest.approx(2 * 3.0**5 / 5 * 6.0 ** (dimension - 1))
    assert (np.abs(y) <= 3).all()
    assert surface(dimension, 3)[1].sum() == pytest.approx(dimension * 2.0**dimension)
    u, share = directions(dimension, 40)
    assert share @ u[:, 0] ** 2 == pytest.approx(1 / dimension, rel=1e-9)


def test_a_quadrature_of_the_impossible_is_refused() -> None:
    with pytest.raises(SymbreakError, match="1 to 3 input dimensions"):
        solid(4, 1.0, None)
    with pytest.raises(SymbreakError, match="above 0"):
        solid(1, -1.0, None)


def direct(neuron: str, x: Array, chosen: tuple[int, ...], cutoff: float, sigma_b: float) -> tuple[float, float, float]:
    """T0, T2 and T_NL of one quadruple at d = 1, from the definition, by scipy's adaptive quadrature."""

    def kappa(y: float, a: int) -> float:
        return float(KERNELS[neuron](x[[a]], np.array([[y]]), 1.0, sigma_b)[0, 0]) - sigma_b**2

    def integrand(y: float, power: int, legs: tuple[int, ...]) -> float:
        return y**power * math.prod(kappa(y, a) for a in legs)

    def over(power: int, *legs: int) -> float:
        edges = sorted({-cutoff, *np.clip([-10.0, 0.0, 10.0], -cutoff, cutoff), cutoff})
        parts = (integrate.quad(integrand, *pair, (power, legs), epsabs=1e-30, epsrel=1e-8) for pair in pairwise(edges))
        return sum(part[0] for part in parts)

    a, b, c, d = chosen
    splits = [((a, b), (c, d)), ((a, c), (b, d)), ((a, d), (b, c))]
    return 24 * over(0, *chosen), 24 * over(2, *chosen), 8 * sum(over(0, *p) * over(0, *q) for p, q in splits)


@pytest.mark.parametrize(
    ("neuron", "sigma_b", "scale", "cutoff"),
    [("gauss", 1.0, 0.5, 30.0), ("erf", 1.0, 0.5, 100.0), ("relu", 0.0, None, 7.0), ("relu", 1.0, 1.0, 50.0)],
)
def test_integrals_are_those_of_the_definition(neuron: Any, sigma_b: float, scale: float | None, cutoff: float) -> None:
    x = np.array([[-0.3], [0.4], [1.1]])
    found = integrals(propagator(neuron, x, sigma_b), 3, 1, Domain(cutoff, scale))
    tuples = multisets(3, 4).tolist()
    for chosen in ([0, 0, 1, 2], [0, 1, 1, 1]):
        at = tuples.index(chosen)
        expected = direct(neuron, x, tuple(chosen), cutoff, sigma_b)
        mine = [found.local[at], found.squared[at], found.nonlocal_[at]]
        np.testing.assert_allclose(mine, expected, rtol=1e-7, atol=1e-12 * cutoff**7)


def test_gauss_nets_integral_is_a_gaussian_one() -> None:
    """T0 = 24 sqrt(pi/2) exp(-(sum x^2 - (sum x)^2/4)/2) without a cutoff."""
    x = np.linspace(-1, 1, 4)[:, None]
    found = integrals(propagator("gauss", x, 1.0), 4, 1, Domain(30.0, 0.5)).local
    four = x[:, 0][multisets(4, 4)]
    exponent = (np.sum(four**2, axis=1) - np.sum(four, axis=1) ** 2 / 4) / 2
    np.testing.assert_allclose(found, 24 * np.sqrt(np.pi / 2) * np.exp(-exponent), rtol=1e-9)


@pytest.mark.parametrize(("points", "tolerance"), [(SQUARE, 2e-3), (CORNERS, 3e-3)])
def test_integrals_in_more_dimensions_agree_with_quasi_random_points(points: Any, tolerance: float) -> None:
    x, cutoff = np.array(points), 7.0
    count, d = x.shape
    y = cutoff * (2 * stats.qmc.Sobol(d, rng=0).random_base2(15) - 1)
    kappa = KERNELS["relu"](x, y, 1.0, 0.0)
    products = kappa[multisets(count, 4)].prod(axis=1)
    found = integrals(propagator("relu", x, 0.0), count, d, Domain(cutoff, None))
    volume = (2 * cutoff) ** d
    np.testing.assert_allclose(found.local, 24 * volume * products.mean(axis=1), rtol=tolerance)
    squared = 24 * volume * (products * np.sum(y**2, axis=1)).mean(axis=1)
    np.testing.assert_allclose(found.squared, squared, rtol=tolerance)


def test_moments_of_relu_are_the_closed_ones_and_the_kernel() -> None:
    line = np.array([[0.3], [-0.5], [1.2]])
    for order in (2, 4, 6):
        np.testing.assert_allclose(moments_relu(line, order), moments("relu", line, order, 1.0, 0.0), rtol=1e-12)
    for points in (SQUARE, CORNERS):
        x = np.array(points)
        np.testing.assert_allclose(moments_relu(x, 2), two_point("relu", x, 1.0, 0.0), rtol=3e-6)


def test_fourth_moments_of_relu_are_those_of_drawn_neurons() -> None:
    x = np.array(CORNERS)
    s = np.maximum(0, np.random.default_rng(0).standard_normal((200_000, 3)) @ x.T / np.sqrt(3))
    products = s[:, multisets(4, 4)].prod(axis=2)
    z = (moments_relu(x, 4) - products.mean(axis=0)) / (products.std(axis=0) / np.sqrt(len(s)))
    assert np.abs(z).max() < 4.5


def test_fit_is_least_squares_over_all_ordered_tuples() -> None:
    generator = np.random.default_rng(1)
    terms, target = generator.random((2, 15)), generator.random(15)
    tuples = multisets(3, 4).tolist()
    places = [tuples.index(sorted(chosen)) for chosen in product(range(3), repeat=4)]
    expected = np.linalg.lstsq(terms.T[places], target[places])[0]
    found = fit(terms, target, 3)
    np.testing.assert_allclose(found.couplings, expected, rtol=1e-12)
    assert multiplicities(3, 4).sum() == 81
    assert 0.01 < found.reciprocal_condition < 1
    assert fit(np.stack([target, 3 * target]), target, 3).reciprocal_condition < 1e-14
    with pytest.raises(SymbreakError, match="term 1 to be 0"):
        fit(np.stack([target, 0 * target]), target, 3)


def test_first_order_is_the_exact_six_point_function_up_to_its_connected_part() -> None:
    x = np.array([[0.3], [0.9]])
    four = connected_four_point("erf", x, 10**8)
    first = six_point_first_order(two_point("erf", x), four, 2)
    np.testing.assert_allclose(first, six_point("erf", x, 10**8), rtol=1e-14)
    ratio = six_point_first_order(two_point("erf", x), connected_four_point("erf", x, 5), 2) / six_point("erf", x, 5)
    assert np.abs(ratio - 1).max() > 1e-5

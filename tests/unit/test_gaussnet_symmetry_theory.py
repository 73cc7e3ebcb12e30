"""Invariant tensors, laws of weights and the tangent kernel, against slow sums and samples that know no shortcut."""

from itertools import product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats

from symbreak.errors import SymbreakError
from symbreak.probes.npoint_symmetry import haar
from symbreak.theory.correlators import moments
from symbreak.theory.invariants import invariant_part, rotated
from symbreak.theory.ntk import first_layer_part, last_layer_part
from symbreak.theory.weight_laws import (
    LAWS,
    connected_four_tensor,
    four_tensor,
    transformed,
    two_point_tensor,
    weight_moment,
)
from symbreak.theory.wick import multisets

Array = NDArray[np.float64]
X = np.array([[-0.5], [0.3], [0.8]])


@pytest.mark.parametrize(("dimension", "order"), [(3, 2), (5, 2), (3, 4), (5, 4)])
def test_invariant_part_is_the_mean_over_the_group(dimension: int, order: int) -> None:
    """Oracle: the average of R T over many Haar rotations; exact only in the limit, hence the tolerance."""
    generator = np.random.default_rng(0)
    tensor = generator.standard_normal((dimension,) * order)
    group = haar(4000, dimension, dimension, generator)
    moved = np.stack([rotated(tensor, element, order) for element in group])
    found = invariant_part(tensor, order)
    error = moved.std(axis=0) / np.sqrt(len(group))
    assert (np.abs(moved.mean(axis=0) - found) / error).max() < 5
    assert (np.abs(moved.mean(axis=0) - tensor) / error).max() > 50


@pytest.mark.parametrize(("dimension", "order"), [(3, 2), (5, 4)])
def test_invariant_part_is_a_projection_that_rotations_leave_alone(dimension: int, order: int) -> None:
    tensor = np.random.default_rng(1).standard_normal((2, *(dimension,) * order))
    found = invariant_part(tensor, order)
    rotation = haar(1, dimension, dimension, np.random.default_rng(2))[0]
    np.testing.assert_allclose(rotated(found, rotation, order), found, atol=1e-13)
    np.testing.assert_allclose(invariant_part(found, order), found, atol=1e-13)
    assert np.abs(rotated(tensor, rotation, order) - tensor).max() > 0.1


def test_rotated_is_the_sum_over_all_indices() -> None:
    generator = np.random.default_rng(3)
    tensor, matrix = generator.standard_normal((2, 3, 3, 3, 3)), generator.standard_normal((3, 3))
    expected = np.einsum("qabcd,ia,jb,kc,ld->qijkl", tensor, matrix, matrix, matrix, matrix)
    np.testing.assert_allclose(rotated(tensor, matrix, 4), expected, atol=1e-12)


@pytest.mark.parametrize(("dimension", "order"), [(4, 4), (2, 2), (2, 4), (3, 3)])
def test_orders_with_epsilon_are_refused(dimension: int, order: int) -> None:
    with pytest.raises(SymbreakError, match=f"found order {order} and D = {dimension}"):
        invariant_part(np.zeros((dimension,) * order), order)


@pytest.mark.parametrize("law", LAWS)
def test_weights_have_their_law(law: str) -> None:
    normals = torch.from_numpy(np.random.default_rng(4).standard_normal((20_000, 3, 2)))
    weights = transformed(normals, law).numpy()  # type: ignore[arg-type]
    if law == "sphere":
        np.testing.assert_allclose(np.sum(weights**2, axis=1), 3, rtol=1e-12)
        reference = stats.uniform(-np.sqrt(3), 2 * np.sqrt(3))  # Archimedes: a coordinate on the 2-sphere is uniform
    else:
        reference = {
            "normal": stats.norm(),
            "laplace": stats.laplace(scale=1 / np.sqrt(2)),
            "uniform": stats.uniform(-np.sqrt(3), 2 * np.sqrt(3)),
        }[law]
    assert stats.kstest(weights[:, 0, 0], reference.cdf).pvalue > 1e-3


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("dimension", [3, 5])
def test_moments_of_weights_are_the_known_ones(law: str, dimension: int) -> None:
    """The fourth from cumulants: 3 pairings (times D/(D + 2) on the sphere), and kappa_4 on the diagonal."""
    np.testing.assert_allclose(weight_moment(law, dimension, 2), np.eye(dimension), atol=1e-13)  # type: ignore[arg-type]
    kappa = {"normal": 0.0, "sphere": 0.0, "laplace": 3.0, "uniform": -1.2}[law]
    factor = dimension / (dimension + 2) if law == "sphere" else 1.0
    expected = np.zeros((dimension,) * 4)
    for i, j, k, l in product(range(dimension), repeat=4):  # noqa: E741
        pairs = (i == j) * (k == l) + (i == k) * (j == l) + (i == l) * (j == k)
        expected[i, j, k, l] = factor * pairs + kappa * (i == j == k == l)
    np.testing.assert_allclose(weight_moment(law, dimension, 4), expected, atol=1e-12)  # type: ignore[arg-type]


def test_unknown_law_is_refused() -> None:
    with pytest.raises(SymbreakError, match="found 'cauchy'"):
        transformed(torch.zeros(1, 2, 3), "cauchy")  # type: ignore[arg-type]


def sampled(law: str, width: int, nets: int, mean: Array) -> Array:
    """Outputs ``[M, D, P]`` of Gauss-nets (sigma_b = 0.25, d = 1), net by net as they are defined."""
    generator = np.random.default_rng(5)
    w0, b0 = generator.standard_normal((nets, width, 1)), 0.25 * generator.standard_normal((nets, width, 1))
    draws = {
        "normal": lambda size: generator.standard_normal(size),
        "laplace": lambda size: generator.laplace(scale=1 / np.sqrt(2), size=size),
        "uniform": lambda size: generator.uniform(-np.sqrt(3), np.sqrt(3), size=size),
    }
    w1 = draws[law]((nets, 3, width)) / np.sqrt(width) + mean[:, None]
    s = np.exp(w0 * X[:, 0] + b0) / np.sqrt(np.exp(2 * (0.25**2 + X[:, 0] ** 2)))
    outputs: Array = 0.25 * generator.standard_normal((nets, 3, 1)) + w1 @ s
    return outputs


@pytest.mark.parametrize("law", ["normal", "laplace", "uniform"])
def test_exact_tensors_are_those_of_sampled_nets(law: str) -> None:
    mean, width, quadruple = np.array([0.4, 0.0, -0.2]), 2, (0, 1, 1, 2)
    f = sampled(law, width, 100_000, mean)
    tensor = two_point_tensor("gauss", X, width, law, 3, 0.25, mean)  # type: ignore[arg-type]
    for element, (a, b) in enumerate(multisets(3, 2)):
        products = f[:, :, None, a] * f[:, None, :, b]
        error = products.std(axis=0) / np.sqrt(len(f))
        assert (np.abs(products.mean(axis=0) - tensor[element]) / error).max() < 4.5
    f = sampled(law, width, 100_000, np.zeros(3))
    a, b, c, d = (f[:, :, at] for at in quadruple)
    mean4 = np.einsum("mi,mj,mk,ml->ijkl", a, b, c, d) / len(f)
    square = np.einsum("mi,mj,mk,ml->ijkl", a**2, b**2, c**2, d**2) / len(f)
    error4 = np.sqrt((square - mean4**2) / len(f))
    exact = four_tensor("gauss", X, [quadruple], width, law, 3, 0.25)[0]  # type: ignore[arg-type]
    assert (np.abs(mean4 - exact) / error4).max() < 5
    other = four_tensor("gauss", X, [quadruple], width, "sphere", 3, 0.25)[0]
    assert (np.abs(mean4 - other) / error4).max() > 8


def test_connected_tensor_of_one_component_is_the_catalogues() -> None:
    """G4_c = (3 M_4 - sum_3 M_2 M_2)/N for normal weights; kappa_4 adds 3 M_4/N for Laplace ones."""
    points = [(1, 1, 1, 1)]
    m2, m4 = (moments("gauss", X, order, 1.0, 0.25) for order in (2, 4))
    at2 = (multisets(3, 2) == 1).all(axis=1)
    at4 = (multisets(3, 4) == 1).all(axis=1)
    for law, factor in (("normal", 3.0), ("laplace", 6.0), ("uniform", 1.8)):
        found = connected_four_tensor("gauss", X, points, 7, law, 3, 0.25)[0, 0, 0, 0, 0]  # type: ignore[arg-type]
        assert found == pytest.approx((factor * m4[at4][0] - 3 * m2[at2][0] ** 2) / 7, rel=1e-12)


@pytest.mark.parametrize("neuron", ["relu", "exp"])
def test_tangent_kernel_is_the_sum_over_parameters(neuron: str) -> None:
    """Oracle: derivatives of every output with respect to every parameter, one by one, by autograd."""
    generator = np.random.default_rng(6)
    x = torch.from_numpy(generator.standard_normal((3, 2)))
    w0, b0, w1, b1 = (torch.from_numpy(generator.standard_normal(size)) for size in ((4, 2), (4,), (3, 4), (3,)))
    parameters = [value.requires_grad_() for value in (w0, b0, w1, b1)]
    z = x @ w0.T + b0
    s = torch.relu(z) if neuron == "relu" else torch.exp(z)
    f = s @ w1.T + b1
    rows = [[torch.autograd.grad(f[p, i], parameters, retain_graph=True) for i in range(3)] for p in range(3)]
    expected = np.zeros((3, 3, 3, 3))
    for p, q, i, k in product(range(3), repeat=4):
        expected[p, q, i, k] = sum(float((a * b).sum()) for a, b in zip(rows[p][i], rows[q][k], strict=True))
    slopes = (z > 0).double() if neuron == "relu" else torch.exp(z)
    found = first_layer_part(slopes.detach().numpy()[:, None], w1.detach().numpy()[None], x.numpy())
    found = found + last_layer_part(s.detach().numpy())[:, :, None, None] * np.eye(3)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)

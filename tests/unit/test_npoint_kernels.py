"""Compiled loops of sampled networks: normal numbers, outputs of Gauss-nets, products of a field; and their streams."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from symbreak.probes.kernels.gauss import TILE, gauss
from symbreak.probes.kernels.normals import box_muller
from symbreak.probes.kernels.powers import fill
from symbreak.probes.npoint_moments import field_sums
from symbreak.probes.npoint_sampling import Ensemble, draw, outputs
from symbreak.theory.correlators import whitened

X = 0.01 * np.array([[-1.0], [-0.2], [1.0]])
EDGES = [0, 1, -1, 2, 2**29, 2**29 - 1, -(2**29), -(2**29) - 1, 2**30, -(2**30), 2**30 + 2**29, 2**31 - 1, -(2**31), 7]
KS = 0.001  # level of the tests of samples, whose seeds are fixed


def float64_normals(words: NDArray[np.int32]) -> NDArray[np.float64]:
    """Box and Muller's formula in float64, of the words for the radius as single precision rounds them."""
    half = len(words) // 2
    u = np.maximum(np.abs(words[:half].astype(np.float32)).astype(np.float64), 0.5) / 2**31
    radius, angle = np.sqrt(-2 * np.log(u)), math.pi * words[half:].astype(np.float64) / 2**31
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])


def drawn_normals(blocks: range, **changed: Any) -> NDArray[np.float64]:
    """All numbers of blocks of nets of width 10, one row a block: directions of the neurons, and W1 scaled to 1."""
    ensemble = Ensemble("gauss", 10, **changed)
    found = [draw(ensemble, whitened(X, 1.0, 1.0), block) for block in blocks]
    return np.stack([np.concatenate([d.normals.numpy().ravel(), d.w1.numpy().ravel() * 10**0.5]) for d in found])


def test_normals_are_box_and_mullers_of_their_words_also_at_every_edge_of_an_angle() -> None:
    random = np.random.default_rng(0).integers(-(2**31), 2**31, 2 * 9_999, dtype=np.int32)
    edges = np.array([(a, b) for a in EDGES for b in EDGES], dtype=np.int32).T.ravel()
    for words in (random, edges, np.zeros(2, np.int32), np.zeros(0, np.int32)):
        expected, found = float64_normals(words), words.copy()
        box_muller(found)
        # a unit in the last place or two of 6.7, of the largest radius
        np.testing.assert_allclose(found.view(np.float32), expected, rtol=1e-6, atol=6e-7)


def test_normals_end_where_documented() -> None:
    words = np.zeros(2, np.int32)
    box_muller(words)
    assert words.view(np.float32)[0] == pytest.approx(math.sqrt(2 * 32 * math.log(2)), rel=1e-6)


def test_draws_are_normal_with_the_moments_and_tails_of_normal_numbers() -> None:
    sample = drawn_normals(range(4)).ravel()
    assert stats.kstest(sample, "norm").pvalue > KS
    for order, moment in {1: 0.0, 2: 1.0, 3: 0.0, 4: 3.0, 6: 15.0}.items():
        powers = sample**order
        assert abs(powers.mean() - moment) < 4 * powers.std() / math.sqrt(len(sample))
    for at in (-4.0, 4.0):
        beyond = int((np.sign(at) * sample > 4).sum())
        assert stats.binomtest(beyond, len(sample), float(stats.norm.sf(4))).pvalue > KS


def test_draws_of_neighbours_pairs_and_blocks_are_independent() -> None:
    rows = drawn_normals(range(4))
    half = rows.shape[1] // 2
    lagged = [(rows[:, :-lag], rows[:, lag:]) for lag in (1, 2, 10)]  # neurons and nets side by side
    pairs = [*lagged, (rows[:, :half], rows[:, half : 2 * half]), (rows[:-1], rows[1:])]
    for first, second in pairs:
        for power in (1, 2):  # of the two numbers of a radius, squares depend on each other unless it has its law
            assert stats.pearsonr(first.ravel() ** power, second.ravel() ** power).pvalue > KS


def test_seeds_and_outputs_have_draws_of_their_own() -> None:
    one, other = drawn_normals(range(1)), drawn_normals(range(1), seed=1)
    assert stats.pearsonr(one.ravel(), other.ravel()).pvalue > KS
    assert np.unique(one).size > 0.99 * one.size


@pytest.mark.parametrize("width", [1, 10, 1000])
@pytest.mark.parametrize("neuron", ["gauss", "erf", "relu"])
def test_a_net_is_the_same_whichever_is_the_first_and_however_many_are_drawn(neuron: Any, width: int) -> None:
    ensemble = Ensemble(neuron, width)
    first = ensemble.block - 3
    whole = np.concatenate([f for f, _ in outputs(ensemble, X, 0, 2 * ensemble.block)])
    some = np.concatenate([f for f, _ in outputs(ensemble, X, first, 7)])
    np.testing.assert_array_equal(some, whole[first : first + 7])


@pytest.mark.parametrize(
    ("nets", "width", "wide", "points", "rank"),
    [(1, 1, 1, 1, 1), (TILE + 3, 1, 1, 6, 2), (2 * TILE // 10 + 5, 10, 3, 5, 4), (3, TILE + 1, 2, 2, 1)],
)
def test_gauss_nets_are_the_formula_in_float64(nets: int, width: int, wide: int, points: int, rank: int) -> None:
    rng = np.random.default_rng(nets)
    shapes = ((points, rank), (points,), (rank, nets * width), (nets, wide, width), (nets, wide))
    factor, offset, normals, w1, b1 = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)
    f = np.full((nets, wide, points), np.nan, np.float32)
    gauss(factor, offset, normals, w1, b1, f)
    z = factor.astype(np.float64) @ normals - offset.astype(np.float64)[:, None]
    s = np.exp(z).reshape(points, nets, width)
    expected = b1[:, :, None] + np.einsum("bdj,pbj->bdp", w1.astype(np.float64), s)
    scale = np.einsum("bdj,pbj->bdp", np.abs(w1), s).max(axis=2, keepdims=True)
    assert (np.abs(f - expected) <= 1e-5 * scale + 1e-6).all()


def test_exponentials_are_right_from_end_to_end_and_beyond() -> None:
    z = np.concatenate([np.linspace(-86.9, 88.3, 4001), [-87.1, -1e4, -np.inf, 88.6, 1e4, np.inf, np.nan]])
    z = z.astype(np.float32)
    f = np.empty((len(z), 1, 1), np.float32)
    one, zero = np.ones((len(z), 1, 1), np.float32), np.zeros((len(z), 1), np.float32)
    gauss(np.ones((1, 1), np.float32), np.zeros(1, np.float32), z[None], one, zero, f)
    np.testing.assert_allclose(f[:4001, 0, 0], np.exp(z[:4001].astype(np.float64)), rtol=3e-7)
    np.testing.assert_array_equal(f[4001:, 0, 0], [0, 0, 0, np.inf, np.inf, np.inf, np.nan])


def test_products_chosen_rows_and_sums_are_those_of_weighted_samples() -> None:
    rng = np.random.default_rng(0)
    field, weights = rng.standard_normal((37, 2)), rng.random(37)
    before, point, chosen = np.array([1, 1, 2, 3]), np.array([1, 2, 2, 2]), np.array([4, 1])  # aa, ab, bb, aab
    powers, left, sums = np.empty((7, 37)), np.empty((2, 37)), np.ones(6)
    fill(field, weights, before, point, chosen, powers, left, sums)
    a, b = field.T
    np.testing.assert_allclose(powers, [np.ones(37), a, b, a * a, a * b, b * b, a * a * b], rtol=1e-15)
    np.testing.assert_allclose(left, [a * b * weights, a * weights], rtol=1e-14)
    expected = [(row * weights).sum() for row in powers[:6]]
    np.testing.assert_allclose(sums, 1 + np.array(expected), rtol=1e-13)


def test_sums_of_single_precision_and_strided_fields_are_taken_in_float64() -> None:
    fields = np.random.default_rng(0).standard_normal((700, 3, 4)).astype(np.float32)
    expected = field_sums(np.ascontiguousarray(fields.astype(np.float64)), (1, 2, 4, 6))
    for given in (fields, np.asfortranarray(fields), fields[::-1]):
        for order, sums in field_sums(given, (1, 2, 4, 6)).items():
            np.testing.assert_allclose(sums, expected[order], rtol=1e-12, atol=1e-9)


def test_tilted_nets_keep_their_weights_when_drawn_in_part() -> None:
    ensemble = replace(Ensemble("gauss", 10), tilted=True)
    whole, some = (next(iter(outputs(ensemble, X, first, 20)))[1] for first in (0, 15))
    assert whole is not None and some is not None and np.ptp(whole) > 0
    np.testing.assert_array_equal(whole[15:], some[:5])

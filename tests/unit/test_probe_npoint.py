"""N-point functions: pairings, exact correlators, sampled networks, the probe and its symmetry tests."""

from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import erf
from torch import nn

from benchmarks import probe_npoint as benchmark
from symbreak.config.models import GaussnetSpec, MlpSpec
from symbreak.errors import SymbreakError
from symbreak.models import gaussnet as gaussnet_model
from symbreak.models import mlp
from symbreak.probes.network import Data, Network, of_model, of_module
from symbreak.probes.npoint import connected, measure, outputs
from symbreak.probes.npoint_moments import BlockSums, blocks, field_sums, jackknife, product_sums
from symbreak.probes.npoint_sampling import Ensemble, neuron_moments, sample, weights
from symbreak.probes.npoint_sampling import outputs as drawn_outputs
from symbreak.probes.npoint_symmetry import haar, output_differences, permutations, rotated_points, verdict
from symbreak.theory import correlators as theory
from symbreak.theory.wick import centred, connected_four, connected_six, multisets, pairings, places, splits, wick

Array = NDArray[np.float64]
AUTHORS = np.array([[-1.0], [-0.6], [-0.2], [0.2], [0.6], [1.0]])
INPUTS: dict[str, Array] = {
    "gauss": 0.01 * AUTHORS,
    "erf": AUTHORS,
    "relu": np.array([[0.2, 0.4, 0.6, 0.8, 1.0, 1.2]]).T,
}
BIAS = {"gauss": 1.0, "erf": 1.0, "relu": 0.0}
NEURONS: list[theory.Neuron] = ["gauss", "erf", "relu"]


def set_partitions(elements: list[int]) -> list[list[list[int]]]:
    if not elements:
        return [[]]
    first, rest = elements[0], elements[1:]
    found = []
    for others in set_partitions(rest):
        found.append([[first], *others])
        found += [[*others[:at], [first, *others[at]], *others[at + 1 :]] for at in range(len(others))]
    return found


def cumulant(samples: Array, chosen: tuple[int, ...]) -> float:
    """Joint cumulant of columns by all set partitions (McCullagh 1987): the oracle of every connected part."""
    total = 0.0
    for partition in set_partitions(list(range(len(chosen)))):
        k = len(partition)
        sign = (-1) ** (k - 1) * float(np.prod(np.arange(1, k)))
        total += sign * float(
            np.prod([samples[:, [chosen[a] for a in part]].prod(axis=1).mean() for part in partition])
        )
    return total


def trapezoid(neuron: theory.Neuron, x: Array, order: int, sigma_w: float, sigma_b: float) -> Array:
    """One neuron's moments by a fine grid over W0 and b0, d = 1: another rule, from the definition."""
    grid = np.arange(-12.0, 12.0, 0.04)
    w, b = (axis.ravel() for axis in np.meshgrid(grid, grid))
    mass = np.exp(-(w**2 + b**2) / 2)
    z = sigma_w * x * w + sigma_b * b
    s = {"gauss": np.exp(z - sigma_b**2 - sigma_w**2 * x**2), "erf": erf(z), "relu": np.maximum(z, 0)}[neuron]
    return np.array([(mass / mass.sum()) @ s[list(t)].prod(axis=0) for t in multisets(len(x), order)])


# --- Wick


def test_pairings_are_all_of_them_once() -> None:
    for n, count in {2: 1, 4: 3, 6: 15, 8: 105}.items():
        found = {frozenset(map(frozenset, p)) for p in pairings(range(n))}
        assert len(found) == len(list(pairings(range(n)))) == count
        assert all(sorted(x for pair in p for x in pair) == list(range(n)) for p in found)


@pytest.mark.parametrize("order", [1, 2, 3, 4, 6])
def test_places_find_every_multiset_in_any_order(order: int) -> None:
    tuples = multisets(4, order)
    assert [tuple(t) for t in tuples.tolist()] == list(combinations_with_replacement(range(4), order))
    np.testing.assert_array_equal(places(4, tuples[:, ::-1]), np.arange(len(tuples)))


def test_wick_is_isserlis_theorem_term_by_term() -> None:
    k = np.array([[2.0, 0.3, -0.4], [0.3, 1.5, 0.7], [-0.4, 0.7, 1.1]])
    g2 = k[tuple(multisets(3, 2).T)]
    a, b, c, d = multisets(3, 4).T
    np.testing.assert_allclose(wick(g2, 3, 4), k[a, b] * k[c, d] + k[a, c] * k[b, d] + k[a, d] * k[b, c])
    assert wick(g2, 3, 6)[0] == pytest.approx(15 * 2.0**3)
    assert wick(g2, 3, 6)[places(3, np.array([0, 0, 1, 1, 1, 1]))] == pytest.approx(3 * 2 * 1.5**2 + 12 * 0.3**2 * 1.5)


@pytest.mark.parametrize("centre", [True, False])
def test_connected_parts_are_joint_cumulants(centre: bool) -> None:
    rng = np.random.default_rng(0)
    half = rng.exponential(size=(60, 3)) @ rng.standard_normal((3, 3))
    samples = half if centre else np.vstack([half, -half])  # a mean and skew, or an even density
    g = {order: sums / len(samples) for order, sums in product_sums(samples, range(1, 7)).items()}
    for order in (4, 6):
        expected = [cumulant(samples, tuple(t)) for t in multisets(3, order).tolist()]
        np.testing.assert_allclose(
            connected(g, 3, centre, order), expected, rtol=1e-8, atol=1e-8 * np.abs(expected).max()
        )


def test_six_point_splits_count_each_division_once() -> None:
    ones = {n: np.ones(len(multisets(2, n))) for n in (2, 3, 4)}
    np.testing.assert_array_equal(splits(ones[2], ones[4], 2, (2, 4)), 15)
    np.testing.assert_array_equal(splits(ones[3], ones[3], 2, (3, 3)), 10)


# --- theory


@pytest.mark.parametrize("neuron", ["gauss", "erf"])
@pytest.mark.parametrize(("sigma_w", "sigma_b"), [(1.0, 1.0), (0.7, 0.5)])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_moments_are_the_integral_over_one_neuron(
    neuron: theory.Neuron, order: int, sigma_w: float, sigma_b: float
) -> None:
    x = np.array([[-0.7], [0.2], [0.9]])
    found = theory.moments(neuron, x, order, sigma_w, sigma_b)
    np.testing.assert_allclose(found, trapezoid(neuron, x, order, sigma_w, sigma_b), rtol=1e-8, atol=1e-9)


def test_relu_moments_are_the_integral_over_one_neuron_whatever_the_signs() -> None:
    x = np.array([[-0.7], [0.2], [0.9]])
    for order in (2, 4, 6):
        np.testing.assert_allclose(
            theory.moments("relu", x, order, 1.3, 0.0), trapezoid("relu", x, order, 1.3, 0.0), atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize("neuron", NEURONS)
def test_kernels_are_the_second_moment(neuron: theory.Neuron) -> None:
    x, b = np.array([[-0.7], [0.2], [0.9]]), 0.4
    expected = b**2 + 1.2**2 * trapezoid(neuron, x, 2, 1.2, b)
    np.testing.assert_allclose(theory.two_point(neuron, x, 1.2, b), expected, rtol=1e-4)


def test_relu_kernel_of_the_origin_without_bias_is_zero() -> None:
    np.testing.assert_array_equal(theory.kernel_relu(np.zeros((1, 2)), np.ones((2, 2))), 0)


@pytest.mark.parametrize(
    ("neuron", "m4", "m6", "m6c", "tolerance"),
    [("relu", 5, 15, 44, 1e-12), ("gauss", 13.399, 40.20, 20324, 1e-4), ("erf", 0.05628, 0.1690, 0.006707, 3e-4)],
)
def test_exact_targets_of_the_catalogue(
    neuron: theory.Neuron, m4: float, m6: float, m6c: float, tolerance: float
) -> None:
    """Means over elements of N m4, of the 1/N part of m6, and N^2 m6c (claims/gaussnet.md, Q2 to Q4).

    Erf's 0.00691 there is the mean of |N^2 m6c|: 34 elements are negative.
    """
    x, b = INPUTS[neuron], BIAS[neuron]
    k = theory.two_point(neuron, x, 1.0, b)
    four, six = (f(neuron, x, 1, 1.0, b) for f in (theory.connected_four_point, theory.connected_six_point))
    found = [
        (four / wick(k, 6, 4)).mean(),
        (splits(k, four, 6, (2, 4)) / wick(k, 6, 6)).mean(),
        (six / wick(k, 6, 6)).mean(),
    ]
    assert found == pytest.approx([m4, m6, m6c], rel=tolerance)


def test_relu_six_point_ratios_at_width_20() -> None:
    """0.5376 and 0.9409 (Q7), here as 1/(1 + 15/N + 44/N^2) and (1 + 15/N)/(the same) for every element."""
    x = INPUTS["relu"]
    k, six = theory.two_point("relu", x, 1.0, 0.0), theory.six_point("relu", x, 20, 1.0, 0.0)
    free = wick(k, 6, 6)
    corrected = free + splits(k, theory.connected_four_point("relu", x, 20, 1.0, 0.0), 6, (2, 4))
    np.testing.assert_allclose(free / six, 1 / (1 + 15 / 20 + 44 / 400), rtol=1e-12)
    np.testing.assert_allclose([(free / six)[7], (corrected / six)[7]], [0.5376, 0.9409], atol=5e-5)


def test_moments_without_a_closed_form_are_refused() -> None:
    with pytest.raises(SymbreakError, match="d = 1 and sigma_b = 0"):
        theory.moments("relu", np.ones((2, 1)), 4, 1.0, 1.0)
    with pytest.raises(SymbreakError, match="at most 2 directions"):
        theory.moments("erf", np.eye(3), 4)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(1, 8), st.sampled_from([0.0, 0.5]), st.integers(0, 99))
def test_whitened_has_the_covariance_of_the_preactivations(points: int, d: int, sigma_b: float, seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal((points, d))
    factor = theory.whitened(x, 1.3, sigma_b)
    np.testing.assert_allclose(factor @ factor.T, sigma_b**2 + 1.3**2 * x @ x.T / d, atol=1e-12)
    assert factor.shape[1] <= min(points, d + 1)


# --- sums and errors


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 6))
def test_product_sums_are_the_sums_of_products(samples: int, points: int, order: int) -> None:
    rng = np.random.default_rng(samples)
    field, weight = rng.standard_normal((samples, points)), rng.random(samples)
    expected = [(weight * field[:, list(t)].prod(axis=1)).sum() for t in multisets(points, order)]
    np.testing.assert_allclose(product_sums(field, [order], weight)[order], expected, atol=1e-10)


@pytest.mark.parametrize("orders", [[6], [2, 4, 6], [1, 2, 3, 4, 5, 6], [5, 1], [3, 2]])
@pytest.mark.parametrize("points", [2, 5, 6])
def test_product_sums_of_several_orders_are_those_of_each(points: int, orders: list[int]) -> None:
    field = np.random.default_rng(points).standard_normal((9, points))
    found = product_sums(field, orders)
    assert list(found) == orders
    for order in orders:
        expected = [field[:, list(t)].prod(axis=1).sum() for t in multisets(points, order)]
        np.testing.assert_allclose(found[order], expected, atol=1e-11)


@pytest.mark.parametrize("shape", [(5,), (49,), (51,), (50, 1), ()])
def test_product_sums_want_one_weight_a_sample(shape: tuple[int, ...]) -> None:
    with pytest.raises(SymbreakError, match="one weight for each of 50 samples"):
        product_sums(np.ones((50, 2)), [2], np.ones(shape))


def test_product_sums_do_not_know_their_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    field = np.random.default_rng(0).standard_normal((103, 3))
    whole = product_sums(field, [2, 5])
    monkeypatch.setattr("symbreak.probes.npoint_moments.CHUNK", 100)  # 10 rows, the last chunk 3
    for order, sums in product_sums(field, [2, 5]).items():
        np.testing.assert_allclose(sums, whole[order], rtol=1e-12)


def test_jackknife_of_a_mean_is_its_standard_error() -> None:
    field = np.random.default_rng(0).standard_normal((50, 1))
    sums = BlockSums.of([(product_sums(field[part], [1]), 1.0) for part in blocks(50, 64)])
    found = jackknife(sums, lambda g: g[1])
    assert found.error == pytest.approx(field.std(ddof=1) / np.sqrt(50))
    assert found.bias == pytest.approx(0, abs=1e-14)


def test_jackknife_with_blocks_of_two_sizes_covers() -> None:
    """Errors of the connected 4-point function at R = 600 in 32 blocks of 18 or 19, against its scatter."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(200):
        field = rng.uniform(-1, 1, (600, 1))
        parts = blocks(600, 32)
        sums = BlockSums.of([(product_sums(field[p], [2, 4]), float(p.stop - p.start)) for p in parts])
        estimate = jackknife(sums, lambda g: connected_four(g[2], g[4], 1))
        found.append((estimate.value[0], estimate.error[0]))
    values, errors = np.array(found).T
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(values.std(), rel=0.2)
    assert values.mean() == pytest.approx(1 / 5 - 3 / 9, abs=4 * values.std() / np.sqrt(200) + 1e-3)


def test_blocks_cover_all_networks_once_and_refuse_too_few() -> None:
    parts = blocks(1003, 32)
    assert [i for part in parts for i in range(part.start, part.stop)] == list(range(1003))
    assert {part.stop - part.start for part in parts} == {31, 32}
    with pytest.raises(SymbreakError, match="at least 8 blocks of networks"):
        blocks(5, 32)


# --- sampled networks


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize(("width", "d", "wide"), [(3, 1, 1), (100, 5, 3), (7, 40, 2)])
def test_nets_drawn_again_have_the_sampled_outputs(neuron: theory.Neuron, width: int, d: int, wide: int) -> None:
    """One explicit net at a time, in float64 and from the definition, across the border of two blocks."""
    x = 0.5 * np.random.default_rng(d).standard_normal((4, d))
    ensemble = Ensemble(neuron, width, 1.2, 0.6, outputs=wide, seed=4)
    first = ensemble.block - 2
    found = np.concatenate([f for f, _ in drawn_outputs(ensemble, x, first, 5)])
    for number, output in enumerate(found, first):
        net = weights(ensemble, x, number)
        z = net.w0 @ x.T + net.b0[:, None]
        norm = 0.6**2 + 1.2**2 * np.sum(x**2, axis=1) / d
        s = {"gauss": np.exp(z - norm), "erf": erf(z), "relu": np.maximum(z, 0)}[neuron]
        np.testing.assert_allclose(output, net.w1 @ s + net.b1[:, None], rtol=1e-4, atol=1e-5)


def test_nets_drawn_again_are_gaussian_in_every_direction() -> None:
    x, d = np.random.default_rng(0).standard_normal((3, 12)), 12
    nets = [weights(Ensemble("relu", 50, 1.2, 0.6), x, number) for number in range(60)]
    w0 = np.concatenate([net.w0 for net in nets]) / (1.2 / np.sqrt(d))
    np.testing.assert_allclose(np.cov(w0.T), np.eye(d), atol=5 * np.sqrt(2 / len(w0)))
    assert np.concatenate([net.b0 for net in nets]).std() == pytest.approx(0.6, rel=0.05)


@pytest.mark.parametrize(
    ("neuron", "width", "sigma_b", "tilted"),
    [
        ("relu", 5, 0.0, False),
        ("erf", 5, 1.0, False),
        ("gauss", 2, 1.0, True),
        ("gauss", 20, 1.0, True),
        ("gauss", 5, 0.25, False),
    ],
)
def test_sampled_correlators_are_the_exact_ones(
    neuron: theory.Neuron, width: int, sigma_b: float, tilted: bool
) -> None:
    x = INPUTS[neuron]
    sums = sample(Ensemble(neuron, width, 1.0, sigma_b, seed=1, tilted=tilted), x, 60_000)
    exact = [theory.two_point(neuron, x, 1.0, sigma_b)]
    exact += [f(neuron, x, width, 1.0, sigma_b) for f in (theory.connected_four_point, theory.connected_six_point)]
    statistics = [lambda g: g[2], lambda g: connected_four(g[2], g[4], 6), lambda g: connected_six(g[2], g[4], g[6], 6)]
    for statistic, value in zip(statistics, exact, strict=True):
        found = jackknife(sums, statistic)
        assert (np.abs(found.value[0] - value) < 4.5 * found.error[0]).all()


@pytest.mark.parametrize(("target", "order", "relative"), [(13.399, 4, 0.01), (20324.5, 6, 0.01)])
def test_one_neuron_estimates_reach_the_targets_of_gauss_nets(target: float, order: int, relative: float) -> None:
    x = INPUTS["gauss"]
    sums = neuron_moments(Ensemble("gauss", 20, tilted=True, seed=2), x, 100_000)
    k = theory.two_point("gauss", x)

    def statistic(g: dict[int, Array]) -> Array:
        four = theory.connected_four_of_moments(g[2], g[4], 6, 1)
        c = four if order == 4 else theory.connected_six_of_moments(g[2], g[4], g[6], 6, 1)
        found: Array = (c / wick(k, 6, order)).mean(axis=-1)
        return found

    found = jackknife(sums, statistic)
    assert found.error < relative * target
    assert abs(found.value - target) < 4 * found.error


def test_plain_six_point_functions_of_gauss_nets_are_those_of_the_samplers_tail() -> None:
    """The documented failure of plain sampling: most ensembles give less than half of the exact value."""
    x = INPUTS["gauss"]
    found = []
    for seed in range(9):
        g = sample(Ensemble("gauss", 5, seed=seed), x, 20_000).mean()
        found.append(connected_six(g[2], g[4], g[6], 6).mean())
    assert np.median(found) < 0.5 * theory.connected_six_point("gauss", x, 5).mean()


def test_tilted_weights_average_to_one() -> None:
    pieces = drawn_outputs(Ensemble("gauss", 5, tilted=True), INPUTS["gauss"], 0, 40_000)
    found = np.concatenate([weight for _, weight in pieces if weight is not None])
    assert len(found) == 40_000
    assert found.mean() == pytest.approx(1, abs=4 * found.std() / np.sqrt(len(found)))
    assert found.max() <= 13  # components of the mixture


def test_sampling_refuses_what_it_cannot_draw() -> None:
    with pytest.raises(SymbreakError, match="'tilted' is for Gauss-nets"):
        Ensemble("relu", 5, tilted=True)
    with pytest.raises(SymbreakError, match="finite points"):
        sample(Ensemble("relu", 5), np.array([[np.nan]]), 100)


# --- the probe


def network(width: int, count: int, outputs: int = 3, **options: Any) -> Network:
    model = gaussnet_model.build(
        GaussnetSpec(family="gaussnet", width=width, **options), (1, 2, 2), outputs, torch.float64
    )
    states = [model.init(seed) for seed in range(count)]
    return of_model(model, {name: torch.stack([s[name] for s in states]) for name in states[0]})


def data(count: int = 4) -> Data:
    x = torch.randn(count, 1, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return Data(x, torch.zeros(count, dtype=torch.int64))


@pytest.mark.parametrize("spec", ["relu", "gauss", "erf", "mlp"])
@pytest.mark.parametrize("hidden", [1, 2**22])
def test_the_stack_gives_the_networks_outputs(spec: str, hidden: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("symbreak.probes.npoint.HIDDEN", hidden)
    if spec == "mlp":
        model = mlp.build(MlpSpec(family="mlp", hidden=[5, 4], activation="tanh"), (1, 2, 2), 3, torch.float64)
        found = of_model(model, {n: torch.stack([model.init(s)[n] for s in range(3)]) for n in model.init(0)})
    else:
        found = network(5, 3, neuron=spec)
    assert found.stack is not None
    np.testing.assert_allclose(outputs(found, data().x), found.outputs(data().x).numpy(), rtol=1e-12)


@pytest.mark.parametrize("centre", [True, False])
def test_the_probe_measures_means_of_products(centre: bool) -> None:
    found, points = network(4, 40, neuron="erf", sigma_b=0.5), 3
    report = measure(found, data(), seed=0, points=points, centre=centre)
    f = found.outputs(data().x[:points]).numpy()
    for name, order in (("pairs", 2), ("quadruples", 4), ("sextuples", 6)):
        tuples = report.results[name].value.astype(int)
        expected = np.stack([[f[:, list(t), c].prod(axis=1).mean() for t in tuples] for c in range(3)])
        np.testing.assert_allclose(report.results[f"g{order}"].value, expected, rtol=1e-12)
        np.testing.assert_allclose(report.results[f"g{order}_mean"].value, expected.mean(axis=0), rtol=1e-12)
    if centre:
        expected = np.array([[cumulant(f[:, :, c], tuple(t)) for t in multisets(points, 6)] for c in range(3)])
        np.testing.assert_allclose(report.results["g6_connected"].value, expected, atol=1e-9 * np.abs(expected).max())
    g2 = report.results["g2"]
    assert g2.error is not None and g2.error.shape == g2.value.shape and (g2.error > 0).all()


def test_the_probe_reproduces_the_exact_relu_net() -> None:
    """A finite-width ensemble as a user would give it: connected parts within the errors that are reported."""
    model = gaussnet_model.build(
        GaussnetSpec(family="gaussnet", width=4, neuron="relu", sigma_b=0), (1, 1, 1), 1, torch.float64
    )
    generator = torch.Generator().manual_seed(5)
    shapes = {"layers.0.weight": (4, 1), "layers.1.weight": (1, 4)}
    state = {n: torch.randn(20_000, *s, generator=generator, dtype=torch.float64) for n, s in shapes.items()}
    state["layers.1.weight"] /= 2
    state |= {"layers.0.bias": torch.zeros(20_000, 4).double(), "layers.1.bias": torch.zeros(20_000, 1).double()}
    x = INPUTS["relu"]
    given_data = Data(torch.from_numpy(x)[:, None, None], torch.zeros(6, dtype=torch.int64))
    report = measure(of_model(model, state), given_data, seed=0)
    assert "rotation_p2" not in report.results  # one output cannot be rotated
    for name, exact in (("g4_connected", theory.connected_four_point), ("g6_connected", theory.connected_six_point)):
        found = report.results[name]
        assert found.error is not None
        assert (np.abs(found.value[0] - exact("relu", x, 4, 1.0, 0.0)) < 4 * found.error[0]).all()


def test_rotations_and_permutations_of_zero_mean_outputs_are_symmetries_and_a_mean_breaks_them() -> None:
    whole = measure(network(10, 400, neuron="relu"), data(), seed=0, points=2)
    assert (
        min(float(whole.results[n].value) for n in ("rotation_p2", "rotation_p4", "permutation_p2", "permutation_p4"))
        > 0.01
    )
    assert "g4_connected_mean" in whole.results
    broken = measure(network(10, 400, neuron="relu", mean_w1=0.5, shifted=1), data(), seed=0, points=2)
    assert broken.results["rotation_p2"].value == pytest.approx(1e-3)
    assert (broken.results["rotation_z2"].value > 5).all()
    assert "g4_connected_mean" not in broken.results
    assert any("not exchangeable" in w for w in broken.warnings) and any("1-point" in w for w in broken.warnings)


def test_all_outputs_shifted_keeps_permutations_and_breaks_rotations() -> None:
    report = measure(network(10, 400, neuron="relu", mean_w1=0.5), data(), seed=0, points=2)
    assert report.results["rotation_p2"].value < 0.01 < report.results["permutation_p2"].value


def test_laplace_last_layers_keep_two_point_rotations_and_break_four_point_ones() -> None:
    """kappa_4(W1) != 0 adds a delta_ijkl term: only signed permutations survive (claims/gaussnet.md, S7)."""
    rng = np.random.default_rng(0)
    s = np.maximum(rng.standard_normal((40_000, 2)), 0)
    f = np.einsum("mdn,mn->md", rng.laplace(size=(40_000, 3, 2)), s)[:, None]
    parts = blocks(len(f), 32)
    group = {"rotation": haar(4, 3, 3, rng), "permutation": permutations(4, 3, rng)}
    p = {(n, k): verdict(output_differences(f, g, parts, k), rng).p for n, g in group.items() for k in (2, 4)}
    assert p["rotation", 4] < 0.01
    assert min(p["rotation", 2], p["permutation", 2], p["permutation", 4]) > 0.01


@pytest.mark.parametrize("order", [2, 4])
def test_output_differences_are_those_of_rotated_outputs(order: int) -> None:
    rng = np.random.default_rng(0)
    f, parts, (r,) = rng.standard_normal((30, 2, 3)), blocks(30, 8), haar(1, 3, 3, rng)
    (found,) = output_differences(f, r[None], parts, order)
    moved = f @ r.T
    if order == 2:
        expected = [product_sums(v[p].reshape(-1, 6), [2])[2] for v in (moved, f) for p in parts]
    else:
        expected = [
            np.concatenate([product_sums(v[p, x], [4])[4] for x in range(2)]) for v in (moved, f) for p in parts
        ]
    np.testing.assert_allclose(found, np.stack(expected[:8]) - np.stack(expected[8:]), atol=1e-10)


def test_the_symmetry_test_rejects_no_more_often_than_it_says() -> None:
    rng = np.random.default_rng(3)
    p = []
    for _ in range(100):
        f = rng.standard_normal((64, 1, 2)) * rng.exponential(size=(64, 1, 1))
        p.append(verdict(output_differences(f, haar(2, 2, 2, rng), blocks(64, 32), 2), rng).p)
    assert np.mean(np.array(p) < 0.1) < 0.1 + 3 * 0.03


def test_haar_rotations_are_rotations_without_a_preferred_axis() -> None:
    rng = np.random.default_rng(0)
    r = haar(4000, 3, 3, rng)
    np.testing.assert_allclose(r @ np.swapaxes(r, 1, 2), np.broadcast_to(np.eye(3), r.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(r), 1)
    # E tr = 0 and E tr^2 = 1 for SO(3)'s vector representation: not so for QR without its signs
    trace = np.trace(r, axis1=1, axis2=2)
    assert abs(trace.mean()) < 4 / np.sqrt(4000)
    assert (trace**2).mean() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(("count", "d"), [(3, 2), (5, 4), (2, 6)])
def test_rotated_points_keep_lengths_angles_and_handedness(count: int, d: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(4):
        x = rng.standard_normal((count, d))
        for moved in rotated_points(x, 3, rng):
            np.testing.assert_allclose(moved @ moved.T, x @ x.T, atol=1e-10)
            if count >= d:
                assert np.linalg.det(np.linalg.lstsq(x, moved, rcond=None)[0]) == pytest.approx(1)


def test_input_rotations_are_symmetries_of_isotropic_first_layers_only() -> None:
    free = measure(network(10, 400, neuron="relu"), data(), seed=0, points=2, symmetry="inputs")
    assert min(float(free.results[f"{n}_p{k}"].value) for n in ("rotation", "permutation") for k in (2, 4)) > 0.01
    uneven = network(10, 400, neuron="relu")
    uneven.parameters["layers.0.weight"][:, :, 0] *= 4
    broken = measure(uneven, data(), seed=0, points=2, symmetry="inputs")
    assert broken.results["rotation_p2"].value < 0.01


def test_a_network_that_knows_only_the_sum_of_its_inputs_is_exactly_permutation_invariant() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(1, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x.flatten(1).sum(dim=1, keepdim=True)).tanh()

    torch_states = []
    rng = np.random.default_rng(0)
    for _ in range(50):
        weight, bias = (
            torch.from_numpy(rng.standard_normal((2, 1))).float(),
            torch.from_numpy(rng.standard_normal(2)).float(),
        )
        torch_states.append({"layer.weight": weight, "layer.bias": bias})
    points = Data(torch.from_numpy(rng.standard_normal((3, 7))).float(), torch.zeros(3, dtype=torch.int64))
    report = measure(of_module(Sum(), torch_states), points, seed=0, points=3, symmetry="inputs")
    assert report.results["permutation_p2"].value == 1 and (report.results["permutation_z2"].value == 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": 5}, "'points' from 1 to 4"),
        ({"points": 0}, "'points' from 1 to 4"),
        ({"points": 2, "symmetry": "both"}, "outputs, inputs or none"),
        ({"points": 2, "rotations": 0}, "at least 1 of 'rotations'"),
        ({"points": 2, "blocks": 4}, "at least 8 blocks"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SymbreakError, match=message):
        measure(network(3, 10), data(), seed=0, **options)


def test_too_few_networks_too_many_outputs_and_nan_are_refused() -> None:
    with pytest.raises(SymbreakError, match="found 3 networks"):
        measure(network(3, 3), data(), seed=0, points=2)
    with pytest.raises(SymbreakError, match="at most 12 outputs to rotate, found 13"):
        measure(network(3, 10, outputs=13), data(), seed=0, points=2)
    spoiled = network(3, 10)
    spoiled.parameters["layers.0.weight"][7, 0, 0] = torch.nan
    with pytest.raises(SymbreakError, match=r"networks \[7\]"):
        measure(spoiled, data(), seed=0, points=2)
    inputs = data()
    inputs.x[1] = torch.inf
    with pytest.raises(SymbreakError, match="finite inputs"):
        measure(network(3, 10), inputs, seed=0, points=2)


def test_an_error_that_rests_on_one_block_is_warned_of() -> None:
    """One network of 320 with outputs a thousand times as large."""
    spoiled, sentence = network(20, 320, neuron="erf", sigma_b=0.5), "most elements of g2 is ruled by a single block"
    assert not any(sentence in w for w in measure(spoiled, data(), seed=0, points=2).warnings)
    spoiled.parameters["layers.1.weight"][7] *= 1000
    assert any(sentence in w for w in measure(spoiled, data(), seed=0, points=2).warnings)


def test_centring_takes_off_the_mean_exactly() -> None:
    field = np.random.default_rng(0).standard_normal((30, 2)) + 3
    g = {order: sums[0] / 30 for order, sums in field_sums(field[:, None], range(1, 7)).items()}
    expected = {order: sums / 30 for order, sums in product_sums(field - field.mean(axis=0), range(1, 7)).items()}
    for order, found in centred(g, 2).items():
        np.testing.assert_allclose(found, expected[order], atol=1e-9)


def test_the_benchmarks_contenders_agree() -> None:
    for width in (3, 40):
        benchmark.assert_equal(width, 4)

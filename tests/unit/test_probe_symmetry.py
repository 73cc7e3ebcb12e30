"""Oracles: groups with known answers, closed-form commutators, brute-force generators, exact counts of linear nets."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp, special_ortho_group
from torch import Tensor, nn

from symbreak.config.models import CnnSpec, MlpSpec
from symbreak.errors import SymbreakError
from symbreak.models.activations import ACTIVATIONS
from symbreak.models.model import build
from symbreak.probes.network import Data, Network, of_model, of_module
from symbreak.probes.report import Report
from symbreak.probes.symmetry import measure
from symbreak.probes.symmetry_defects import averaged, best_image, commutator, covariance_defect, mean_change
from symbreak.probes.symmetry_rank import CLEAR_GAP, decide, null_space, span
from symbreak.theory.groups import GROUPS, SCALE, elements, haar

EXACT = 1e-12
SHAPE = (1, 4, 4)
CLASSES = 5
SHUFFLED = {"permutation", "flip_horizontal", "flip_vertical", "rotation_90"}  # every entry has a new place
MOVED = SHUFFLED | {"map_rotation_nearest"}  # entries are moved and none is mixed, but some may be lost
POSITIVE = {"scaling", "diagonal_scaling"}
ODD = {"sign", "negation"}


def data(n: int = 80, shape: tuple[int, ...] = SHAPE, dtype: torch.dtype = torch.float64) -> Data:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(n, *shape, generator=generator, dtype=torch.float64).to(dtype)
    return Data(x, torch.arange(n) % CLASSES)


def mlp(activation: str, hidden: tuple[int, ...], bias: bool = True, seeds: tuple[int, ...] = (1,)) -> Network:
    """An MLP with small random biases."""
    names = [f"layers.{layer}.bias" for layer in range(len(hidden) + 1)] if bias else []
    initial = {name: {"std": 0.1} for name in names}
    spec = MlpSpec.model_validate(
        {"family": "mlp", "hidden": hidden, "activation": activation, "bias": bias, "initial": initial}
    )
    model = build(spec, SHAPE, CLASSES, torch.float64)
    states = [model.init(seed) for seed in seeds]
    return of_model(model, {name: torch.stack([state[name] for state in states]) for name in states[0]})


class Function(nn.Module):
    """Any function of the flattened input, with one parameter that scales it."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.scale = nn.Parameter(torch.ones(1, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.function(x.flatten(1))


def of_function(function: Callable[[Tensor], Tensor]) -> Network:
    return of_module(Function(function))


def radial(x: Tensor) -> Tensor:
    """Depends on ``|x|`` only."""
    length = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    return torch.cat([length**power for power in range(1, CLASSES + 1)], 1).tanh()


def symmetric(x: Tensor) -> Tensor:
    """A sum over features (Deep Sets), which their order does not matter to."""
    return torch.stack([torch.sin((k + 1) * x + k).sum(1) for k in range(CLASSES)], 1)


def value(report: Report, name: str) -> Any:
    return report.results[name].value


# ---------------------------------------------------------------------------------------------------------- groups


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 12), st.integers(0, 10**6))
def test_a_haar_rotation_is_orthogonal_with_determinant_one(dimension: int, seed: int) -> None:
    matrix = haar(dimension, np.random.default_rng(seed))(torch.eye(dimension, dtype=torch.float64))
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(dimension, dtype=torch.float64))
    assert torch.linalg.det(matrix) == pytest.approx(1)


@pytest.mark.parametrize("dimension", [2, 3, 4])
def test_haar_rotations_are_distributed_as_scipys(dimension: int) -> None:
    generator, unit = np.random.default_rng(5), torch.eye(dimension, dtype=torch.float64)
    ours = np.array([haar(dimension, generator)(unit).numpy() for _ in range(1500)])
    theirs = special_ortho_group.rvs(dimension, size=1500, random_state=6)
    statistics = [*(lambda q, i=i, j=j: q[:, i, j] for i in range(dimension) for j in range(dimension))]
    statistics += [lambda q: np.trace(q, axis1=1, axis2=2), lambda q: np.trace(q @ q, axis1=1, axis2=2)]
    for statistic in statistics:
        assert ks_2samp(statistic(ours), statistic(theirs)).pvalue > 0.05 / 18 / 3  # 5 % over all comparisons


def test_every_group_is_linear_and_keeps_shape_and_type() -> None:
    x, y = data(6).x, data(9).x[3:]
    for name in GROUPS:
        for element in elements(name, SHAPE, 2, seed=0, theta=0.4):
            torch.testing.assert_close(element(2 * x - y), 2 * element(x) - element(y))
            assert element(x.float()).dtype == torch.float32
            assert (element(x) - x).abs().max() > 0.01  # an element but the identity


@pytest.mark.parametrize("name", ["rotation", "block_rotation", "permutation", "sign", "rotation_90", "flip_vertical"])
def test_orthogonal_elements_keep_lengths(name: str) -> None:
    x = data(6).x
    for element in elements(name, SHAPE, 3, seed=0, theta=0.4):
        torch.testing.assert_close(element(x).flatten(1).norm(dim=1), x.flatten(1).norm(dim=1))


@pytest.mark.parametrize("name", ["map_rotation", "map_rotation_nearest"])
def test_a_map_rotation_by_a_right_angle_is_a_quarter_turn(name: str) -> None:
    x = data(6).x
    (turned,) = elements(name, SHAPE, 1, seed=0, theta=math.pi / 2)
    torch.testing.assert_close(turned(x), torch.rot90(x, 1, (-2, -1)))


def test_positive_scaling_stays_within_its_bounds() -> None:
    for name in POSITIVE:
        for element in elements(name, SHAPE, 20, seed=0, theta=1):
            factors = element(torch.ones(1, *SHAPE))
            assert 1 / SCALE <= factors.min() <= factors.max() <= SCALE


@pytest.mark.parametrize(
    ("name", "shape"), [("flip_vertical", (16,)), ("rotation_90", (1, 4, 5)), ("sign", (1,)), ("su3", (4,))]
)
def test_a_group_that_does_not_act_on_the_samples_is_refused(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(SymbreakError, match=name):
        elements(name, shape, 2, seed=0, theta=0.1)


# ----------------------------------------------------------------------------------------------------- commutators

REMNANTS: dict[str, set[str]] = {
    "relu": MOVED | POSITIVE,
    "tanh": MOVED | ODD,
    "erf": MOVED | ODD,
    "sigmoid": MOVED,
    "linear": set(GROUPS),
}


@pytest.mark.parametrize("name", REMNANTS)
def test_the_remnant_group_of_each_activation_is_the_known_one(name: str) -> None:
    for group in GROUPS:
        norm, _ = commutator(ACTIVATIONS[name].value, group, samples=4, seed=1, theta=0.3)
        assert norm < EXACT if group in REMNANTS[name] else norm > 1e-3, group


# |R(Qx) - QR(x)|^2 is |x|^2 for ReLU under negation; half of that for random signs; and |R(Qx)|^2 for a random rotation
# in many dimensions, since |Rx|^2 = <Rx, x> and Q|x| is then orthogonal to Qx. |R(Qx)|^2 is |x|^2 / 2.
@pytest.mark.parametrize(("group", "expected"), [("negation", math.sqrt(2)), ("sign", 1.0), ("rotation", 1.0)])
def test_commutators_of_relu_have_their_closed_forms(group: str, expected: float) -> None:
    norm, error = commutator(torch.relu, group, samples=40, seed=2, theta=1, shape=(400,))
    assert norm == pytest.approx(expected, abs=4 * error + 2 / 400)
    assert 0 < error < 0.05


@pytest.mark.parametrize("theta", [1e-3, 1e-2, 1e-1])
def test_no_small_block_rotation_commutes_with_relu(theta: float) -> None:
    norm, _ = commutator(torch.relu, "block_rotation", samples=8, seed=2, theta=theta)
    assert 0.9 < norm / theta < 1.1


def test_the_standard_error_of_a_commutator_is_its_spread_over_seeds() -> None:
    found = np.array([commutator(torch.relu, "sign", samples=6, seed=seed, theta=1) for seed in range(40)])
    assert 0.6 < found[:, 0].std(ddof=1) / np.sqrt(np.square(found[:, 1]).mean()) < 1.6


def test_a_commutator_without_meaning_is_refused() -> None:
    with pytest.raises(SymbreakError, match="zero"):
        commutator(torch.zeros_like, "sign", samples=2, seed=0, theta=1)
    with pytest.raises(SymbreakError, match="shape"):
        commutator(lambda x: x[:, :, :4], "sign", samples=2, seed=0, theta=1)
    with pytest.raises(SymbreakError, match="finite"):
        commutator(torch.log, "sign", samples=2, seed=0, theta=1)


# --------------------------------------------------------------------------------------------------------- defects


def test_the_covariance_defect_is_that_of_its_definition() -> None:
    x, matrix = data(20, (6,)).x, torch.from_numpy(special_ortho_group.rvs(6, random_state=1))
    element: Callable[[Tensor], Tensor] = lambda rows: rows @ matrix.T  # noqa: E731
    expected = (torch.tanh(element(x)) - element(torch.tanh(x))).norm() / torch.tanh(x).norm()
    assert covariance_defect(torch.tanh, x, element, element) == pytest.approx(float(expected))
    assert covariance_defect(lambda rows: 3 * rows, x, element, element) < EXACT
    assert covariance_defect(lambda rows: rows.norm(dim=1), x, element) < EXACT


def test_averages_and_their_errors_are_those_of_a_loop() -> None:
    generator = np.random.default_rng(0)
    above, below = generator.uniform(size=(4, 2, 7)), generator.uniform(1, 2, size=(2, 7))

    def defects(keep: np.ndarray) -> np.ndarray:
        return np.array([np.sqrt(a[:, keep].sum(1) / below[:, keep].sum(1)) for a in above])  # [S, R]

    parts = np.array([defects(np.arange(7) != n).mean(0) for n in range(7)])
    jackknife = 6 / 7 * np.square(parts - parts.mean(0)).sum(0)
    every = defects(np.arange(7) >= 0)
    mean, listed = averaged(above, below, sampled=False)
    np.testing.assert_allclose(mean, every.mean(0))
    np.testing.assert_allclose(listed, np.sqrt(jackknife))
    np.testing.assert_allclose(averaged(above, below, sampled=True)[1], np.sqrt(jackknife + every.var(0, ddof=1) / 4))
    np.testing.assert_allclose(mean_change(above, sampled=False)[0], above.mean((0, 2)))
    np.testing.assert_allclose(mean_change(above, False)[1], above.mean(0).std(1, ddof=1) / np.sqrt(7))


def test_the_best_image_is_found_but_not_by_overfitting() -> None:
    generator = np.random.default_rng(0)
    still, image = generator.normal(size=(40, 3)), generator.normal(size=(3, 3))
    assert best_image(still, still @ image).max() < EXACT
    unrelated = generator.normal(size=(40, 3))
    assert best_image(still, unrelated).sum() > np.square(unrelated).sum()  # a fit in sample would be below


# ----------------------------------------------------------------------------------------- networks under their inputs

INVARIANT: dict[str, tuple[Callable[[Tensor], Tensor], set[str]]] = {
    "radial": (radial, SHUFFLED | ODD | {"rotation", "block_rotation"}),
    "symmetric": (symmetric, SHUFFLED),
    "even": (lambda x: symmetric(x.square()), SHUFFLED | ODD),
    "homogeneous": (lambda x: symmetric(x / x.norm(dim=1, keepdim=True)), SHUFFLED | {"scaling"}),
}


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("name", INVARIANT)
def test_a_function_is_invariant_under_the_groups_it_was_built_for(name: str, loss: str) -> None:
    function, expected = INVARIANT[name]
    report = measure(of_function(function), data(), seed=1, loss=loss, samples=3, theta=0.3, nonlinearity="relu")
    for group in GROUPS:
        for what in ("invariance", "loss"):
            (defect,) = value(report, f"{what}/{group}")
            assert defect < 1e-9 if group in expected else defect > 1e-4, (what, group)


def test_a_common_shift_of_the_outputs_is_a_change_of_theirs_and_not_of_the_loss() -> None:
    network = of_function(lambda x: radial(x) + x[:, :1])
    report = measure(network, data(), seed=1, groups=["rotation"], samples=3, nonlinearity="relu")
    assert value(report, "invariance/rotation")[0] > 0.1
    assert value(report, "loss/rotation")[0] < 1e-9
    assert abs(value(report, "loss_change/rotation")[0]) < 1e-9
    squared = measure(network, data(), seed=1, loss="mse", groups=["rotation"], samples=3, nonlinearity="relu")
    assert value(squared, "loss/rotation")[0] > 0.1


def test_networks_without_biases_are_covariant_though_not_invariant() -> None:
    relu = measure(mlp("relu", (7,), bias=False), data(), seed=1, groups=["scaling"], samples=5)
    factors = [float(element(torch.ones(1, *SHAPE)).mean()) for element in elements("scaling", SHAPE, 5, 1, 0.1)]
    assert value(relu, "invariance/scaling")[0] == pytest.approx(np.mean(np.abs(np.array(factors) - 1)))
    assert value(relu, "covariance/scaling")[0] < EXACT
    tanh = measure(mlp("tanh", (7,), bias=False), data(), seed=1, groups=["negation", "scaling"], samples=5)
    assert value(tanh, "invariance/negation")[0] == pytest.approx(2)
    assert value(tanh, "covariance/negation")[0] < EXACT
    assert value(tanh, "covariance/scaling")[0] > 1e-3


def test_the_loss_change_is_a_difference_of_mean_losses() -> None:
    network, given_data = mlp("tanh", (6,)), data(300)
    report = measure(network, given_data, seed=1, groups=["flip_vertical"], samples=2)
    losses = [
        nn.functional.cross_entropy(network.outputs(x)[0], given_data.y) for x in (given_data.x.flip(-2), given_data.x)
    ]
    assert value(report, "loss_change/flip_vertical")[0] == pytest.approx(float(losses[0] - losses[1]))


def test_stack_module_and_generic_function_give_the_same_report() -> None:
    network = mlp("relu", (6, 4), seeds=(1, 2))
    chain = nn.Sequential(
        nn.Flatten(),
        nn.Linear(16, 6),
        nn.ReLU(inplace=True),
        nn.Sequential(nn.Linear(6, 4), nn.ReLU()),
        nn.Linear(4, 5),
    ).double()
    weights = [dict(zip(chain.state_dict(), network.one(r).values(), strict=True)) for r in range(2)]
    reports = [
        measure(n, data(300), seed=1, samples=2, nonlinearity="relu") for n in (network, of_module(chain, weights))
    ]
    generic = measure(replace(network, stack=None), data(300), seed=1, samples=2, nonlinearity="relu")
    assert reports[0].results.keys() == reports[1].results.keys() > generic.results.keys()
    for other in (reports[1], generic):
        for name in other.results:
            if not name.endswith("/gap"):  # a ratio to rounding
                np.testing.assert_allclose(value(reports[0], name), value(other, name), atol=1e-10)
    assert any("chains" in warning for warning in generic.warnings)


def test_replicas_are_measured_one_like_the_other_and_float32_like_float64() -> None:
    both, options = mlp("tanh", (5,), seeds=(1, 2)), {"seed": 4, "samples": 2, "loss": "mse"}
    together = measure(both, data(), **options)
    for place, seed in enumerate((1, 2)):
        alone = measure(mlp("tanh", (5,), seeds=(seed,)), data(), **options)
        for name, found in alone.results.items():
            if not name.endswith("/gap") and found.axes:
                np.testing.assert_allclose(found.value[0], value(together, name)[place], atol=1e-12)
    single = replace(both, parameters={name: tensor.float() for name, tensor in both.parameters.items()})
    report = measure(single, data(dtype=torch.float32), **options)
    np.testing.assert_allclose(value(report, "invariance/sign"), value(together, "invariance/sign"), atol=1e-5)
    np.testing.assert_array_equal(value(report, "zero_modes"), value(together, "zero_modes"))


# ------------------------------------------------------------------------------------------------------------ counts

# widths 16 (inputs) - hidden - 5 (outputs). (activation, hidden, bias, loss) -> zero modes, and of them explained.
# Linear of rank h without biases: the products W2 W1 have h (d + c - h) dimensions, hence h^2 zero modes: gl(h).
# A hidden bias of it is redundant: h more, translations. The softmax shift adds h + 1, or h without a bias, to any.
# Three linear layers 16-3-4-5: all (x) rows of W1 + columns of W3 W2 (x) all: 3 * 5 + 3 * 16 - 9 = 54 of 48 + 12 + 20
# parameters: 26 zero modes. gl(3) and gl(4) give 25, a shift by what W2 never gives out the last.
COUNTS = [
    ("linear", (4,), True, "cross_entropy", 25, 25),
    ("linear", (4,), True, "mse", 20, 20),
    ("linear", (4,), False, "cross_entropy", 20, 20),
    ("linear", (4,), False, "mse", 16, 16),
    ("linear", (3, 4), False, "mse", 26, 26),
    ("relu", (6,), True, "cross_entropy", 13, 13),
    ("relu", (6,), True, "mse", 6, 6),
    ("relu", (5, 4), True, "mse", 9, 9),
    ("tanh", (6,), True, "cross_entropy", 7, 7),
    ("tanh", (6,), True, "mse", 0, 0),
    ("sigmoid", (4, 3), True, "cross_entropy", 4, 4),
]


@pytest.mark.parametrize(("activation", "hidden", "bias", "loss", "modes", "explained"), COUNTS)
def test_zero_modes_are_those_of_the_closed_form(
    activation: str, hidden: tuple[int, ...], bias: bool, loss: str, modes: int, explained: int
) -> None:
    report = measure(mlp(activation, hidden, bias), data(), seed=1, loss=loss, groups=["negation"], samples=2)
    assert value(report, "zero_modes").tolist() == [[modes]]
    assert report.results["zero_modes"].error == pytest.approx(0)
    assert value(report, "zero_modes/gap") > CLEAR_GAP
    assert value(report, "explained").tolist() == [explained]
    assert not report.warnings


def brute_force(network: Network, moves: list[dict[str, Tensor]], loss: str) -> int:
    """Generators without effect on the outputs: K minus the rank of central differences along each of K moves."""
    theta, step = network.one(0), 1e-5
    x = torch.randn(300, *SHAPE, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    columns = []
    for move in moves:
        ends = [network.call({n: v + s * move.get(n, 0 * v) for n, v in theta.items()}, x) for s in (step, -step)]
        change = (ends[0] - ends[1]) / (2 * step)
        columns.append((change - change.mean(1, keepdim=True) if loss == "cross_entropy" else change).flatten())
    return len(moves) - int(torch.linalg.matrix_rank(torch.stack(columns, 1), atol=1e-6))


def moves_of(family: str, network: Network) -> list[dict[str, Tensor]]:
    """Every generator of a family on the first two layers, written out."""
    first, c, second, _ = network.one(0).values()
    unit = torch.eye(len(first), dtype=torch.float64)
    pairs = [(a, b) for a in range(len(first)) for b in range(len(first))]
    matrices = {
        "scaling": [torch.outer(unit[a], unit[a]) for a in range(len(first))],
        "rotation": [torch.outer(unit[a], unit[b]) - torch.outer(unit[b], unit[a]) for a, b in pairs if a < b],
        "linear": [torch.outer(unit[a], unit[b]) for a, b in pairs],
    }
    if family == "translation":
        return [{"layers.0.bias": e, "layers.1.bias": -second @ e} for e in unit]
    if family == "shift":
        ones = torch.ones(len(second), dtype=torch.float64)
        return [{"layers.1.weight": torch.outer(ones, e)} for e in unit] + [{"layers.1.bias": ones}]
    return [
        {"layers.0.weight": a @ first, "layers.0.bias": a @ c, "layers.1.weight": -second @ a} for a in matrices[family]
    ]


def test_what_a_family_explains_depends_on_which_are_asked_for() -> None:
    network = mlp("linear", (3, 4), bias=False)
    for family, expected in ((["linear"], 25), (["scaling"], 7), (["scaling", "rotation"], 16), (["shift"], 1)):
        report = measure(network, data(), seed=1, loss="mse", groups=["negation"], samples=2, family=family)
        assert value(report, "explained").tolist() == [expected], family


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("activation", ["linear", "relu", "tanh"])
def test_generators_are_those_that_finite_differences_find(activation: str, loss: str) -> None:
    network = mlp(activation, (4,))
    report = measure(network, data(), seed=1, loss=loss, groups=["negation"], samples=2)
    for family in ("scaling", "rotation", "linear", "translation", "shift"):
        expected = brute_force(network, moves_of(family, network), loss)
        assert value(report, f"generators/{family}").tolist() == [[expected]], family


def test_every_pair_of_layers_has_its_own_count() -> None:
    report = measure(
        mlp("relu", (5, 4)), data(), seed=1, groups=["negation"], samples=2, family=["scaling", "rotation"]
    )
    assert value(report, "generators/scaling").tolist() == [[5, 4]]
    assert value(report, "generators/rotation").tolist() == [[0, 0]]
    assert not any(name.startswith("generators/linear") for name in report.results)


class Exponential(nn.Module):
    """``V exp(W x + b)``: ``b_i -> b_i + t``, ``V_i -> V_i exp(-t)`` leaves it alone and is of none of the families."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(16, 4), nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.one(x.flatten(1) / 4)
        return self.two(hidden.exp())


def test_zero_modes_are_counted_in_networks_whose_layers_are_not_known() -> None:
    torch.manual_seed(0)
    network = of_module(Exponential())
    report = measure(network, data(), seed=1, groups=["negation"], samples=2, nonlinearity="relu")
    assert value(report, "zero_modes").tolist() == [[4 + 5]]
    assert "explained" not in report.results
    with pytest.raises(SymbreakError, match="family"):
        measure(network, data(), seed=1, family=["scaling"])


@pytest.mark.parametrize("colours", [1, 2])
def test_convolutions_have_a_zero_mode_a_rectified_channel(colours: int) -> None:
    spec = CnnSpec(family="cnn", channels=(2,), pool=2, initial={"convs.0.bias": {"std": 0.1}})
    model = build(spec, (colours, 2, 2), CLASSES, torch.float64)
    network = of_model(model, {name: tensor[None] for name, tensor in model.init(1).items()})
    report = measure(network, data(shape=(colours, 2, 2)), seed=1, loss="mse", groups=["negation"], samples=2)
    assert value(report, "zero_modes").tolist() == [[2]]


def test_a_dead_unit_counts_with_all_its_directions_but_a_rare_one_does_not() -> None:
    network = mlp("relu", (3,))
    for bias, expected in (
        (-50.0, 2 + 16 + 1 + CLASSES),
        (-2.4 * float(network.one(0)["layers.0.weight"][0].norm()), 3),
    ):
        network.parameters["layers.0.bias"][0, 0] = bias  # fires never, or on one input of 120
        report = measure(network, data(), seed=1, loss="mse", groups=["negation"], samples=2)
        assert value(report, "zero_modes").tolist() == [[expected]]


def test_a_spectrum_without_gap_is_reported_as_uncertain() -> None:
    network = mlp("tanh", (12,))
    network.parameters["layers.1.weight"] *= torch.logspace(0, -14, 12, dtype=torch.float64)  # unit by unit fainter
    report = measure(network, data(), seed=1, loss="mse", groups=["negation"], samples=2, family=["shift"])
    assert report.results["zero_modes"].error > 0
    assert value(report, "zero_modes/gap") < CLEAR_GAP
    assert any("no clear gap" in warning for warning in report.warnings)


@pytest.mark.parametrize(
    ("singular", "rank", "uncertain"),
    [
        ([1.0, 0.1, 1e-3], 3, 0),
        ([1.0, 0.1, 1e-15], 2, 0),
        ([1.0, 1e-6, 1e-6, 1e-15, 0.0], 3, 0),
        ([0.0, 0.0], 0, 0),
        ([1e-15, 1e-16], 0, 0),  # terms that cancelled
        ([1.0, 1e-9, 1e-11, 1e-13], 3, 2),
        ([1.0, 1e-9, 1e-15], 2, 0),
    ],
)
def test_a_rank_is_decided_by_the_widest_gap(singular: list[float], rank: int, uncertain: int) -> None:
    found = decide(torch.tensor(singular, dtype=torch.float64))
    assert (found[0], found[2]) == (rank, uncertain)


def test_inputs_are_added_until_fresh_ones_see_nothing_new() -> None:
    generator = np.random.default_rng(0)

    def rows(x: Tensor) -> tuple[Tensor, float]:
        found = torch.stack([x, x * (x > 2.5), torch.zeros_like(x)], 1)  # always, on one of 160, never
        return found, float(found.square().sum())

    null = null_space(rows, lambda count: torch.from_numpy(generator.standard_normal(count)), 3, 1)
    assert null.dimension == 1
    assert null.saturated
    torch.testing.assert_close(null.basis.abs()[:, 0], torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))


def test_the_span_of_vectors_is_their_rank() -> None:
    vectors = torch.randn(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert span(torch.cat([vectors, vectors.sum(1, keepdim=True)], 1), 1.0) == 3
    assert span(vectors[:, :0], 1.0) == 0
    assert span(1e-16 * vectors, 1.0) == 0
    assert span(1e-16 * vectors, 1e-16) == 3


def test_what_is_too_large_is_left_out_with_a_warning_or_refused_if_asked_for() -> None:
    network = mlp("relu", (120,))
    report = measure(network, data(20), seed=1, groups=["negation"], samples=2)
    assert value(report, "generators/scaling").tolist() == [[120]]
    assert {"zero_modes", "generators/linear", "explained"}.isdisjoint(report.results)
    assert len([warning for warning in report.warnings if "fit" in warning]) >= 3
    with pytest.raises(SymbreakError, match="linear"):
        measure(network, data(), seed=1, groups=["negation"], samples=2, family=["linear"])


# ---------------------------------------------------------------------------------------------------------- refusals

NOT_A_NUMBER = Data(torch.full((20, *SHAPE), math.nan), torch.zeros(20, dtype=torch.int64))
WHOLE = Data(torch.ones(20, *SHAPE, dtype=torch.int64), torch.zeros(20, dtype=torch.int64))


@pytest.mark.parametrize(
    ("given_data", "options", "match"),
    [
        (data(), {"loss": "hinge"}, "hinge"),
        (data(), {"groups": ["su3"]}, "su3"),
        (data(20, (16,)), {"groups": ["flip_vertical"]}, "flip_vertical"),
        (data(), {"samples": 1}, "samples"),
        (data(), {"theta": 0.0}, "theta"),
        (data(), {"theta": math.nan}, "theta"),
        (data(), {"family": ["e8"]}, "e8"),
        (data(), {"nonlinearity": "swish"}, "swish"),
        (data(1), {}, "2 inputs"),
        (NOT_A_NUMBER, {}, "finite"),
        (WHOLE, {}, "floating"),
        (replace(data(), y=data().y + 1), {}, "labels"),
        (replace(data(), y=data().y[1:]), {}, "labels"),
    ],
)
def test_what_does_not_fit_is_refused(given_data: Data, options: dict[str, Any], match: str) -> None:
    with pytest.raises(SymbreakError, match=match):
        measure(mlp("relu", (4,)), given_data, seed=1, **options)


@pytest.mark.parametrize(
    ("function", "match"),
    [
        (lambda x: radial(x) / 0, "finite"),
        (lambda x: 0 * radial(x), "zero"),
        (lambda x: radial(x).float() @ torch.ones(CLASSES, CLASSES, dtype=torch.float64), "float64"),
        (lambda x: x[:, 0], r"\[N, C\]"),
    ],
)
def test_outputs_without_meaning_are_refused(function: Callable[[Tensor], Tensor], match: str) -> None:
    with pytest.raises(SymbreakError, match=match):
        measure(of_function(function), data(), seed=1)


def test_the_cross_entropy_of_one_output_is_refused_and_its_square_is_not() -> None:
    network, one_class = of_function(lambda x: x[:, :1]), replace(data(), y=torch.zeros(80, dtype=torch.int64))
    with pytest.raises(SymbreakError, match="single output"):
        measure(network, one_class, seed=1)
    report = measure(network, one_class, seed=1, loss="mse", nonlinearity="relu", samples=2)
    assert value(report, "zero_modes").tolist() == [[0]]


def test_few_inputs_and_an_unknown_non_linearity_are_said() -> None:
    report = measure(of_function(radial), data(12), seed=1, samples=2)
    assert any("covariance" in warning for warning in report.warnings)
    assert any("non-linearity" in warning for warning in report.warnings)
    assert not any(name.startswith(("covariance", "commut")) for name in report.results)
    assert np.isfinite(value(report, "invariance/sign")).all()


def test_inputs_of_one_class_only_are_measured() -> None:
    report = measure(mlp("relu", (4,)), replace(data(), y=torch.zeros(80, dtype=torch.int64)), seed=1, samples=2)
    assert all(np.isfinite(found.value).all() for found in report.results.values())


def test_nothing_of_the_network_is_changed() -> None:
    network, inputs = mlp("relu", (4,)), data()
    before = {name: tensor.clone() for name, tensor in network.parameters.items()}, inputs.x.clone()
    measure(network, inputs, seed=1, samples=2)
    assert all(torch.equal(tensor, network.parameters[name]) for name, tensor in before[0].items())
    assert torch.equal(before[1], inputs.x)

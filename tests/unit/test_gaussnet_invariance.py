"""Probe, evidence and figure of ``gaussnet-invariance``, and the norms that it and ``gaussnet-densities`` rest on."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.linalg import expm

from symbreak.claims.decide import decide
from symbreak.claims.gaussnet import invariance as evidence
from symbreak.claims.tables import Tables
from symbreak.config.registry import Part
from symbreak.config.specs import ArmSpec
from symbreak.errors import SymbreakError
from symbreak.figures import gaussnet_invariance as figure
from symbreak.probes.invariance import BATCHES, correlators, probe
from symbreak.probes.noninvariance import batch_tensors, squared_norms
from symbreak.probes.npoint_sampling import Ensemble, outputs
from symbreak.probes.output_sampling import fields
from symbreak.probes.papers_invariance import elements, papers_test
from symbreak.probes.source import Source
from symbreak.theory.invariants import invariant_part
from symbreak.theory.weight_laws import two_point_tensor
from symbreak.theory.wick import multisets

Array = NDArray[np.float64]
X = np.array([[-0.6], [0.2], [0.6]])
QUADRUPLES = [(1, 1, 1, 1), (0, 1, 2, 2)]
OPTIONS: dict[str, Any] = {
    "neuron": "relu", "sigma_b": 0.0, "outputs": 3, "inputs": [0.2, 0.6, 1.0], "quadruples": QUADRUPLES,
    "ensembles": [(5, 2000), (20, 2000)], "shifted": [(20, 2000, 0.2)],
}  # fmt: skip
LEVEL = 1 - 0.05 / 19


def source(*seeds: int) -> Source:
    return Source(ArmSpec(experiment="e", arm="a", seeds=seeds, probes={"invariance": {}}))


def test_tensors_are_means_of_products() -> None:
    f = np.random.default_rng(0).standard_normal((50, 3, 3))
    found = batch_tensors([f[:20], f[20:]], QUADRUPLES)
    for a, b, i, j in product(range(3), repeat=4):
        assert found[2][a, b, i, j] == pytest.approx(np.mean(f[:, i, a] * f[:, j, b]))
    a, b, c, d = QUADRUPLES[1]
    for i, j, k, l in product(range(3), repeat=4):  # noqa: E741
        assert found[4][1, i, j, k, l] == pytest.approx(np.mean(f[:, i, a] * f[:, j, b] * f[:, k, c] * f[:, l, d]))


@pytest.mark.parametrize("planted", [0.0, 0.3])
def test_squared_norm_of_what_is_not_invariant_has_no_bias(planted: float) -> None:
    """Truth: planted^2 times the squared norm of diag(1, 0, 0) less its trace part, 2/3; noise alone would add 0.26."""
    generator = np.random.default_rng(1)
    truth = np.eye(3) + planted * np.diag([1.0, 0, 0])
    found = [squared_norms(truth + 0.5 * generator.standard_normal((8, 3, 3)), 2)[0] for _ in range(2000)]
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found) - planted**2 * 2 / 3) < 4 * error
    assert error < 0.005


def test_squared_norm_of_the_invariant_part_is_that_of_the_mean() -> None:
    batches = np.random.default_rng(2).standard_normal((4, 2, 3, 3))
    assert squared_norms(batches, 2)[1] == pytest.approx(np.sum(invariant_part(batches.mean(axis=0), 2) ** 2))


def test_fields_without_law_or_mean_are_those_of_npoint_sampling() -> None:
    ensemble = Ensemble("gauss", 20_000, 1.0, 0.25, 3, 7)
    expected = np.concatenate([piece for piece, _ in outputs(ensemble, X, 0, 8)])
    found = list(fields(ensemble, X, 8))
    assert len(found) == 3
    np.testing.assert_array_equal(np.concatenate(found), expected)


def test_a_mean_adds_its_neurons_to_its_own_output() -> None:
    ensemble = Ensemble("relu", 10, 1.0, 0.0, 3, 7)
    plain, moved = (np.concatenate(list(fields(ensemble, X, 40, "normal", mean))) for mean in (None, np.eye(3)[1]))
    difference = moved - plain
    np.testing.assert_allclose(difference[:, [0, 2]], 0, atol=1e-6)
    # sum_j max(0, w_j x): positive, and proportional to x on either side of 0
    assert (difference[:, 1] > 0).any()
    np.testing.assert_allclose(difference[:, 1, 2], 3 * difference[:, 1, 1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("law", ["normal", "sphere", "laplace", "uniform"])
def test_sampled_two_point_functions_are_the_exact_ones(law: Any) -> None:
    found = correlators(Ensemble("gauss", 4, 1.0, 0.25, 3, 3), X, 100_000, QUADRUPLES, law, 0.3)[2]
    exact = two_point_tensor("gauss", X, 4, law, 3, 0.25, 0.3 * np.eye(3)[0])
    error = found.std(axis=0, ddof=1) / np.sqrt(BATCHES)
    for element, (a, b) in enumerate(multisets(3, 2)):
        # t of 9 degrees of freedom, 54 elements
        assert (np.abs(found.mean(axis=0)[a, b] - exact[element]) / error[a, b]).max() < 7


def test_papers_test_is_the_loop_over_group_elements() -> None:
    chunks = np.random.default_rng(4).standard_normal((10, 2, 3, 3))
    group = elements(3, np.random.default_rng(5))[:20]
    mean = chunks.mean(axis=0)
    moved = np.array([[r @ g @ r.T - g for g in mean] for r in group])
    found = papers_test(chunks, 2, group)
    assert found["mu_m"] == pytest.approx(moved.mean())
    assert found["sigma_m"] == pytest.approx(np.sqrt((moved**2).mean()))
    assert found["delta_m"] == pytest.approx(np.sqrt(2) * chunks.std(axis=0).mean())
    four = np.random.default_rng(6).standard_normal((10, 3, 3, 3, 3))
    g = four.mean(axis=0)
    by_index = np.array([np.einsum("ia,jb,kc,ld,abcd->ijkl", r, r, r, r, g) - g for r in group])
    assert papers_test(four, 4, group)["sigma_m"] == pytest.approx(np.sqrt((by_index**2).mean()))


def test_the_authors_group_elements_are_exponentials_of_positive_angles() -> None:
    group = elements(3, np.random.default_rng(0))
    np.testing.assert_allclose(group @ np.swapaxes(group, 1, 2), np.broadcast_to(np.eye(3), group.shape), atol=1e-12)
    angles = np.random.default_rng(0).uniform(size=(len(group), 3, 3))[0]
    generator = np.zeros((3, 3))
    for i, j in ((0, 1), (0, 2), (1, 2)):
        generator[i, j], generator[j, i] = angles[i, j], -angles[i, j]
    np.testing.assert_allclose(group[0], expm(generator), atol=1e-12)


def test_probe_tells_a_shifted_layer_from_an_invariant_one_and_repeats() -> None:
    table = probe(source(1, 2, 3), **OPTIONS)
    pd.testing.assert_frame_equal(table, probe(source(1, 2, 3), **OPTIONS))
    effect = table["noninvariant2"] / table["invariant2"]
    for order in (2, 4):
        here = table["order"] == order
        assert effect[here & (table["mean"] == 0)].abs().max() < 0.2
        assert effect[here & (table["mean"] > 0)].min() > 0.5
    assert len(table) == 3 * 3 * 2
    assert not table[table["seed"] == 1]["invariant2"].isin(table[table["seed"] == 2]["invariant2"]).any()


def test_nets_that_make_no_equal_batches_are_refused() -> None:
    with pytest.raises(SymbreakError, match=r"multiples of 10, found .*\(5, 2001\)"):
        probe(source(1), **OPTIONS | {"ensembles": [(5, 2001)]})


def planted(effects: dict[tuple[int, float], float]) -> pd.DataFrame:
    """Six seeds; (width, mean) -> effect of both orders and the authors' ratio, +- a seed's part."""
    return pd.DataFrame(
        {
            "seed": seed, "width": width, "mean": mean, "order": order,
            "noninvariant2": 4 * (effect + 1e-4 * (seed - 3)), "invariant2": 4.0,
            "sigma_m": 0.5 * (effect + 0.3 + 0.01 * seed), "delta_m": 0.5,
        }
        for seed in range(1, 7)
        for (width, mean), effect in effects.items()
        for order in (2, 4)
    )  # fmt: skip


def written(root: Path, table: pd.DataFrame) -> Tables:
    arms = [f"{net}_{outputs}" for net in ("relu", "gauss", "paper") for outputs in (3, 5)]
    for arm in arms:
        (root / "e" / arm).mkdir(parents=True, exist_ok=True)
        table.to_parquet(root / "e" / arm / "invariance.parquet")
    return Tables(root, "e", arms)


PART = Part.model_validate(
    {
        "target": "S5", "evidence": "g2_d3", "quantity": "q", "regime": "statistical", "unit": "seed", "interval": "t",
        "rule": {"equals": 0, "within": 0.001}, "basis": "b", "power": {"effect": 0, "spread": 0.0002},
        "control": {"evidence": "g2_d3_shifted", "quantity": "c", "kind": "must_fail"},
    }
)  # fmt: skip


@pytest.mark.parametrize(
    ("effects", "verdict"),
    [
        ({(5, 0.0): 0.0, (50, 0.0): 0.0001, (50, 0.05): 0.6}, "supported"),
        ({(5, 0.0): 0.02, (50, 0.0): 0.0, (50, 0.05): 0.6}, "refuted"),
        ({(5, 0.0): 0.0, (50, 0.0): 0.0, (50, 0.05): 0.0}, "inconclusive (control)"),
    ],
)
def test_verdict_follows_the_worst_width_and_the_control(
    tmp_path: Path, effects: dict[tuple[int, float], float], verdict: str
) -> None:
    tables = written(tmp_path, planted(effects))
    decision = decide(PART, evidence.g2_d3(tables), evidence.g2_d3_shifted(tables), LEVEL)
    assert decision.verdict == verdict


def test_units_are_those_of_the_deciding_setting(tmp_path: Path) -> None:
    tables = written(tmp_path, planted({(5, 0.0): -0.3, (50, 0.0): 0.2, (5, 0.2): 9.0, (50, 0.2): 2.0}))
    seeds = np.arange(1, 7)
    assert [u.value for u in evidence.g4_d5(tables)] == pytest.approx(-0.3 + 1e-4 * (seeds - 3))
    assert evidence.g4_d5(tables)[0].unit in ("seed 1, relu_5, N=5", "seed 1, gauss_5, N=5")
    assert [u.value for u in evidence.g4_d5_shifted(tables)] == pytest.approx(2.0 + 1e-4 * (seeds - 3))
    assert [u.value for u in evidence.papers_g2(tables)] == pytest.approx(0.5 + 0.01 * seeds)
    assert [u.value for u in evidence.papers_g2_shifted(tables)] == pytest.approx(2.3 + 0.01 * seeds)
    assert evidence.papers_g2(tables)[0].unit.startswith("seed 1, paper_")


def test_figure_shows_both_tests_and_their_controls(tmp_path: Path) -> None:
    tables = written(tmp_path, planted({(5, 0.0): 0.0, (50, 0.0): 0.0001, (50, 0.05): 0.6}))
    parts = {name: {"rule": {"equals": 0.0, "within": 0.001}} for name in ("g2_d3", "g4_d3")}
    claim = {"statement": "S.", "verdict": "supported", "margin": 1e-4, "n": 6, "control": "shown"}
    drawn = figure.draw(tables, claim | {"underpowered": False, "parts": parts})
    assert [ax.get_yscale() for ax in drawn.axes] == ["symlog", "symlog", "log", "log"]
    texts = [text.get_text() for ax in drawn.axes for text in ax.get_legend().get_texts()]
    assert any("control" in text for text in texts)
    assert any("± 0.001" in text for text in texts)

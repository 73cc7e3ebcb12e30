"""Probe of exact tensors, evidence and figure of ``gaussnet-densities``."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from symbreak.claims.decide import decide
from symbreak.claims.gaussnet import densities as evidence
from symbreak.claims.tables import Tables
from symbreak.config.registry import Part
from symbreak.config.specs import ArmSpec
from symbreak.figures import gaussnet_densities as figure
from symbreak.probes.density_exact import group_elements, probe
from symbreak.probes.invariance import probe as sample
from symbreak.probes.source import Source
from symbreak.theory.weight_laws import LAWS, Law

OPTIONS: dict[str, Any] = {
    "neurons": [("relu", 0.0), ("gauss", 1.0)], "outputs": 3, "inputs": [-0.6, 0.2, 0.6],
    "quadruples": [(1, 1, 1, 1), (0, 1, 2, 2)], "widths": [1, 5], "mean": 0.1,
}  # fmt: skip
UNIFORM = (1.2 * 1.5 * 0.2**4 / 5) ** 2 * 6 / 5  # exact norm of uniform weights at the larger width


def source(*seeds: int) -> Source:
    return Source(ArmSpec(experiment="e", arm="a", seeds=seeds, probes={"density_exact": {}}))


@pytest.fixture(scope="module")
def exact() -> dict[str, pd.DataFrame]:
    return {law: probe(source(1), law=law, **OPTIONS) for law in LAWS}


@pytest.mark.parametrize("law", LAWS)
def test_rotations_move_the_four_point_function_of_laws_with_axes_only(
    law: Law, exact: dict[str, pd.DataFrame]
) -> None:
    table = exact[law]
    four = table[(table["order"] == 4)].groupby("group")["deviation"]
    assert four.max()["signed_permutation"] < 1e-13
    if law in ("normal", "sphere"):
        assert four.max()["rotation"] < 1e-13
    else:
        assert four.min()["rotation"] > 0.1
    two = table[(table["order"] == 2) & (table["group"] == "rotation")].groupby("mean")["deviation"]
    assert two.max()[0.0] < 1e-13
    assert two.min()[0.1] > 1e-3


def test_groups_are_rotations_and_signed_permutations() -> None:
    for name, group in group_elements(3, np.random.default_rng(0)).items():
        np.testing.assert_allclose(
            group @ np.swapaxes(group, 1, 2), np.broadcast_to(np.eye(3), group.shape), atol=1e-12
        )
        whole = np.isin(np.round(group, 12), (-1.0, 0.0, 1.0)).all()
        assert whole == (name == "signed_permutation")


def test_exact_norm_is_that_of_the_fourth_cumulant(exact: dict[str, pd.DataFrame]) -> None:
    """N v^2 kappa_4 M_4 delta_ijkl less its invariant part has the squared norm (kappa_4 M_4/N)^2 D (D - 1)/(D + 2).

    ReLU: M_4 = 3/2 x^4 at (1, 1, 1, 1), and 0 at the other quadruple, whose inputs have both signs.
    """
    for law, kappa in (("laplace", 3.0), ("uniform", -1.2)):
        table = exact[law]
        rows = table[(table["order"] == 4) & (table["neuron"] == "relu")].set_index("width")["noninvariant2"]
        for width in OPTIONS["widths"]:
            expected = (kappa * 1.5 * 0.2**4 / width) ** 2 * 6 / 5
            np.testing.assert_allclose(rows[width], expected, rtol=1e-9)
    assert exact["sphere"].query("order == 4")["noninvariant2"].max() < 1e-24


def test_sampled_norms_are_the_exact_ones() -> None:
    quadruples, points = [(1, 1, 1, 1), (0, 1, 2, 2)], [0.2, 0.6, 1.0]
    exact = probe(
        source(1), law="uniform", **OPTIONS | {"inputs": points, "quadruples": quadruples, "widths": [2], "mean": 0.5}
    )
    exact = exact[(exact["neuron"] == "relu") & (exact["group"] == "rotation")].set_index(["order", "mean"])
    sampled = sample(
        source(1, 2, 3, 4, 5, 6), neuron="relu", sigma_b=0.0, outputs=3, inputs=points, quadruples=quadruples,
        ensembles=[(2, 100_000)], shifted=[(2, 50_000, 0.5)], law="uniform",
    )  # fmt: skip
    for order, mean in ((4, 0.0), (2, 0.5)):
        values = sampled[(sampled["order"] == order) & (sampled["mean"] == mean)]["noninvariant2"]
        expected = exact["noninvariant2"][order, mean]
        assert abs(values.mean() - expected) < 5 * values.sem()
        assert expected > 10 * values.sem()


def sampled_as(table: pd.DataFrame) -> pd.DataFrame:
    """Made-up samples of eight seeds: the exact norm, and a seed's part that is small beside uniform weights'."""
    noise = 0.01 * UNIFORM
    rows = table[(table["neuron"] == "relu") & (table["group"] == "rotation")]
    return pd.DataFrame(
        {
            "seed": seed, "neuron": "relu", "width": row.width, "mean": row.mean, "order": row.order,
            "noninvariant2": row.noninvariant2 + noise * (seed - 4.5), "invariant2": 1000 * noise,
        }
        for seed in range(1, 9) for row in rows.itertuples(index=False)
    )  # fmt: skip


def written(root: Path, exact: dict[str, pd.DataFrame], swapped: dict[str, Law]) -> Tables:
    """Tables in which the law of an arm may be another, to see what the verdicts then are."""
    for arm in LAWS:
        law = swapped.get(arm, arm)
        (root / "e" / arm).mkdir(parents=True)
        exact[law].assign(law=arm).to_parquet(root / "e" / arm / "density_exact.parquet")
        sampled_as(exact[law]).to_parquet(root / "e" / arm / "invariance.parquet")
    return Tables(root, "e", list(LAWS))


def part(name: str, control: str, rule: dict[str, float], numeric: bool) -> Part:
    statistics: dict[str, Any] = {"interval": "t", "power": {"effect": 0, "spread": 1e-3}, "regime": "statistical"}
    return Part.model_validate(
        {"target": "S7", "evidence": name, "quantity": "q", "unit": "u", "rule": rule, "basis": "b"}
        | ({"regime": "numeric"} if numeric else statistics)
        | {"control": {"evidence": control, "quantity": "c", "kind": "must_fail"}}
    )


PARTS = [
    part("exact_g2", "exact_g2_shifted", {"at_most": 1e-10}, True),
    part("exact_g4", "exact_g4_axes", {"at_most": 1e-10}, True),
    part("exact_g4_permuted", "exact_g4_axes", {"at_most": 1e-10}, True),
    part("sampled_g2", "sampled_g2_shifted", {"equals": 0, "within": 0.01}, False),
    part("sampled_g4", "sampled_g4_axes", {"equals": 0, "within": 0.01}, False),
    part("fourth_cumulant", "fourth_cumulant_invariant", {"equals": 1, "within": 0.3}, False),
]


def verdicts(tables: Tables) -> dict[str, str]:
    return {
        p.evidence: decide(
            p, getattr(evidence, p.evidence)(tables), getattr(evidence, p.control.evidence)(tables), 0.9974
        ).verdict
        for p in PARTS
    }


def test_claim_is_supported_where_the_laws_are_what_they_are_called(
    tmp_path: Path, exact: dict[str, pd.DataFrame]
) -> None:
    assert set(verdicts(written(tmp_path, exact, {})).values()) == {"supported"}


def test_claim_fails_where_the_sphere_has_axes(tmp_path: Path, exact: dict[str, pd.DataFrame]) -> None:
    found = verdicts(written(tmp_path, exact, {"sphere": "laplace"}))
    assert found["exact_g2"] == found["sampled_g2"] == "supported"
    assert found["exact_g4"] != "supported"
    assert found["sampled_g4"] == "refuted"


def test_controls_are_not_shown_where_uniform_weights_are_normal(
    tmp_path: Path, exact: dict[str, pd.DataFrame]
) -> None:
    found = verdicts(written(tmp_path, exact, {"uniform": "normal"}))
    assert found["exact_g4"] == found["sampled_g4"] == "inconclusive (control)"


def test_figure_draws_every_law(tmp_path: Path, exact: dict[str, pd.DataFrame]) -> None:
    parts: dict[str, Any] = {
        "exact_g4": {"rule": {"at_most": 1e-10}},
        "sampled_g4": {"rule": {"equals": 0.0, "within": 0.002}},
        "fourth_cumulant": {"rule": {"equals": 1.0, "within": 0.2}},
    }
    claim = {"statement": "S.", "verdict": "supported", "margin": 1e-4, "n": 6, "control": "shown"}
    drawn = figure.draw(written(tmp_path, exact, {}), claim | {"underpowered": False, "parts": parts})
    texts = [text.get_text() for legend in drawn.legends for text in legend.get_texts()]
    assert {f"W1 {law}" for law in LAWS} <= set(texts)

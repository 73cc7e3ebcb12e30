"""Probe, evidence and figure of ``gaussnet-components``."""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from symbreak.claims.decide import decide
from symbreak.claims.gaussnet import components as evidence
from symbreak.claims.tables import Tables
from symbreak.config.registry import Part
from symbreak.config.specs import ArmSpec
from symbreak.errors import SymbreakError
from symbreak.figures import gaussnet_components as figure
from symbreak.probes.components import KINDS, correlation2, covariance, covariance_of_squares, probe
from symbreak.probes.source import Source

Array = NDArray[np.float64]
OPTIONS: dict[str, Any] = {
    "sigma_b": 0.25, "outputs": 4, "inputs": [0.0, 0.3], "ensembles": [(2, 40_000), (10, 40_000)],
    "shifted": [(2, 5000)], "mean_w1": 0.4,
}  # fmt: skip


def source(*seeds: int) -> Source:
    return Source(ArmSpec(experiment="e", arm="sampled", seeds=seeds, probes={"components": {}}))


def net_by_net(width: int, nets: int) -> Array:
    """Squares of two outputs of Gauss-nets at x = 0.3, from the definition: ``[M, 2]``."""
    generator = np.random.default_rng(0)
    z = 0.3 * generator.standard_normal((nets, width)) + 0.25 * generator.standard_normal((nets, width))
    s = np.exp(z) / np.sqrt(np.exp(2 * (0.25**2 + 0.3**2)))
    w1 = generator.standard_normal((nets, 2, width)) / np.sqrt(width)
    f: Array = 0.25 * generator.standard_normal((nets, 2)) + np.einsum("mij,mj->mi", w1, s)
    return f**2


def test_exact_covariance_is_that_of_nets_made_by_hand() -> None:
    squares = net_by_net(3, 400_000)
    centred = squares - squares.mean(axis=0)
    products = centred.prod(axis=1)
    exact = covariance_of_squares(np.array([[0.0], [0.3]]), 0.25)[1] / 3
    error = products.std() / np.sqrt(len(products))
    assert abs(products.mean() - exact) < 4 * error
    assert exact > 20 * error


def test_exact_covariance_at_the_origin_is_the_catalogues() -> None:
    """M_4 - M_2^2 = e^4 - 1 = 53.6 at sigma_b = 1."""
    assert covariance_of_squares(np.array([[0.0]]), 1.0) == pytest.approx([np.exp(4) - 1])


@pytest.mark.parametrize("rho", [0.0, 0.2])
def test_squared_correlation_has_no_bias(rho: float) -> None:
    """Two of three components with correlation rho: the mean over pairs is rho^2/3."""
    generator = np.random.default_rng(1)
    root = np.linalg.cholesky(np.array([[1, rho, 0], [rho, 1, 0], [0, 0, 1.0]]))
    found = []
    for _ in range(400):
        f = generator.standard_normal((10, 50, 3)) @ root.T
        found.append(correlation2(np.einsum("bmi,bmj->bij", f, f)[:, None] / 50)[0])
    error = np.std(found) / 20
    assert abs(np.mean(found) - rho**2 / 3) < 4 * error
    assert error < 4e-4  # noise alone is 1/500


def test_covariance_of_squares_is_numpys_over_pairs() -> None:
    f = np.random.default_rng(2).standard_normal((300, 1)) * np.random.default_rng(3).standard_normal((300, 4))
    expected = np.mean([np.cov(f[:, i] ** 2, f[:, j] ** 2, bias=True)[0, 1] for i, j in combinations(range(4), 2)])
    found = covariance((f.T @ f)[None] / 300, ((f**2).T @ f**2)[None] / 300)
    assert found == pytest.approx([expected])


def test_nets_depend_the_gaussian_process_does_not_and_a_mean_correlates() -> None:
    table = probe(source(1, 2, 3), **OPTIONS)
    pd.testing.assert_frame_equal(table, probe(source(1, 2, 3), **OPTIONS))
    ratio = (table["covariance"] / table["exact"]).groupby([table["kind"], table["width"]]).mean()
    for width, slack in ((2, 0.1), (10, 0.3)):
        assert ratio["net", width] == pytest.approx(1, abs=slack)
        assert ratio["gaussian", width] == pytest.approx(0, abs=slack)
    correlation = table.groupby("kind")["correlation2"].agg(lambda values: values.abs().mean())
    assert correlation["shifted"] > 0.05
    assert max(correlation["net"], correlation["gaussian"]) < 1e-4


def test_nets_that_make_no_equal_batches_are_refused() -> None:
    with pytest.raises(SymbreakError, match=r"multiples of 10, found \[\(2, 15\)\]"):
        probe(source(1), **OPTIONS | {"shifted": [(2, 15)]})


def planted(correlated: float, ratio: float, gaussian: float = 0.0) -> Any:
    """Six seeds, two widths and inputs; kinds with what is planted, the wider net twice as far off."""
    values = {"net": (correlated, ratio), "gaussian": (0.0, gaussian), "shifted": (0.02, 3.0)}
    return pd.DataFrame(
        {
            "seed": seed, "kind": kind, "width": width, "x": x, "exact": exact / width,
            "correlation2": values[kind][0] * width / 2 + 1e-6 * (seed - 3),
            "covariance": exact / width * (1 + (values[kind][1] - 1) * width / 2 + 0.001 * (seed - 3)),
        }
        for seed in range(1, 7) for kind in KINDS for width in (2, 4) for x, exact in ((0.0, 1.0), (0.3, 3.0))
    )  # fmt: skip


def written(root: Path, table: pd.DataFrame) -> Tables:
    (root / "e" / "sampled").mkdir(parents=True)
    table.to_parquet(root / "e" / "sampled" / "components.parquet")
    return Tables(root, "e", ["sampled"])


PARTS = {
    name: Part.model_validate(
        {
            "target": "T3", "evidence": name, "quantity": "q", "regime": "statistical", "unit": "seed", "interval": "t",
            "rule": rule, "basis": "b", "power": {"effect": rule["equals"], "spread": 1e-5},
            "control": {"evidence": control, "quantity": "c", "kind": "must_fail"},
        }
    )
    for name, control, rule in (
        ("correlation", "correlation_shifted", {"equals": 0, "within": 0.0001}),
        ("dependence", "dependence_gaussian", {"equals": 1, "within": 0.15}),
    )
}  # fmt: skip


@pytest.mark.parametrize(
    ("values", "verdicts"),
    [
        ((0.0, 1.0), ("supported", "supported")),
        ((0.0005, 0.0), ("refuted", "refuted")),
        ((0.0, 1.0, 1.0), ("supported", "inconclusive (control)")),
    ],
)
def test_verdicts_follow(tmp_path: Path, values: tuple[float, ...], verdicts: tuple[str, str]) -> None:
    tables = written(tmp_path, planted(*values))
    found = [
        decide(part, getattr(evidence, part.evidence)(tables), getattr(evidence, part.control.evidence)(tables), 0.9974)
        for part in PARTS.values()
    ]
    assert tuple(decision.verdict for decision in found) == verdicts


def test_units_are_seeds_of_the_worst_width(tmp_path: Path) -> None:
    tables = written(tmp_path, planted(0.001, 0.9))
    assert [u.value for u in evidence.dependence(tables)] == pytest.approx(0.8 + 0.001 * np.arange(-2, 4))
    assert evidence.dependence(tables)[0].unit == "seed 1, N=4"
    assert evidence.correlation_shifted(tables)[0].unit == "seed 1, N=2"


def test_figure_names_controls_and_bands(tmp_path: Path) -> None:
    parts = {
        "uncorrelated": {"rule": {"equals": 0.0, "within": 1e-4}},
        "dependent": {"rule": {"equals": 1.0, "within": 0.15}},
    }
    claim = {"statement": "S.", "verdict": "supported", "margin": 1e-4, "n": 6, "control": "shown"}
    drawn = figure.draw(written(tmp_path, planted(0.0, 1.0)), claim | {"underpowered": False, "parts": parts})
    texts = [text.get_text() for ax in drawn.axes for text in ax.get_legend().get_texts()]
    for word in ("last layer with a mean", "Gaussian process", "0.85 to 1.15", "exact: (M₄ - M₂²)/N"):
        assert any(word in text for text in texts), word

"""The claim ``gaussnet-means``: its evidence, and the verdicts that follow, from made-up accuracies."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from symbreak.claims.decide import combine, decide
from symbreak.claims.gaussnet import means
from symbreak.claims.tables import Tables
from symbreak.config.registry import Registry
from symbreak.figures import gaussnet_means, style
from symbreak.probes.run import write_table

SEEDS = np.arange(12)
ROOT = Path(__file__).parents[2]


def made(folder: Path, mse: Callable[[float], float], ce: Callable[[float], float]) -> Tables:
    """Twelve seeds an arm of 10,000 images, accuracies ``mse(mean)`` and ``ce(mean)`` and a spread between seeds."""
    arms = {f"mse_{name}": mse(mean) for name, mean in means.MEANS.items()}
    arms |= {f"ce_{name}": ce(mean) for name, mean in means.MEANS.items()}
    arms |= {"half_ce_100": 0.8, "all_001": 0.8}
    draw = np.random.default_rng(0)
    for arm, accuracy in arms.items():
        noise = draw.integers(-50, 50, len(SEEDS)) if arm.startswith("mse") else SEEDS
        correct = (10_000 * accuracy + noise).round().astype(int)
        columns: dict[str, Any] = {"seed": SEEDS, "order_seed": pd.array([None] * len(SEEDS), "Int64"), "epochs": 20}
        columns |= {"diverged": False, "test_correct": correct, "best_test_correct": correct + 3, "test_count": 10_000}
        write_table(folder / "e" / arm / "accuracy.parquet", pd.DataFrame(columns))
    return Tables(folder, "e", list(arms))


def verdict(tables: Tables) -> str:
    claim = Registry.model_validate(yaml.safe_load((ROOT / "claims.yaml").read_text())).claims["gaussnet-means"]
    decided = {
        key: decide(part, getattr(means, part.evidence)(tables), getattr(means, part.control.evidence)(tables), 0.997)
        for key, part in claim.parts.items()
    }
    return combine(decided).verdict


def test_a_slope_is_numpys_fit_seed_by_seed(tmp_path: Path) -> None:
    tables = made(tmp_path, lambda mean: 0.9 - 0.6 * mean**2, lambda mean: 0.93)
    found = {unit.unit: unit.value for unit in means.slope_mse(tables)}
    for seed in SEEDS:
        rows = [tables(f"mse_{name}", "accuracy").set_index("seed").loc[seed, "test_correct"] for name in means.MEANS]
        expected = np.polyfit(list(means.MEANS.values()), np.array(rows) / 10_000, 1)[0]
        assert found[f"seed {seed}"] == pytest.approx(expected, rel=1e-12)


def test_losses_are_those_from_mean_zero(tmp_path: Path) -> None:
    tables = made(tmp_path, lambda mean: 0.9 - 0.5 * mean, lambda mean: 0.93 - 0.1 * mean)
    assert np.mean([u.value for u in means.loss_mse(tables)]) == pytest.approx(0.25, abs=0.01)
    changes = {u.unit: u.value for u in means.changes_cross_entropy(tables)}
    assert len(changes) == 4 * len(SEEDS)
    assert changes["mean 0.2, seed 3"] == pytest.approx(0.02)
    assert changes["mean 1, seed 7"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("mse", "ce", "expected"),
    [
        (lambda mean: 0.9 - 0.6 * mean, lambda mean: 0.93, "supported"),
        (lambda mean: 0.9, lambda mean: 0.93, "refuted"),
        (lambda mean: 0.3 + 0.6 * mean, lambda mean: 0.93, "refuted"),
        (lambda mean: 0.9 - 0.6 * mean, lambda mean: 0.93 - 0.01 * mean, "inconclusive (control)"),
    ],
)
def test_the_verdict_follows_the_accuracies(
    tmp_path: Path, mse: Callable[[float], float], ce: Callable[[float], float], expected: str
) -> None:
    assert verdict(made(tmp_path, mse, ce)) == expected


def test_the_figure_draws_every_family(tmp_path: Path) -> None:
    tables = made(tmp_path, lambda mean: 0.9 - 0.6 * mean, lambda mean: 0.93)
    units = [{"value": u.value} for u in means.slope_mse(tables)]
    part = {"units": units, "low": -0.7, "high": -0.5, "rule": {"below": 0.0}}
    control = {"units": [{"value": 0.0}], "low": None, "high": None}
    evidence = {"statement": "S.", "verdict": "supported", "margin": 0.1, "n": 12, "control": "shown"}
    figure = gaussnet_means.draw(
        tables, evidence | {"underpowered": False, "parts": {"trend": part | {"control": control}}}
    )
    style.save(figure, tmp_path / "f.svg", tmp_path / "f.png")
    assert len(figure.legends[0].get_texts()) == 4

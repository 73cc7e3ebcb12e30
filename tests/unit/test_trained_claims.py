"""Evidence and figures of the claims that rest on trained accuracies, from small made-up tables."""

import importlib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from symbreak.claims.accuracy import accuracy_units, paired_gain
from symbreak.claims.expansion import accuracy as expansion
from symbreak.claims.gaussnet import mnist
from symbreak.claims.ssb import random_labels
from symbreak.claims.tables import Tables
from symbreak.errors import SymbreakError
from symbreak.figures import style
from symbreak.probes.run import write_table

RANDOM_LABELS = [
    f"{s}_{v}" for s in ("cifar10", "fashion_mnist") for v in ("true", "random", "shuffled_pixels", "random_pixels")
]
GAUSSNET = [f"{loss}_{width}" for loss in ("cross_entropy", "mse") for width in (10, 50, 100)]
EXPANSION = ["raw", "sham", "constant", "zero", "nearest"]


def write_accuracy(root: Path, experiment: str, arm: str, test: list[int], seeds: tuple[int, ...] = (8, 7)) -> None:
    columns = {
        "seed": seeds,
        "order_seed": pd.array([None, None], "Int64"),
        "epochs": 2,
        "diverged": False,
        "train_correct": [9, 10],
        "train_count": 10,
    }
    table = pd.DataFrame(columns | {"test_correct": test, "test_count": 20, "best_test_correct": [k + 1 for k in test]})
    write_table(root / experiment / arm / "accuracy.parquet", table)


def write_curve(root: Path, experiment: str, arm: str) -> None:
    table = pd.DataFrame({"seed": [7, 7, 8, 8], "epoch": [0, 1, 0, 1], "train_accuracy": [None, 0.5, None, 0.7]})
    table["order_seed"] = pd.array([None] * 4, "Int64")
    write_table(root / experiment / arm / "learning_curve.parquet", table.assign(test_accuracy=[0.1, 0.4, 0.1, 0.6]))


def tables_of(root: Path, experiment: str, arms: list[str]) -> Tables:
    for position, arm in enumerate(arms):
        write_accuracy(root, experiment, arm, [position + 5, position + 3])
        write_curve(root, experiment, arm)
    return Tables(root, experiment, arms)


def test_accuracies_are_counts_of_the_right_images_in_the_order_of_seeds(tmp_path: Path) -> None:
    tables = tables_of(tmp_path, "e", ["one"])
    train, test, best = (accuracy_units(tables, "one", on) for on in ("train", "test", "best_test"))
    assert [(u.unit, u.value, u.count, u.trials) for u in train] == [("seed 7", 1.0, 10, 10), ("seed 8", 0.9, 9, 10)]
    assert [(u.unit, u.value, u.count, u.trials) for u in test] == [("seed 7", 0.15, 3, 20), ("seed 8", 0.25, 5, 20)]
    assert [(u.unit, u.value, u.count, u.trials) for u in best] == [("seed 7", 0.2, 4, 20), ("seed 8", 0.3, 6, 20)]


def test_gains_are_paired_by_seed_and_not_by_row(tmp_path: Path) -> None:
    write_accuracy(tmp_path, "e", "one", [10, 4])
    write_accuracy(tmp_path, "e", "two", [5, 8], seeds=(7, 8))
    units = paired_gain(Tables(tmp_path, "e", ["one", "two"]), "one", "two")
    assert [u.unit for u in units] == ["seed 7", "seed 8"]
    assert [u.value for u in units] == pytest.approx([(4 - 5) / 20, (10 - 8) / 20])


def test_arms_with_other_seeds_cannot_be_paired(tmp_path: Path) -> None:
    write_accuracy(tmp_path, "e", "one", [10, 4])
    write_accuracy(tmp_path, "e", "two", [5, 8], seeds=(7, 9))
    with pytest.raises(SymbreakError, match=r"\['seed 7', 'seed 8'\] and \['seed 7', 'seed 9'\]"):
        paired_gain(Tables(tmp_path, "e", ["one", "two"]), "one", "two")


def test_each_evidence_reads_its_own_arm(tmp_path: Path) -> None:
    labels = tables_of(tmp_path, "random_labels", RANDOM_LABELS)
    assert random_labels.train_accuracy_cifar10(labels)[0].trials == 10
    assert random_labels.test_accuracy_cifar10(labels)[0].count == 3 + RANDOM_LABELS.index("cifar10_random")
    assert random_labels.train_accuracy_fashion_mnist(labels)[0].trials == 10
    assert random_labels.test_accuracy_fashion_mnist(labels)[0].count == 3 + RANDOM_LABELS.index("fashion_mnist_random")
    nets = tables_of(tmp_path, "gaussnet_mnist", GAUSSNET)
    assert mnist.accuracy_width_100(nets)[0].count == 3 + GAUSSNET.index("cross_entropy_100")
    assert mnist.accuracy_width_10(nets)[0].count == 3 + GAUSSNET.index("cross_entropy_10")
    arms = tables_of(tmp_path, "expansion", EXPANSION)
    steps = {f: round(20 * getattr(expansion, f)(arms)[0].value) for f in ("gain_constant", "gain_sham")}
    assert steps == {"gain_constant": 2, "gain_sham": 1}
    assert round(20 * expansion.constant_over_nearest(arms)[0].value) == -2
    assert round(20 * expansion.constant_over_zero(arms)[0].value) == -1


def test_the_upsampling_arm_is_the_operators_control_and_not_its_evidence(tmp_path: Path) -> None:
    rows = {"factor": [1, 2], "offset": [0, 1], "when": ["after", "before"], "pixels": [100, 400]}
    for arm in EXPANSION:
        violated = [0, 300] if arm == "nearest" else [0, 4] if arm == "zero" else [0, 0]
        write_table(
            tmp_path / "expansion" / arm / "expansion_operator.parquet", pd.DataFrame(rows | {"violated": violated})
        )
    tables = Tables(tmp_path, "expansion", EXPANSION)
    units = {u.unit: u.value for u in expansion.operator_violations(tables)}
    assert len(units) == 4  # raw and sham images are not expanded
    assert units["arm zero, factor 2, offset 1, before"] == 0.01
    assert sum(units.values()) == 0.01
    assert [(u.unit, u.value) for u in expansion.operator_violations_nearest(tables)] == [
        ("arm nearest, factor 2, offset 1, before", 0.75)
    ]


def part(rule: dict[str, float], control: dict[str, float] | None = None) -> dict[str, Any]:
    """A part of a claim file in which there were too few units for an interval."""
    numbers = {"estimate": 0.5, "low": None, "high": None, "units": [{"value": 0.0}]}
    return numbers | {"rule": rule, "control": numbers | {"rule": control}}


@pytest.mark.parametrize(
    ("name", "arms", "parts"),
    [
        ("random_labels", RANDOM_LABELS, {}),
        ("gaussnet_mnist", GAUSSNET, {"width_100": part({"equals": 0.97, "within": 0.01}, {"below": 0.95})}),
        (
            "expansion_accuracy",
            EXPANSION,
            {
                "operator": part({"at_most": 0}),
                "gain": part({"at_least": 0.01}),
                "constant_over_nearest": part({"above": 0}) | {"low": 0.1, "high": 0.2},
                "constant_over_zero": part({"above": 0}),
            },
        ),
    ],
)
def test_figures_draw_from_two_seeds_and_from_missing_intervals(
    tmp_path: Path, name: str, arms: list[str], parts: dict[str, Any]
) -> None:
    evidence = {"statement": "S.", "verdict": "inconclusive", "margin": None, "n": 2, "control": "not shown"}
    figure = importlib.import_module(f"symbreak.figures.{name}").draw(
        tables_of(tmp_path, "e", arms), evidence | {"parts": parts, "underpowered": True}
    )
    style.save(figure, tmp_path / "f.svg", tmp_path / "f.png")
    assert (tmp_path / "f.png").stat().st_size > 10_000
    assert "control" in " ".join(text.get_text() for legend in figure.legends for text in legend.get_texts())

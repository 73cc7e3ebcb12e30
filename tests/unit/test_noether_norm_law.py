"""Probes, evidence and figure of ``noether-norm-law`` on runs whose charges are made to obey, or to break, a law."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from symbreak.claims.evidence import Unit
from symbreak.claims.noether import norm_law
from symbreak.claims.tables import Tables
from symbreak.config.specs import ArmSpec
from symbreak.errors import SymbreakError
from symbreak.figures import noether_norm_law as drawing
from symbreak.probes import noether_law, noether_motion
from symbreak.probes.source import Source
from symbreak.theory.noether import Array, HeavyBall, discrete

SEEDS, STEPS, UNITS = (1, 2), 50, 3
ARMS = {
    "bn_plain": {"norm": "batch", "norm_eps": 0.0, "decay": 0.0},
    "bn_decay": {"norm": "batch", "norm_eps": 0.0, "decay": 1e-2},
    "bn_epsilon": {"norm": "batch", "norm_eps": 1e-5, "decay": 1e-2},
    "bn_momentum": {"norm": "batch", "norm_eps": 0.0, "decay": 1e-2, "momentum": 0.9},
    "relu_plain": {"norm": "none", "decay": 0.0},
    "relu_decay": {"norm": "none", "decay": 1e-2},
}
SETS = {
    "batch": ["scale/layers.0", "scale/layers.0.sum", "rescale/control.layers.1", "translation/layers.2.sum"],
    "none": ["scale/control.layers.0.sum", "rescale/layers.1", "rescale/layers.1.sum", "translation/layers.2.sum"],
}


def spec(arm: str, optimiser: str = "sgd") -> ArmSpec:
    chosen = {"norm_eps": 1e-5, "momentum": 0.0, **ARMS[arm]}
    training = {
        "steps": STEPS,
        "batch": 8,
        "optimiser": {"name": optimiser, "lr": 0.1, "momentum": chosen["momentum"], "weight_decay": chosen["decay"]},
    }
    model = {"family": "mlp", "hidden": [4, 4], "norm": chosen["norm"], "norm_eps": chosen["norm_eps"]}
    return ArmSpec.model_validate(
        {"experiment": "norm_law", "arm": arm, "seeds": SEEDS, "data": {"set": "mnist"}, "model": model,
         "training": training, "probes": {}}
    )  # fmt: skip


def record(arm: str, names: list[str]) -> dict[str, Array]:
    """Charges that obey the discrete law, or, in controls, the law with the increments halved."""
    generator = np.random.default_rng(5)
    optimiser = noether_law.heavy_ball(spec(arm))
    found = {}
    for name in [*names, "translation/control.layers.1.sum"]:
        symmetry, members = name.split("/")
        width = 1 if members.endswith(".sum") else UNITS
        start = 1 + generator.random((len(SEEDS), width))
        increments = 0.01 * generator.random((STEPS, len(SEEDS), width))
        shift = symmetry == "translation"
        driven = increments * (0.5 if "control." in name else 0.0 if shift else 1.0)
        law = discrete("translation" if shift else "scale", start, driven, optimiser)
        found |= {f"{name}/S": law} if shift else {f"{name}/R": law, f"{name}/D": increments}
    return found


def source(folder: Path, arm: str, names: list[str], lost: tuple[int, ...] = ()) -> Source:
    """A run on disk, as the engine leaves it."""
    run = folder / f"{arm}.safetensors"
    save_file({f"observed/{name}": np.ascontiguousarray(value) for name, value in record(arm, names).items()}, run)
    epochs = pd.DataFrame({"seed": SEEDS, "diverged": [seed in lost for seed in SEEDS]})
    epochs.to_parquet(folder / f"{arm}.epochs.parquet")
    return Source(spec(arm), run)


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    for arm, chosen in ARMS.items():
        run = source(tmp_path, arm, SETS[str(chosen["norm"])])
        (tmp_path / "norm_law" / arm).mkdir(parents=True)
        noether_law.probe(run).to_parquet(tmp_path / "norm_law" / arm / "noether_law.parquet")
        noether_motion.probe(run, points=11).to_parquet(tmp_path / "norm_law" / arm / "noether_motion.parquet")
    return Tables(tmp_path, "norm_law", list(ARMS))


def values(units: list[Unit]) -> Array:
    assert [unit.unit for unit in units] == ["seed 1", "seed 2"]
    return np.array([unit.value for unit in units])


def test_probe_measures_the_distance_from_both_laws(tmp_path: Path) -> None:
    table = noether_law.probe(source(tmp_path, "bn_decay", SETS["batch"])).set_index(["set", "seed", "unit"])
    assert table.loc[("layers.0", 1, 2), "discrete"] < 1e-14
    assert 1e-7 < table.loc[("layers.0", 1, 2), "continuous"] < 1e-3
    assert not table.loc[("layers.0", 1, 2), "control"]
    charges = record("bn_decay", SETS["batch"])
    start, increments, charge = (charges[f"rescale/control.layers.1/{q}"][..., 1, 0] for q in "RDR")
    law = [start[0]]
    for increment in increments:
        law.append((1 - 2 * 0.1 * 1e-2) * law[-1] + increment)
    expected = np.abs(np.array(law) - charge).max() / np.abs(charge).max()
    row = table.loc[("control.layers.1", 2, 0)]
    assert row["discrete"] == pytest.approx(expected, rel=1e-9)
    assert row["control"] and expected > 0.05
    assert (row["first"], row["last"], row["decay"], row["lr"]) == (charge[0], charge[-1], 1e-2, 0.1)


def test_a_replica_that_diverged_has_no_error(tmp_path: Path) -> None:
    table = noether_law.probe(source(tmp_path, "bn_decay", SETS["batch"], lost=(2,)))
    assert table.loc[table["seed"] == 2, ["discrete", "continuous"]].isna().all(axis=None)
    assert table.loc[table["seed"] == 2, "diverged"].all()
    assert table.loc[table["seed"] == 1, ["discrete", "continuous"]].notna().all(axis=None)


def test_laws_are_refused_for_another_optimiser() -> None:
    message = "need optimiser 'sgd' without dampening and schedule 'constant' without warm-up, found "
    with pytest.raises(SymbreakError, match=message + "name='adam'"):
        noether_law.heavy_ball(spec("bn_plain", "adam"))
    for change in ({"optimiser.dampening": 0.5}, {"schedule.warmup": 1}):
        ((dotted, value),) = change.items()
        part, key = dotted.split(".")
        asked = spec("bn_momentum").model_dump()
        asked["training"][part][key] = value
        with pytest.raises(SymbreakError, match=message):
            noether_law.heavy_ball(ArmSpec.model_validate(asked))
    assert noether_law.heavy_ball(spec("bn_momentum")) == HeavyBall(0.1, 0.9, 1e-2)


def test_motion_is_the_thinned_record(tmp_path: Path) -> None:
    motion = noether_motion.probe(source(tmp_path, "bn_decay", SETS["batch"]), points=11, units=2)
    rows = motion[(motion["set"] == "layers.0") & (motion["seed"] == 2) & (motion["unit"] == 1)]
    assert list(rows["step"]) == list(range(0, STEPS + 1, 5))
    charge = record("bn_decay", SETS["batch"])["scale/layers.0/R"]
    np.testing.assert_array_equal(rows["measured"], charge[::5, 1, 1])
    np.testing.assert_allclose(rows["discrete"], rows["measured"], rtol=1e-13)
    assert (np.abs(rows["continuous"] - rows["measured"]).iloc[1:] > 1e-7).all()
    assert set(motion.loc[motion["set"] == "layers.0", "unit"]) == {0, 1}


def test_evidence_takes_the_worst_symmetric_and_the_best_other_set(tables: Tables) -> None:
    assert (values(norm_law.discrete_error(tables)) < 1e-13).all()
    everything = pd.concat([tables(arm, "noether_law").assign(arm=arm) for arm in ARMS])
    plain = everything[everything["momentum"] == 0]
    worst = plain[~plain["control"]].groupby("seed")["continuous"].max()
    np.testing.assert_array_equal(values(norm_law.continuous_error(tables)), worst)
    for law, rows in (("discrete", everything[everything["arm"] != "bn_epsilon"]), ("continuous", plain)):
        by_set = rows[rows["control"]].groupby(["seed", "arm", "symmetry", "set"])[law].max()
        got = values(getattr(norm_law, f"{law}_error_without_symmetry")(tables))
        np.testing.assert_array_equal(got, by_set.groupby("seed").min())
        assert (got > 1e-2).all()


def test_evidence_of_signs(tables: Tables) -> None:
    for function, arm, pick in (
        (norm_law.growth_without_decay, "bn_plain", "min"),
        (norm_law.upper_growth_without_decay, "bn_plain", "max"),
        (norm_law.growth_with_decay, "bn_decay", "max"),
        (norm_law.lower_growth_with_decay, "bn_decay", "min"),
    ):
        rows = tables(arm, "noether_law").query("set == 'layers.0'")
        expected = (rows["last"] / rows["first"]).groupby(rows["seed"]).agg(pick)
        np.testing.assert_allclose(values(function(tables)), expected, rtol=1e-14)
    assert (values(norm_law.growth_without_decay(tables)) > 1).all()


def test_a_diverged_replica_shows_in_every_evidence(tmp_path: Path, tables: Tables) -> None:
    for arm, chosen in ARMS.items():
        run = source(tmp_path, arm, SETS[str(chosen["norm"])], lost=(2,))
        noether_law.probe(run).to_parquet(tmp_path / "norm_law" / arm / "noether_law.parquet")
    fresh = Tables(tmp_path, "norm_law", list(ARMS))
    functions = [f for name, f in vars(norm_law).items() if name.endswith(("error", "symmetry", "decay"))]
    assert len(functions) == 8
    for function in functions:
        found = values(function(fresh))
        assert np.isfinite(found[0]), function
        assert np.isnan(found[1]), function


def test_figure_draws_laws_measurements_and_rules(tables: Tables) -> None:
    parts = {"discrete": {"rule": {"at_most": 1e-10}}, "continuous": {"rule": {"at_most": 1e-3}}}
    evidence = {"statement": "S", "verdict": "supported", "margin": 1.0, "n": 2, "control": "shown", "parts": parts}
    figure = drawing.draw(tables, evidence | {"underpowered": False})
    scale = figure.axes[0]
    texts = [text.get_text() for text in scale.texts]
    assert texts == ["k = 0", "k = 0.01", "control\n(k = 0)"]
    continuous, exact, measured = scale.lines[:3]
    np.testing.assert_allclose(exact.get_ydata()[0], 1.0)
    assert len(measured.get_ydata()) <= len(continuous.get_ydata()) == 11
    rules = [float(line.get_segments()[0][0, 1]) for line in figure.axes[3].collections]
    assert rules == [1e-10, 1e-3]

"""The inputs of a probe and the table that its job writes."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from symbreak.config.specs import ArmSpec
from symbreak.data import prepared
from symbreak.errors import SymbreakError
from symbreak.probes import run
from symbreak.probes.source import Source
from symbreak.provenance.closure import fingerprint
from symbreak.provenance.manifest import read_manifest

WEIGHT = np.arange(12, dtype=np.float32).reshape(2, 3, 2)


def spec(**probes: dict[str, Any]) -> ArmSpec:
    return ArmSpec(experiment="toy", arm="one", seeds=(3, 4), probes=probes)


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    """A run of two replicas as docs/developing.md describes it."""
    path = tmp_path / "one.safetensors"
    tensors = {
        "step=00000000/layers.0.weight": WEIGHT,
        "step=00000100/layers.0.weight": WEIGHT + 1,
        "step=00000020/layers.0.weight": WEIGHT + 2,
        "observed/scale/layers.0/R": np.ones((3, 2, 4)),
        "observed/rescale/layers.0/R": np.zeros((3, 2, 4)),
        "data/train_labels": np.array([[1, 2]], dtype=np.uint8),
    }
    save_file(tensors, path)
    counts = {"train_correct": [0, 1000, 200, 998], "train_count": [1000] * 4}
    tests = {"test_correct": [10, 30, 20, 5], "test_count": [100] * 4}
    index = {
        "seed": [3, 3, 4, 4],
        "order_seed": pd.array([None] * 4, "Int64"),
        "epoch": [0, 1, 0, 1],
        "step": [0, 100, 0, 100],
    }
    pd.DataFrame(index | counts | tests | {"diverged": [False] * 3 + [True]}).to_parquet(
        tmp_path / "one.epochs.parquet"
    )
    pd.DataFrame({"seed": [3, 4], "step": [1, 1], "loss": [2.0, 2.5]}).to_parquet(tmp_path / "one.steps.parquet")
    return path


def test_weights_are_read_by_step_and_the_last_by_default(run_file: Path) -> None:
    source = Source(spec(), run_file)
    assert source.stored_steps == (0, 20, 100)
    np.testing.assert_array_equal(source.weights()["layers.0.weight"], WEIGHT + 1)
    np.testing.assert_array_equal(source.weights(0)["layers.0.weight"], WEIGHT)
    with pytest.raises(SymbreakError, match=r"steps \[0, 20, 100\], not at 7"):
        source.weights(7)


def test_observed_keeps_full_names_and_selects_by_prefix(run_file: Path) -> None:
    source = Source(spec(), run_file)
    assert set(source.observed()) == {"scale/layers.0/R", "rescale/layers.0/R"}
    assert set(source.observed("scale/")) == {"scale/layers.0/R"}
    assert source.observed("scale/")["scale/layers.0/R"].sum() == 24
    with pytest.raises(SymbreakError, match=r"training\.observe"):
        source.observed("translation/")


def test_a_single_tensor_and_both_histories(run_file: Path) -> None:
    source = Source(spec(), run_file)
    np.testing.assert_array_equal(source.tensor("data/train_labels"), [[1, 2]])
    assert source.epochs["train_correct"].tolist() == [0, 1000, 200, 998]
    assert source.steps["loss"].tolist() == [2.0, 2.5]
    with pytest.raises(SymbreakError, match="no tensor 'data/train_label'"):
        source.tensor("data/train_label")


def test_data_is_the_prepared_set(tmp_path: Path) -> None:
    images, labels = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4), np.array([0, 9], dtype=np.uint8)
    with pytest.raises(SymbreakError, match="--data"):
        Source(spec()).data()
    prepared.save(tmp_path / "toy.npz", prepared.Prepared(images, labels, images, labels))
    np.testing.assert_array_equal(Source(spec(), data=tmp_path / "toy.npz").data().train_images, images)


@pytest.mark.parametrize("read", [lambda s: s.epochs, lambda s: s.steps, lambda s: s.weights(), lambda s: s.observed()])
def test_what_needs_a_run_says_so(read: Any) -> None:
    with pytest.raises(SymbreakError, match="--run"):
        read(Source(spec()))


def _job(arm: ArmSpec, probe: str, run_file: Path, out: Path) -> None:
    code = fingerprint("symbreak.probes.run", (f"symbreak.probes.{probe}",))
    run.main(
        ["--probe", probe, "--params", arm.model_dump_json(), "--code", code, "--run", str(run_file), "--out", str(out)]
    )


def test_job_writes_the_probes_table_with_its_manifest(run_file: Path, tmp_path: Path) -> None:
    _job(spec(accuracy={"fitted": 0.998}), "accuracy", run_file, tmp_path / "p" / "accuracy.parquet")
    table = pd.read_parquet(tmp_path / "p" / "accuracy.parquet").set_index("seed")
    assert table["fitted_epoch"].tolist() == [1, 1]  # 998 of 1,000 count with the option, not with the default of 0.999
    assert table["test_correct"].tolist() == [30, 5]
    assert table["best_test_correct"].tolist() == [30, 20]
    assert table["initial_train_correct"].tolist() == [0, 200]
    assert table["diverged"].tolist() == [False, True]
    manifest = read_manifest(tmp_path / "p" / "accuracy.parquet")
    assert set(manifest["inputs"]) == {"run", "epochs", "steps"}
    assert manifest["code"]["modules"] == ["symbreak.probes.accuracy"]
    assert not manifest["tainted"]


def test_equal_tables_give_equal_bytes_without_index_or_versions(tmp_path: Path) -> None:
    table = pd.DataFrame({"seed": [1, 2], "value": [0.5, np.nan]}, index=[7, 8])
    run.write_table(tmp_path / "a.parquet", table)
    run.write_table(tmp_path / "b.parquet", table.reset_index(drop=True))
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert pq.read_schema(tmp_path / "a.parquet").metadata is None
    assert pq.read_metadata(tmp_path / "a.parquet").row_group(0).column(0).compression == "ZSTD"


def test_tables_that_hold_no_result_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SymbreakError, match="no row"):
        run.write_table(tmp_path / "a.parquet", pd.DataFrame({"seed": []}))
    with pytest.raises(SymbreakError, match="a column twice"):
        run.write_table(tmp_path / "a.parquet", pd.DataFrame([[1, 2]], columns=["seed", "seed"]))
    assert not (tmp_path / "a.parquet").exists()


def test_unknown_probes_are_named(run_file: Path, tmp_path: Path) -> None:
    with pytest.raises(SymbreakError, match=r"probes \['accuracy'\], not 'learning_curve'"):
        _job(spec(accuracy={}), "learning_curve", run_file, tmp_path / "learning_curve.parquet")
    with pytest.raises(SymbreakError, match="no probe 'no_such_probe'"):
        run.find("no_such_probe")


def test_learning_curve_is_in_fractions(run_file: Path) -> None:
    curve = run.find("learning_curve")(Source(spec(), run_file))
    assert curve["train_accuracy"].tolist() == [0.0, 1.0, 0.2, 0.998]
    assert curve["test_accuracy"].tolist() == [0.1, 0.3, 0.2, 0.05]


def test_accuracy_without_training_evaluations_leaves_them_empty(run_file: Path) -> None:
    source = Source(spec(), run_file)
    final_only = source.epochs.assign(train_correct=[None, 990, None, 998], train_count=[None, 1000, None, 1000])
    source.epochs = final_only.astype({"train_correct": "float64", "train_count": "float64"})
    table = run.find("accuracy")(source)
    assert table["initial_train_correct"].isna().all()
    assert table["fitted_epoch"].isna().all()
    assert table["train_correct"].tolist() == [990, 998]

"""A run from the command line to its files."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open

from symbreak.config.specs import ArmSpec
from symbreak.data.prepared import Prepared, save
from symbreak.errors import SymbreakError
from symbreak.files import canonical
from symbreak.models.model import build
from symbreak.training.device import prepare
from symbreak.training.run import run

ARM: dict[str, Any] = {
    "experiment": "toy",
    "arm": "bn",
    "seeds": [5, 9],
    "data": {"set": "mnist", "train": 40, "test": 30, "labels": {"kind": "random"}},
    "model": {"family": "mlp", "hidden": [6], "norm": "batch"},
    "training": {
        "epochs": 4,
        "batch": 16,
        "optimiser": {"name": "sgd", "lr": 0.1, "momentum": 0.9},
        "schedule": {"kind": "exponential", "factor": 0.5},
        "checkpoints": [4, 9],
        "observe": {"charges": {"units": 2}},
    },
    "probes": {},
}
FILES = ("bn.safetensors", "bn.steps.parquet", "bn.epochs.parquet")

pytestmark = pytest.mark.usefixtures("process_state")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    draw = np.random.default_rng(0)
    arrays = {f"{part}_images": draw.integers(0, 256, (200, 1, 28, 28), np.uint8) for part in ("train", "test")}
    labels = {
        f"{part}_labels": draw.permutation(np.repeat(np.arange(10, dtype=np.uint8), 20)) for part in ("train", "test")
    }
    path = tmp_path_factory.mktemp("data") / "mnist.npz"
    save(path, Prepared(**arrays, **labels))
    return path


def arm(**training: Any) -> ArmSpec:
    return ArmSpec.model_validate(ARM | {"training": ARM["training"] | training})


def trained(folder: Path, data: Path, spec: ArmSpec) -> Path:
    run(spec, code="planned", data=data, out=folder / "bn.safetensors")
    return folder


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    with safe_open(folder / "bn.safetensors", "pt") as stored:
        return {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118


def test_the_same_run_in_another_process_has_the_same_bytes(tmp_path: Path, prepared: Path) -> None:
    trained(tmp_path / "here", prepared, arm())
    out = tmp_path / "there" / "bn.safetensors"
    options = {
        "--params": canonical(arm().model_dump(mode="json")),
        "--code": "x",
        "--data": str(prepared),
        "--out": str(out),
    }
    command = [sys.executable, "-m", "symbreak.training.run", *(word for pair in options.items() for word in pair)]
    subprocess.run(command, check=True, timeout=120)
    for name in FILES:
        assert (tmp_path / "here" / name).read_bytes() == (out.parent / name).read_bytes()
    reseeded = trained(tmp_path / "other", prepared, arm().model_copy(update={"seeds": (5, 10)}))
    for name in FILES:
        assert (tmp_path / "here" / name).read_bytes() != (reseeded / name).read_bytes()


def test_the_tensors_of_a_run(tmp_path: Path, prepared: Path) -> None:
    stored = tensors(trained(tmp_path, prepared, arm()))
    steps = {name.split("/")[0] for name in stored if name.startswith("step=")}
    assert steps == {"step=00000000", "step=00000004", "step=00000009", "step=00000012"}
    model = build(arm().model, (1, 28, 28), 10, torch.float32)
    for r, seed in enumerate((5, 9)):
        for name, value in model.init(seed).items():
            assert torch.equal(stored[f"step=00000000/{name}"][r], value)
    assert stored["step=00000012/layers.0.weight"].shape == (2, 6, 784)
    assert not torch.equal(stored["step=00000009/layers.0.weight"], stored["step=00000012/layers.0.weight"])
    assert stored["data/train_index"].shape == stored["data/train_labels"].shape == (2, 40)
    assert stored["data/test_index"].shape == (30,)
    assert (stored["data/train_index"].dtype, stored["data/train_labels"].dtype) == (torch.int64, torch.uint8)
    with safe_open(tmp_path / "bn.safetensors", "pt") as file:
        assert json.loads(file.metadata()["symbreak"]) == arm().model_dump(mode="json")
        assert len(file.metadata()) == 1


@pytest.mark.parametrize("group", [1, 2])
def test_observers_see_every_update(tmp_path: Path, prepared: Path, group: int) -> None:
    """The recorded |w_in|^2 is that of the kept parameters, the increment that of the updates."""
    stored = tensors(trained(tmp_path, prepared, arm(group=group)))
    recorded, moved = stored["observed/scale/layers.0.sum/R"], stored["observed/scale/layers.0.sum/D"]
    assert recorded.shape == (13, 2, 1)
    assert moved.shape == (12, 2, 1)
    for step in (0, 4, 9, 12):
        kept = (stored[f"step={step:08d}/layers.0.{name}"].double() for name in ("weight", "bias"))
        assert recorded[step, :, 0].tolist() == pytest.approx(sum(v.square().flatten(1).sum(1) for v in kept).tolist())
    assert (moved > 0).all()


def test_the_histories_of_a_run(tmp_path: Path, prepared: Path) -> None:
    trained(tmp_path, prepared, arm())
    steps = pq.read_table(tmp_path / "bn.steps.parquet")
    assert steps.schema.equals(
        pa.schema(
            [
                ("seed", "int64"),
                ("order_seed", "int64"),
                ("step", "int64"),
                ("loss", "float64"),
                ("learning_rate", "float64"),
            ]
        )
    )
    assert steps["seed"].to_pylist() == [5] * 12 + [9] * 12
    assert steps["step"].to_pylist() == [*range(1, 13)] * 2
    assert steps["learning_rate"].to_pylist() == pytest.approx([0.1 * 0.5 ** (t // 3) for t in range(12)] * 2)
    epochs = pq.read_table(tmp_path / "bn.epochs.parquet")
    counts = ("train_correct", "train_count", "test_correct", "test_count")
    types = {"diverged": "bool", "train_loss": "double", "test_loss": "double"}
    types |= dict.fromkeys(("seed", "order_seed", "epoch", "step", *counts), "int64")
    assert {field.name: str(field.type) for field in epochs.schema} == types
    assert epochs["epoch"].to_pylist() == [*range(5)] * 2
    assert epochs["step"].to_pylist() == [0, 3, 6, 9, 12] * 2
    assert set(epochs["train_count"].to_pylist()) == {40}
    assert set(epochs["test_count"].to_pylist()) == {30}
    assert epochs["train_loss"][4].as_py() < epochs["train_loss"][0].as_py()
    assert not any(epochs["diverged"].to_pylist())


def test_the_training_set_may_be_evaluated_at_the_end_only(tmp_path: Path, prepared: Path) -> None:
    trained(tmp_path / "every", prepared, arm())
    trained(tmp_path / "final", prepared, arm(evaluate_train="final"))
    every, final = (pq.read_table(tmp_path / which / "bn.epochs.parquet").to_pydict() for which in ("every", "final"))
    for name in ("train_loss", "train_correct", "train_count"):
        assert final[name] == ([None] * 4 + every[name][4:5]) + ([None] * 4 + every[name][9:])
    assert final["test_loss"] == every["test_loss"]


def test_a_run_that_diverges_is_written_and_says_so(tmp_path: Path, prepared: Path) -> None:
    trained(tmp_path, prepared, arm(optimiser={"name": "sgd", "lr": 1e30}, loss="mse", observe={}))
    diverged = json.loads((tmp_path / "bn.manifest.json").read_text())["diverged"]
    assert [entry["seed"] for entry in diverged] == [5, 9]
    steps = {entry["seed"]: entry["step"] for entry in diverged}
    for row in pq.read_table(tmp_path / "bn.epochs.parquet").to_pylist():
        assert row["diverged"] == (row["step"] >= steps[row["seed"]])
    for row in pq.read_table(tmp_path / "bn.steps.parquet").to_pylist():
        assert np.isnan(row["loss"]) or row["step"] <= steps[row["seed"]]
    assert all(value.isfinite().all() for value in tensors(tmp_path).values())


def test_the_manifest_names_what_was_used(tmp_path: Path, prepared: Path) -> None:
    trained(tmp_path, prepared, arm(device="cpu"))
    manifest = json.loads((tmp_path / "bn.manifest.json").read_text())
    assert manifest["code"]["modules"] == ["symbreak.models.mlp", "symbreak.training.observers.charges"]
    assert set(FILES) <= set(manifest["outputs"])
    assert (manifest["device"], manifest["diverged"]) == ("cpu", [])
    assert manifest["params"] == arm(device="cpu").model_dump(mode="json")


def test_an_arm_without_training_has_no_run(tmp_path: Path, prepared: Path) -> None:
    spec = ArmSpec.model_validate(ARM | {"training": None})
    with pytest.raises(SymbreakError, match="no 'training'"):
        run(spec, code="x", data=prepared, out=tmp_path / "bn.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_without_a_cuda_device_is_an_error() -> None:
    with pytest.raises(SymbreakError, match="no CUDA device"):
        prepare("cuda", 1)
    assert prepare("auto", 1).type == "cpu"

"""The table of a run's record."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from symbreak.config.specs import ArmSpec
from symbreak.errors import SymbreakError
from symbreak.probes import observables
from symbreak.probes.run import write_table
from symbreak.probes.source import Source

SEEDS, STEPS, UNITS = (7, 3), 5, 2
COLUMNS = ["seed", "step", "symmetry", "set", "quantity", "unit", "value"]
STATES = np.random.default_rng(0).random((STEPS + 1, len(SEEDS), UNITS))
UPDATES = np.random.default_rng(1).random((STEPS, len(SEEDS), 1))


def source(folder: Path, **more: np.ndarray) -> Source:
    tensors = {"observed/scale/control.layers.0/R": STATES, "observed/norms/layers.0.weight/update_norm2": UPDATES}
    save_file(tensors | {f"observed/{name}": value for name, value in more.items()}, folder / "one.safetensors")
    steps = pd.DataFrame({"seed": np.repeat(SEEDS, STEPS), "step": [*range(1, STEPS + 1)] * 2})
    steps.assign(loss=1.0, learning_rate=0.1).to_parquet(folder / "one.steps.parquet")
    return Source(ArmSpec(experiment="toy", arm="one", seeds=SEEDS, probes={}), folder / "one.safetensors")


def test_every_number_is_in_the_row_of_its_names(tmp_path: Path) -> None:
    table = observables.probe(source(tmp_path))
    assert list(table.columns) == COLUMNS
    assert len(table) == STATES.size + UPDATES.size
    indexed = table.set_index(COLUMNS[:-1])["value"]
    assert indexed.index.is_unique
    for replica, seed in enumerate(SEEDS):
        for step in range(STEPS + 1):
            for unit in range(UNITS):
                assert indexed[seed, step, "scale", "control.layers.0", "R", unit] == STATES[step, replica, unit]
        for step in range(1, STEPS + 1):
            key = (seed, step, "norms", "layers.0.weight", "update_norm2", 0)
            assert indexed[key] == UPDATES[step - 1, replica, 0]


def test_a_prefix_selects_names_and_every_selects_steps(tmp_path: Path) -> None:
    updates = observables.probe(source(tmp_path), prefix="norms/", every=2)
    assert set(updates["symmetry"]) == {"norms"}
    assert updates["step"].tolist() == [2, 2, 4, 4]
    assert updates["seed"].tolist() == [7, 3, 7, 3]
    assert updates["value"].tolist() == UPDATES[[1, 3], :, 0].ravel().tolist()
    states = observables.probe(source(tmp_path), prefix="scale/", every=3)
    assert sorted(set(states["step"])) == [0, 3]
    assert states["value"].tolist() == STATES[[0, 3]].ravel().tolist()


def test_the_table_is_one_that_a_probe_job_writes(tmp_path: Path) -> None:
    write_table(tmp_path / "observables.parquet", observables.probe(source(tmp_path)))
    read = pd.read_parquet(tmp_path / "observables.parquet")
    assert [read[name].dtype for name in ("seed", "step", "unit", "value")] == [np.int64] * 3 + [np.float64]


def test_what_cannot_be_laid_out_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SymbreakError, match="'every' is 0"):
        observables.probe(source(tmp_path), every=0)
    with pytest.raises(SymbreakError, match=r"training\.observe"):
        observables.probe(source(tmp_path), prefix="rescale/")
    short = source(tmp_path, **{"scale/layers.1/R": STATES[: STEPS - 1]})
    with pytest.raises(SymbreakError, match=r"'scale/layers\.1/R' has 4 rows, but the run has 5 steps"):
        observables.probe(short)

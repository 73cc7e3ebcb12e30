"""Probes of networks in params.yaml: the real workflow trains an arm, measures it, and knows what makes a table old."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from symbreak.config.specs import ArmSpec
from symbreak.probes.catalogue import find
from symbreak.probes.network import Data
from symbreak.probes.piped import measure
from symbreak.probes.piped_networks import Networks
from symbreak.probes.piped_options import OfModel
from symbreak.probes.source import Source
from symbreak.training.losses import cross_entropy

from .conftest import Workspace, copy_project

SMOKE = ("--config", "scale=smoke")
TABLE = "results/smoke/probes/toy/one/hessian.parquet"
EXPERIMENT = {
    "about": "a toy",
    "seeds": [1, 2],
    "threads": 1,
    "base": {
        "data": {"set": "mnist", "train": 60, "test": 20, "crop": 8},
        "model": {"family": "mlp", "hidden": [4], "activation": "tanh"},
        "training": {"epochs": 2, "batch": 20, "optimiser": {"name": "sgd", "lr": 0.1}, "dtype": "float64"},
    },
    "arms": {"one": {"probes": {"hessian": {"k": 3, "spectrum": "none"}}}},
}


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory, repo_root: Path, given_mirror: Path | None) -> Workspace:
    """A copy of the project with one experiment more, whose table is made."""
    workspace = copy_project(repo_root, tmp_path_factory.mktemp("toy"), given_mirror)
    params = workspace.yaml("params.yaml")
    params["experiments"]["toy"] = EXPERIMENT
    (workspace.root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    workspace.snakemake(TABLE, *SMOKE)
    return workspace


def test_the_workflow_measures_what_the_dense_hessian_has(toy: Workspace) -> None:
    """Oracle: eigenvalues of the dense float64 Hessian by autograd, of the weights and images of the run."""
    table = pd.read_parquet(toy.root / TABLE)
    manifest = json.loads((toy.root / TABLE).with_suffix(".manifest.json").read_text())
    arm = ArmSpec.model_validate(manifest["params"])
    source = Source(arm, toy.root / "results/smoke/runs/toy/one.safetensors", toy.root / "data/mnist.npz")
    networks = Networks(source, OfModel())
    network, data = networks.network([(0, 6), (1, 6)]), networks.examples(0)
    for replica, seed in enumerate((1, 2)):
        dense = dense_hessian(network.one(replica), network.call, data)
        top = np.linalg.eigvalsh(dense)[::-1][:3]
        rows = table[(table["quantity"] == "eigenvalues") & (table["seed"] == seed)]
        np.testing.assert_allclose(rows["value"], top, atol=0.01 * top[0])
    pd.testing.assert_frame_equal(table, measure(find("hessian"), source, arm.probes["hessian"]), check_dtype=False)
    assert manifest["code"]["modules"] == ["symbreak.probes.hessian", "symbreak.probes.piped", "symbreak.models.mlp"]
    assert not manifest["tainted"]


def dense_hessian(state: dict[str, torch.Tensor], call: object, data: Data) -> np.ndarray:
    """The Hessian of the mean cross-entropy, ``[P, P]``."""
    assert callable(call)
    sizes = [value.numel() for value in state.values()]

    def loss(flat: torch.Tensor) -> torch.Tensor:
        parts = flat.split(sizes)
        shaped = {name: part.view_as(state[name]) for name, part in zip(state, parts, strict=True)}
        return cross_entropy(call(shaped, data.x)[None], data.y[None]).mean()

    flat = torch.cat([value.flatten() for value in state.values()])
    return torch.autograd.functional.hessian(loss, flat).numpy()  # type: ignore[no-any-return]


def test_only_a_change_of_what_it_is_made_of_makes_the_table_old(toy: Workspace) -> None:
    job = "probe experiment=toy, arm=one, probe=hessian"
    for names, jobs in {("probes/landscape", "models/cnn"): set(), ("probes/quadrature",): {job}}.items():
        for name in names:
            path = toy.root / f"src/symbreak/{name}.py"
            path.write_text(path.read_text() + "\nUNUSED = 1\n")
        assert toy.planned(TABLE, *SMOKE) == jobs, names


def test_a_wrong_option_stops_snakemake_with_its_sentence(toy: Workspace) -> None:
    text = (toy.root / "params.yaml").read_text()
    toy.edit("params.yaml", "spectrum: none", "spectrun: none")
    done = toy.call("snakemake", "--cores", "1", TABLE, *SMOKE, check=False)
    (toy.root / "params.yaml").write_text(text)
    assert done.returncode != 0
    assert "probes.hessian.spectrun: the probe has no such option (did you mean 'spectrum'?)" in done.stderr

"""A manifest is enough to make its artifact again: the command in it is Snakemake's, and gives the same bytes."""

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from symbreak.files import sha256
from symbreak.plan import Plan
from symbreak.provenance.manifest import manifest_path, outputs, read_manifest

from .conftest import Workspace

ONE_OF_EACH = (
    "data/mnist.npz",
    "results/desk/runs/gaussnet_mnist/mse_10.safetensors",
    "results/desk/probes/gaussnet_mnist/mse_10/accuracy.parquet",
    "results/desk/claims/gaussnet-mnist.json",
    "figures/desk/gaussnet-mnist.svg",
)


def test_every_manifest_has_the_command_that_snakemake_would_run(mini_template: Workspace) -> None:
    output = mini_template.snakemake("--dry-run", "--forceall", "--printshellcmds", "figures/all")
    wanted = {tuple(shlex.split(line)) for line in re.findall(r"python -m symbreak\..+(?= > \S+ 2>&1)", output)}
    artifacts = [mini_template.root / step.path for step in Plan.load(mini_template.root).steps()]
    assert {tuple(read_manifest(artifact)["command"]) for artifact in artifacts} == wanted
    assert len(wanted) == len(artifacts)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_the_command_makes_the_artifact_again_from_its_inputs_alone(
    mini_template: Workspace, tmp_path: Path, name: str
) -> None:
    made = mini_template.root / name
    manifest: dict[str, Any] = json.loads(manifest_path(made).read_text())
    for entry in manifest["inputs"].values():
        for path in {mini_template.root / entry["path"], manifest_path(mini_template.root / entry["path"])}:
            if path.is_file():  # histories of a run share its manifest, which comes with the run
                target = tmp_path / path.relative_to(mini_template.root)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, target)
    (tmp_path / "src").symlink_to(mini_template.root / "src")
    Workspace(tmp_path, mini_template.mirror).call(*manifest["command"])
    again = tmp_path / name
    assert {path.name: sha256(path) for path in outputs(again)} == {p.name: sha256(p) for p in outputs(made)}
    assert json.loads(manifest_path(again).read_text()) == manifest

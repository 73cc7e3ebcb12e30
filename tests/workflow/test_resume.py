"""A training that is killed, alone or with Snakemake, ends with the bytes of an undisturbed one."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from symbreak.config.specs import ArmSpec
from symbreak.files import canonical

from .conftest import Workspace, copy_project

pytestmark = pytest.mark.slow

SEED = 20260
SMOKE = ("--config", "scale=smoke")
STEPS = 320  # of both groups
ARM: dict[str, Any] = {
    "experiment": "toy",
    "arm": "bn",
    "seeds": [5, 9, 11],
    "data": {"set": "mnist", "train": 400, "test": 100, "subset": "replica", "labels": {"kind": "random"}},
    "model": {"family": "mlp", "hidden": [16], "norm": "batch", "dropout": 0.1},
    "training": {
        "epochs": 20,
        "batch": 50,
        "group": 2,
        "optimiser": {"name": "adam", "lr": 0.01},
        "checkpoints": [1, 77, 130],
        "observe": {"norms": {}},
        "evaluate_train": "final",
    },
    "probes": {},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, repo_root: Path, given_mirror: Path | None) -> Workspace:
    """A copy of the project with MNIST prepared, and an arm of five groups that take longer than a moment."""
    workspace = copy_project(repo_root, tmp_path_factory.mktemp("resume"), given_mirror)
    overlay = workspace.yaml("params.smoke.yaml")
    overlay["experiments"]["gaussnet_mnist"] = {
        "seeds": [1, 2, 3, 4, 5],
        "base": {"data": {"train": 2000, "test": 1000}, "training": {"epochs": 3, "group": 1}},
    }
    (workspace.root / "params.smoke.yaml").write_text(yaml.safe_dump(overlay, sort_keys=False))
    workspace.snakemake("data/mnist.npz", *SMOKE, cores=1)
    return workspace


@dataclass(frozen=True)
class Training:
    """A folder in which an arm is trained by the command line, on a copy of the source that nobody edits."""

    root: Path
    source: Path

    @property
    def runs(self) -> Path:
        return self.root / "results" / "runs"

    def start(self) -> subprocess.Popen[str]:
        """Start it, or start it again."""
        options = {
            "--params": canonical(ArmSpec.model_validate(ARM).model_dump(mode="json")),
            "--code": "planned",
            "--data": "data/mnist.npz",
            "--out": "results/runs/bn.safetensors",
            "--checkpoint-seconds": "0",
        }
        words = [word for pair in options.items() for word in pair]
        with (self.root / "log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "symbreak.training.run", *words],
                cwd=self.root,
                env=os.environ | {"PYTHONPATH": str(self.source)},
                stderr=log,
                text=True,
            )

    def finish(self) -> None:
        """Let it end by itself."""
        assert self.start().wait(120) == 0, (self.root / "log").read_text()

    def kept(self) -> int:
        """Steps in the snapshots of all groups."""
        found = self.runs.glob("bn.resume/group-*.json")
        return sum(json.loads(path.read_text())["facts"]["steps"] for path in found)

    def files(self) -> dict[str, bytes]:
        """All files of the run but the one that says when and where it was."""
        paths = [path for path in self.runs.rglob("*") if path.name != "bn.run.json"]
        return {str(path.relative_to(self.runs)): path.read_bytes() for path in paths if path.is_file()}


Moment = Callable[[float], bool]  # of the seconds since the start


def kill_at(training: Training, moment: Moment) -> None:
    """Start a training and kill it when it is found stopped at ``moment``."""
    process, start = training.start(), time.monotonic()
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        if moment(time.monotonic() - start):
            process.send_signal(signal.SIGSTOP)
            while watched.status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE):
                time.sleep(0)
            if moment(time.monotonic() - start) and process.poll() is None:
                break
            process.send_signal(signal.SIGCONT)
        time.sleep(0.001)
    process.kill()
    process.wait()


def moments(training: Training, draw: random.Random) -> list[tuple[str, Moment]]:
    """Ten moments in the order in which a training meets them."""
    runs = training.runs
    early, late, *steps = draw.uniform(0, 1), draw.uniform(0, 1), *sorted(draw.sample(range(5, STEPS - 5), 6))

    def training_at(step: int) -> Moment:
        return lambda _: training.kept() >= step

    def writing_at(step: int) -> Moment:
        return lambda _: training.kept() >= step and any(runs.glob("bn.resume/.group-*"))

    return [
        (f"{early:.2f} s after the start", lambda elapsed: elapsed >= early),
        (f"after step {steps[0]}", training_at(steps[0])),
        (f"writing after step {steps[1]}", writing_at(steps[1])),
        (f"after step {steps[2]}", training_at(steps[2])),
        (f"{late:.2f} s after a start again", lambda elapsed: elapsed >= late),
        (f"writing after step {steps[3]}", writing_at(steps[3])),
        (f"after step {steps[4]}", training_at(steps[4])),
        (f"writing after step {steps[5]}", writing_at(steps[5])),
        ("writing an artifact", lambda _: any(runs.glob(".bn.*"))),
        ("between artifact and manifest", lambda _: (runs / "bn.safetensors").is_file()),
    ]


def test_ten_kills_leave_no_trace_in_the_bytes(project: Workspace, tmp_path: Path) -> None:
    disturbed, undisturbed = (Training(tmp_path / name, project.root / "src") for name in ("disturbed", "undisturbed"))
    for training in (disturbed, undisturbed):
        training.root.mkdir()
        (training.root / "data").symlink_to(project.root / "data")
    undisturbed.finish()
    for name, moment in moments(disturbed, random.Random(SEED)):
        kill_at(disturbed, moment)
        print(f"seed {SEED}: killed {name}; steps kept: {disturbed.kept()}")
        assert not (disturbed.runs / "bn.manifest.json").exists(), f"the training ended before it was killed {name}"
    disturbed.finish()
    assert disturbed.files() == undisturbed.files()
    names = {"bn.safetensors", "bn.steps.parquet", "bn.epochs.parquet", "bn.manifest.json"}
    assert disturbed.files().keys() == names
    log = (disturbed.root / "log").read_text()
    resumed = [int(line.rsplit(" ", 1)[1]) for line in log.splitlines() if "group-00000.json: resuming" in line]
    assert len(resumed) >= 7
    assert resumed == sorted(resumed)
    assert "anew" not in log
    assert "resuming" not in (undisturbed.root / "log").read_text()


def test_a_killed_workflow_goes_on_where_it_was(project: Workspace) -> None:
    """What Snakemake's own lock asks for is all that it takes."""
    run = project.root / "results/smoke/runs/gaussnet_mnist/mse_100.safetensors"
    command = ("snakemake", "--cores", "1", str(run.relative_to(project.root)), *SMOKE)
    environment = os.environ | {"PYTHONPATH": str(project.root / "src")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    second = run.with_suffix(".resume") / "group-00001.json"
    workflow = subprocess.Popen(
        command, cwd=project.root, env=environment, start_new_session=True, stderr=subprocess.DEVNULL
    )
    while not second.is_file() and workflow.poll() is None:
        time.sleep(0.01)
    trainings = psutil.Process(workflow.pid).children(recursive=True)
    os.killpg(workflow.pid, signal.SIGKILL)
    workflow.wait()
    gone, alive = psutil.wait_procs(trainings, timeout=10)
    assert gone
    assert not alive
    assert not run.is_file()

    again = project.call(*command, check=False)
    assert again.returncode != 0
    assert "Directory cannot be locked" in again.stdout + again.stderr
    project.call(*command, "--unlock")
    project.call(*command)
    log = (project.root / "logs/smoke/runs/gaussnet_mnist/mse_100.log").read_text()
    assert "group-00001.json: resuming from step 96" in log
    assert run.is_file()
    assert not run.with_suffix(".resume").exists()

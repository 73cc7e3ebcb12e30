"""A source edited while its job runs: the artifact and all that is made from it are tainted, and never pinned."""

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import psutil

from .conftest import Workspace

RUN = "results/desk/runs/gaussnet_mnist/mse_10"
TABLE = "results/desk/probes/gaussnet_mnist/mse_10/accuracy"
MODEL = "src/symbreak/models/gaussnet.py"


def manifest(workspace: Workspace, artifact: str) -> dict[str, Any]:
    return dict(json.loads((workspace.root / f"{artifact}.manifest.json").read_text()))


def train_and_append(workspace: Workspace, text: str) -> None:
    """Train one arm by the command that made it, and append to its model's source in the middle of it."""
    command = [sys.executable, *manifest(workspace, RUN)["command"][1:]]
    (workspace.root / f"{RUN}.manifest.json").unlink()
    environment = os.environ | {"PYTHONPATH": str(workspace.root / "src")}
    process = subprocess.Popen(command, cwd=workspace.root, env=environment, stderr=subprocess.DEVNULL)
    snapshots = workspace.root / f"{RUN}.resume"  # there from before the first step until after the last write
    while not snapshots.exists() and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGSTOP)
    while psutil.Process(process.pid).status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE):
        time.sleep(0)
    assert not (workspace.root / f"{RUN}.manifest.json").exists(), "the training ended before its source was edited"
    path = workspace.root / MODEL
    path.write_text(path.read_text() + text)
    process.send_signal(signal.SIGCONT)
    assert process.wait(120) == 0


def test_an_edit_in_the_middle_of_a_run_taints_it_and_what_is_made_from_it(mini: Workspace) -> None:
    before = manifest(mini, RUN)
    train_and_append(mini, "\nUNUSED = 1\n")
    after = manifest(mini, RUN)
    assert after["tainted"] is True
    assert after["code"]["planned"] == after["code"]["start"] == before["code"]["end"]
    assert after["code"]["end"] != before["code"]["end"]
    assert after["outputs"] == before["outputs"]  # it ran what it had read

    mini.call("git", "checkout", "--", MODEL)
    mini.call(*manifest(mini, TABLE)["command"])
    table = manifest(mini, TABLE)
    assert table["code"]["planned"] == table["code"]["start"] == table["code"]["end"]  # only its input is to blame
    assert table["tainted"] is True

    for command in ("record", "adopt"):
        done = mini.call("symbreak", command, check=False)
        assert done.returncode == 2
        assert f"the source of {RUN}.safetensors changed while it was made" in done.stderr
        assert f"the source of {TABLE}.parquet changed while it was made" in done.stderr
    rows = json.loads(mini.call("symbreak", "status", "--json").stdout)
    assert {row["id"]: row["freshness"] for row in rows} == {"ssb-goldstone": "fresh", "gaussnet-mnist": "tainted"}
    assert not (mini.root / "dvc.lock").exists()


def test_a_comment_in_the_middle_of_a_run_does_not(mini: Workspace) -> None:
    before = manifest(mini, RUN)
    train_and_append(mini, "\n# a comment\n")
    assert manifest(mini, RUN) == before

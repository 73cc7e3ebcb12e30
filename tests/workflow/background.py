"""Snakemake in a workspace while other tests run."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from .workspace import Workspace


@dataclass(frozen=True)
class Background:
    """A workflow that is under way, and what it has printed so far."""

    workspace: Workspace
    process: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def begin(cls, workspace: Workspace, *arguments: str, cores: int = 2) -> "Background":
        """Start Snakemake with a lower priority than the tests: it gets what they leave idle of the cores."""
        log = workspace.root.with_suffix(".log")
        command = ("nice", "-n", "10", "snakemake", "--cores", str(cores), *arguments)
        with log.open("wb") as stream:  # a pipe that nobody reads would fill up and stop it
            process = subprocess.Popen(
                command, cwd=workspace.root, env=workspace.environment, stdout=stream, stderr=subprocess.STDOUT
            )
        return cls(workspace, process, log)

    def finished(self) -> Workspace:
        """Wait until it ends and return its workspace; if it failed, fail with what it printed."""
        if code := self.process.wait():
            pytest.fail(f"{self.process.args} ended with {code}:\n{self.log.read_text()[-4000:]}")
        return self.workspace

    def stop(self) -> None:
        """End it and its jobs, if they still run."""
        if self.process.poll() is None:
            for child in (jobs := psutil.Process(self.process.pid)).children(recursive=True):
                child.kill()
            jobs.kill()
        self.process.wait()

"""A scratch copy of the project in which the real workflow runs."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

PARTS = (
    "Snakefile",
    "params.yaml",
    "params.smoke.yaml",
    "claims.yaml",
    "requirements.lock",
    "workflow",
    "profiles",
    "src",
    ".dvc/config",
    ".dvcignore",
    ".gitignore",
)


@dataclass(frozen=True)
class Workspace:
    """A folder with a copy of the project, its own git repository and its own results."""

    root: Path
    mirror: Path | None

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which a tool of this environment runs on the copy's own source."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        own = {"PATH": path, "PYTHONPATH": str(self.root / "src"), "DVC_NO_ANALYTICS": "1"}
        return os.environ | own | ({"SYMBREAK_DATA_MIRROR": str(self.mirror)} if self.mirror else {})

    def call(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a tool of this environment on the copy's own source."""
        done = subprocess.run(command, cwd=self.root, env=self.environment, capture_output=True, text=True, check=False)
        if check and done.returncode:
            pytest.fail(f"{' '.join(command)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}")
        return done

    def snakemake(self, *arguments: str, cores: int = 2, check: bool = True) -> str:
        """Run Snakemake and return everything it printed."""
        done = self.call("snakemake", "--cores", str(cores), *arguments, check=check)
        return done.stdout + done.stderr

    def planned(self, *arguments: str) -> set[str]:
        """Return the jobs of a dry-run: ``rule`` or ``rule wildcards``."""
        output = self.snakemake("--dry-run", *arguments)
        blocks = re.split(r"^(?:local)?rule (.+):$", output, flags=re.MULTILINE)[1:]
        jobs = set()
        for rule, block in zip(blocks[::2], blocks[1::2], strict=True):
            wildcards = re.search(r"wildcards: (.+)", block)
            jobs.add(f"{rule} {wildcards[1]}" if wildcards else rule)
        return jobs

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text that must occur in a file."""
        path = self.root / name
        text = path.read_text()
        assert old in text, f"{name} does not hold {old!r}"
        path.write_text(text.replace(old, new, 1))

    def yaml(self, name: str) -> dict[str, Any]:
        """Read a YAML file of the copy."""
        return dict(yaml.safe_load((self.root / name).read_text()))

    def commit(self, message: str) -> None:
        """Commit everything."""
        self.call("git", "add", "--all")
        self.call(
            "git",
            "-c",
            "user.name=test",
            "-c",
            "user.email=test@example.org",
            "commit",
            "--quiet",
            "--message",
            message,
        )


def copy_project(origin: Path, root: Path, mirror: Path | None) -> Workspace:
    """Copy what the workflow needs and make the copy a git repository.

    Compiled kernels come along: numba's files are good for a copy whose sources have the same time stamps, and
    compiling them again takes ten seconds a copy.
    """
    for part in PARTS:
        target = root / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if (origin / part).is_dir():
            shutil.copytree(origin / part, target, ignore=shutil.ignore_patterns("*.egg-info", "*.pyc*", "*.tmp.*"))
        else:
            shutil.copy2(origin / part, target)
    workspace = Workspace(root, mirror)
    workspace.call("git", "init", "--quiet")
    return workspace

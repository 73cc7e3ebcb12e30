"""Scratch copies of the project in which the real workflow runs."""

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

from symbreak.config.load import merge

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

    def call(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a tool of this environment on the copy's own source."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = os.environ | {
            "PATH": path,
            "PYTHONPATH": str(self.root / "src"),
            "DVC_NO_ANALYTICS": "1",
        }
        environment |= {"SYMBREAK_DATA_MIRROR": str(self.mirror)} if self.mirror else {}
        done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, check=False)
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
    """Copy what the workflow needs and make the copy a git repository."""
    for part in PARTS:
        target = root / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if (origin / part).is_dir():
            shutil.copytree(origin / part, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy2(origin / part, target)
    workspace = Workspace(root, mirror)
    workspace.call("git", "init", "--quiet")
    return workspace


@pytest.fixture(scope="session")
def source(repo_root: Path) -> Path | None:
    """The mirror if there is one; without it the workflow gets the data as on a user's machine."""
    named = os.environ.get("SYMBREAK_DATA_MIRROR")
    folder = Path(named).resolve() if named else repo_root.parent / "shared" / "data"
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory, repo_root: Path, source: Path | None) -> Workspace:
    """The whole pipeline at scale smoke on real data, run once."""
    workspace = copy_project(repo_root, tmp_path_factory.mktemp("smoke"), source)
    workspace.commit("the project")
    workspace.snakemake("figures/all", "--config", "scale=smoke")
    return workspace


@pytest.fixture(scope="session")
def mini_template(tmp_path_factory: pytest.TempPathFactory, repo_root: Path, source: Path | None) -> Workspace:
    """Two claims at scale desk with the sizes of scale smoke, computed once: what record and DVC are tested on."""
    workspace = copy_project(repo_root, tmp_path_factory.mktemp("mini"), source)
    params = merge(workspace.yaml("params.yaml"), workspace.yaml("params.smoke.yaml"))
    claims = workspace.yaml("claims.yaml")
    claims["claims"] = {name: claims["claims"][name] for name in ("ssb-goldstone", "gaussnet-mnist")}
    wanted = {claim["experiment"] for claim in claims["claims"].values()}
    params["experiments"] = {name: entry for name, entry in params["experiments"].items() if name in wanted}
    (workspace.root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    (workspace.root / "claims.yaml").write_text(yaml.safe_dump(claims, sort_keys=False))
    workspace.call("python", "-m", "symbreak.provenance.dvcfile")
    workspace.commit("two claims")
    workspace.snakemake("figures/all")
    return workspace


@pytest.fixture
def mini(mini_template: Workspace, tmp_path: Path) -> Workspace:
    """A fresh copy of the miniature, results and Snakemake's memory of them included."""
    shutil.copytree(mini_template.root, tmp_path / "mini", symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    return Workspace(tmp_path / "mini", mini_template.mirror)

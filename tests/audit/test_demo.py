"""docs/demo_audit.sh on a recorded project that brings its own code, and on one whose pin was forged before."""

import subprocess
from pathlib import Path

import pytest

from .project import commit, git

PIN = "results/pinned/desk/ssb-goldstone.json"


@pytest.fixture
def stranger(clone: Path, repo_root: Path) -> Path:
    for name in ("src", ".venv"):
        (clone / name).symlink_to(repo_root / name)
    commit(clone, "with its code")
    return clone


def demo(root: Path, repo_root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([repo_root / "docs/demo_audit.sh", root], capture_output=True, text=True, check=False)


def test_green_then_red_for_the_forged_digit(stranger: Path, repo_root: Path) -> None:
    done = demo(stranger, repo_root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"red, as it must be: claim_file.parts.zero.low in {PIN} should be 0.0012" in done.stdout
    assert git(stranger, "status", "--porcelain") == ""


def test_it_ends_at_once_where_the_pins_do_not_hold(stranger: Path, repo_root: Path) -> None:
    path = stranger / PIN
    path.write_text(path.read_text().replace('"verdict": "supported"', '"verdict": "refuted"'))
    commit(stranger, "forged")
    done = demo(stranger, repo_root)
    assert done.returncode == 1
    assert done.stderr == "demo: the first audit was not green\n"

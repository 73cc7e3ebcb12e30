"""The set-up in a toy project whose lock holds one tiny wheel; no network."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "toy"
version = "1"
"""

BACKEND = """
import zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "toy-1-py3-none-any.whl"
    with zipfile.ZipFile(folder + "/" + name, "w") as wheel:
        wheel.writestr("toy-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: toy\\nVersion: 1\\n")
        wheel.writestr("toy-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("toy-1.dist-info/RECORD", "")
    return name
"""


@pytest.fixture(scope="session")
def setup(repo_root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("setup_venv", repo_root / "scripts/setup_venv.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_wheel(folder: Path, version: str) -> None:
    folder.mkdir(exist_ok=True)
    info = f"tiny-{version}.dist-info"
    with zipfile.ZipFile(folder / f"tiny-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny.py", f"VERSION = {version!r}\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/entry_points.txt", "[console_scripts]\ntiny = tiny:main\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def project(tmp_path: Path, repo_root: Path) -> Path:
    root = tmp_path / "toy"
    (root / "scripts").mkdir(parents=True)
    shutil.copy(repo_root / "scripts/setup_venv.py", root / "scripts")
    (root / "pyproject.toml").write_text(PROJECT)
    (root / "backend.py").write_text(BACKEND)
    (root / "requirements.lock").write_text("tiny==1.0\n")
    make_wheel(tmp_path / "wheels", "1.0")
    make_wheel(tmp_path / "wheels", "2.0")
    return root


def start(project: Path) -> "subprocess.Popen[str]":
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(project.parent / "wheels")}
    command = [sys.executable, "scripts/setup_venv.py"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=project, env={**os.environ, **offline}, stdout=pipe, stderr=pipe, text=True)


def finish(process: "subprocess.Popen[str]") -> tuple[str, str]:
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return output, errors


def installed(project: Path) -> str:
    command = [str(project / ".venv/bin/python"), "-c", "import tiny; print(tiny.VERSION)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def environments(project: Path) -> list[str]:
    return sorted(path.name for path in project.glob(".venv*") if path.is_dir() and not path.is_symlink())


def test_an_environment_is_made_once_switched_whole_and_remade_for_a_new_lock(project: Path, setup: ModuleType) -> None:
    # What may lie there: a real .venv that someone made by hand, and an environment that a kill left unfinished.
    (project / ".venv/bin").mkdir(parents=True)
    unfinished = project / f".venv-{setup.identity(project)['lock'][:12]}"
    (unfinished / "bin").mkdir(parents=True)
    (unfinished / "bin/leftover").touch()
    peers = project / ".venv-bench"
    peers.mkdir()

    both = [start(project), start(project)]
    outputs = [finish(process)[0] for process in both]
    assert sum("download about" in output or "download less" in output for output in outputs) == 1
    assert sum("waiting for it" in output for output in outputs) == 1
    assert installed(project) == "1.0"
    assert (project / ".venv").is_symlink()
    assert not (project / ".venv/bin/leftover").exists()
    assert environments(project) == sorted([unfinished.name, peers.name])
    shebang = (project / ".venv/bin/tiny").read_text().splitlines()[0]
    assert Path(shebang.removeprefix("#!")).exists()

    began = time.monotonic()
    assert finish(start(project)) == ("", "")
    assert time.monotonic() - began < 2

    (project / "requirements.lock").write_text("tiny==2.0\n")
    finish(start(project))
    assert installed(project) == "2.0"
    assert unfinished.name not in environments(project)


def test_a_kill_leaves_the_old_environment_in_use(project: Path, setup: ModuleType) -> None:
    old = project / ".venv-000000000000"
    old.mkdir()
    (project / ".venv").symlink_to(old.name)
    process = start(project)
    assert process.stdout is not None
    assert "making .venv-" in process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (project / ".venv").resolve() == old
    assert not setup.complete(project / ".venv", setup.identity(project))


def test_a_moved_clone_is_not_taken_for_complete(project: Path, setup: ModuleType) -> None:
    environment = project / ".venv"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin/python").touch()
    made_from = setup.identity(project)
    (environment / setup.MARKER).write_text(setup.json.dumps(made_from))
    assert setup.complete(environment, made_from)
    assert not setup.complete(environment, {**made_from, "root": "/elsewhere"})
    (environment / "bin/python").unlink()
    assert not setup.complete(environment, made_from)


def test_a_failing_step_ends_with_a_sentence_and_the_log(setup: ModuleType, tmp_path: Path) -> None:
    program = "import sys; print('no such package'); sys.exit(3)"
    with pytest.raises(setup.SetupError, match=r"(?s)ended with 3\. The end of .*log:\n  no such package"):
        setup.run([sys.executable, "-c", program], tmp_path / "log", tmp_path)


def test_what_cannot_be_set_up_is_exit_code_2_and_no_traceback(project: Path) -> None:
    (project / "requirements.lock").unlink()
    process = start(project)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert errors.splitlines() == [
        f"set-up: {project}/requirements.lock is missing; it is part of the repository, restore it"
    ]


def test_a_long_step_is_not_silent(setup: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = "import time; print('fetching', flush=True); open('x', 'wb').write(bytes(30_000_000)); time.sleep(1.2)"
    command = [sys.executable, "-c", program.replace("'x'", repr(str(tmp_path / "x")))]
    setup.run(command, tmp_path / "log", tmp_path, every=0.3)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 3
    assert re.fullmatch(r"set-up: 1 s, 0\.03 GB so far \(fetching\)", lines[-1])
    assert setup.SECONDS_BETWEEN_LINES < 15


def test_missing_git_is_a_sentence(setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup.shutil, "which", lambda _: None)
    with pytest.raises(setup.SetupError, match="needs git"):
        setup.check_machine(tmp_path)


def test_a_full_disk_is_a_sentence(setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=3_000_000_000)
    monkeypatch.setattr(setup.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(setup.SetupError, match=r"takes \d+ GB of disk and 3\.0 GB are free"):
        setup.check_machine(tmp_path)


def test_another_python_looks_for_311_and_says_so_where_there_is_none(
    setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong, right = tmp_path / "wrong", tmp_path / "bin/python3.11"
    right.parent.mkdir()
    wrong.write_text("#!/bin/sh\nexit 1\n")
    right.symlink_to(sys.executable)
    wrong.chmod(0o755)
    monkeypatch.setattr(setup.sys, "executable", str(wrong))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", str(right.parent))
    assert setup.find_python() == str(right)
    right.unlink()
    with pytest.raises(setup.SetupError, match=r"needs Python 3\.11"):
        setup.find_python()

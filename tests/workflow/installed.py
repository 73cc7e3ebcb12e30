"""What the tests of remotes need beside ``.venv``: used if it is here, got from the registries in CI, else a skip."""

import os
import pwd
import shutil
import subprocess
from pathlib import Path

import pytest

DEBIAN = ("openssh-server", "libwrap0")
"""The server and the one library of it that a machine with ssh may lack."""


def clients(root: Path) -> Path:
    """Return ``.venv-remotes``: DVC with its clients for SSH and S3."""
    return _made(root, ".venv-remotes", "requirements-remotes.lock", "remotes")


def rclone(root: Path) -> Path:
    """Return the program ``rclone``, which serves a folder by the S3 protocol."""
    return _made(root, ".venv-servers", "tests/workflow/servers.lock", "test-servers") / "bin/rclone"


def sshd(root: Path) -> tuple[Path, Path | None]:
    """Return OpenSSH's server and the folder of its libraries, if it is not the machine's own but Debian's unpacked.

    Nothing is installed, so no service starts. Run by root, the server wants a user and a folder of its own all the
    same, as Debian's package makes them.
    """
    own, unpacked = Path("/usr/sbin/sshd"), root / ".venv-servers-debian"
    if not own.is_file() and not (unpacked / "usr/sbin/sshd").is_file():
        _needs(
            shutil.which("apt-get") is not None, "OpenSSH's server (/usr/sbin/sshd)", "apt-get install openssh-server"
        )
        _unpack(unpacked)
    if os.geteuid() == 0:
        _separate()
    return (own, None) if own.is_file() else (unpacked / "usr/sbin/sshd", _libraries(unpacked))


def _made(root: Path, name: str, lock: str, target: str) -> Path:
    stamp = root / name / "made-from"
    if not stamp.is_file() or stamp.read_bytes() != (root / lock).read_bytes():
        _needs(shutil.which("make") is not None, f"{name} as of {lock}", f"make {target}")
        _run("make", target, cwd=root)
    return root / name


def _needs(possible: bool, what: str, command: str) -> None:
    """Skip the test unless registries may be asked, and fail it if they may and the tool for it is missing."""
    if os.environ.get("SYMBREAK_TEST_REGISTRIES") != "1":
        pytest.skip(f"needs {what}, got by '{command}' or, with SYMBREAK_TEST_REGISTRIES=1, by the test itself")
    if not possible:
        pytest.fail(f"needs {what}, and '{command.split()[0]}' is not here to get it")


def _unpack(folder: Path) -> None:
    partial = folder.with_name(f"{folder.name}-partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    _run("apt-get", "download", *DEBIAN, cwd=partial)
    for package in partial.glob("*.deb"):
        _run("dpkg", "-x", package.name, ".", cwd=partial)
    partial.rename(folder)


def _libraries(unpacked: Path) -> Path:
    return next(unpacked.glob("usr/lib/*/libwrap.so.*")).parent


def _separate() -> None:
    try:
        pwd.getpwnam("sshd")
    except KeyError:
        _run(
            "useradd", "--system", "--no-create-home", "--home-dir", "/run/sshd", "--shell", "/usr/sbin/nologin", "sshd"
        )
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)


def _run(*command: str, cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"{' '.join(command)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}")

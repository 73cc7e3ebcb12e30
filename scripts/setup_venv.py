"""Make ``.venv`` from ``requirements.lock``, unless it was made from exactly this lock already.

Run it with any Python from 3.7 on; it looks for a Python 3.11 itself. The environment is built as
``.venv-<hash>``, named by the lock's sha256, and ``.venv`` is a symbolic link that is switched to it in one
step when it is complete: whoever kills a set-up leaves the old environment in use, never half a new one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

LOCK = "requirements.lock"
MARKER = "symbreak-setup.json"  # written last: an environment without it is half-made
SECONDS_BETWEEN_LINES = 10.0
GIGABYTE = 1e9
# Linux x86_64: 3 GB of wheels and the 7 GB that they become (du, byte code included) lie there at once; pip's cache,
# which spares an interrupted set-up the second download, keeps the 3 GB again.
NEEDED = 11 * GIGABYTE
NEEDED_WITH_CACHE = 14 * GIGABYTE


class SetupError(Exception):
    """What stands in the way of the set-up, as a sentence with what to do."""


def say(text: str) -> None:
    """Print one line at once, also into a pipe."""
    print(f"set-up: {text}", flush=True)


def identity(root: Path) -> dict[str, str]:
    """Return what an environment is made from; the folder is in it because scripts hold absolute paths."""
    if not (root / LOCK).exists():
        raise SetupError(f"{root / LOCK} is missing; it is part of the repository, restore it")
    return {"lock": hashlib.sha256((root / LOCK).read_bytes()).hexdigest(), "root": str(root)}


def complete(environment: Path, made_from: dict[str, str]) -> bool:
    """Tell whether ``environment`` was made, to its end, from ``made_from`` and still has its interpreter."""
    try:
        return json.loads((environment / MARKER).read_text()) == made_from and (environment / "bin/python").exists()
    except (OSError, ValueError):
        return False


def find_python() -> str:
    """Return a Python 3.11 that can make environments: this one, one on the PATH, or one of pyenv's.

    Raises:
        SetupError: If there is none.
    """
    on_path = filter(None, map(shutil.which, ("python3.11", "python3", "python")))
    pyenv = Path(os.environ.get("PYENV_ROOT", str(Path.home() / ".pyenv"))) / "versions"
    probe = "import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))"
    for candidate in dict.fromkeys([sys.executable, *on_path, *map(str, pyenv.glob("3.11.*/bin/python"))]):
        if subprocess.run([candidate, "-c", probe], capture_output=True).returncode == 0:
            return candidate
    raise SetupError(
        f"symbreak needs Python 3.11 with its venv module; found {platform.python_version()} at {sys.executable} and "
        "no 3.11 on the PATH. Install one (on Debian: python3.11 and python3.11-venv) or name it: "
        "make PYTHON=/path/to/python3.11"
    )


def check_machine(root: Path) -> None:
    """Raise SetupError if git is missing or the disk is too full."""
    if shutil.which("git") is None:
        raise SetupError("symbreak needs git (DVC keeps versions by it) and found none on the PATH. Install git.")
    free = shutil.disk_usage(root).free
    if free < NEEDED:
        raise SetupError(
            f"making the environment takes {NEEDED / GIGABYTE:.0f} GB of disk and {free / GIGABYTE:.1f} GB are free "
            f"at {root}. Make room and try again."
        )


def size(folder: Path) -> int:
    """Return the bytes of the files under ``folder``, which others may be writing or deleting."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(where, name).lstat().st_size
    return total


def last_lines(log: Path, count: int) -> list[str]:
    """Return the last lines of a log that are not empty."""
    return [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()][-count:]


def run(command: list[str], log: Path, folder: Path, every: float = SECONDS_BETWEEN_LINES) -> None:
    """Run a command into ``log``, saying every ``every`` seconds how long it runs and how large ``folder`` is.

    Raises:
        SetupError: If it fails; the sentence ends with the last lines of the log.
    """
    temporary = folder / "tmp"  # pip unpacks here, so the disk that was checked is the disk that is filled
    temporary.mkdir(exist_ok=True)
    environment = {**os.environ, "TMPDIR": str(temporary)}
    start = said = time.monotonic()
    with log.open("a") as stream:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=environment)
    try:
        while process.poll() is None:
            time.sleep(0.1)
            if time.monotonic() - said >= every:
                said = time.monotonic()
                step = (last_lines(log, 1) or [""])[0][:70]
                say(f"{said - start:.0f} s, {size(folder) / GIGABYTE:.2f} GB so far ({step})")
    finally:
        process.kill()
        process.wait()
    if process.returncode != 0:
        tail = "\n  ".join(last_lines(log, 15))
        raise SetupError(f"'{' '.join(command)}' ended with {process.returncode}. The end of {log}:\n  {tail}")


def build(root: Path, target: Path, made_from: dict[str, str], python: str) -> None:
    """Make the environment ``target``; its marker is written when all of it is there."""
    if target.exists():
        say(f"removing {target.name}, which an earlier set-up left unfinished")
        shutil.rmtree(target)
    target.mkdir()
    log = root / "logs" / "setup.log"
    log.parent.mkdir(exist_ok=True)
    log.write_text("")
    cache = [] if shutil.disk_usage(root).free >= NEEDED_WITH_CACHE else ["--no-cache-dir"]
    pip = [str(target / "bin/python"), "-m", "pip", "--disable-pip-version-check", *cache]
    run([python, "-m", "venv", str(target)], log, target)
    # The locked setuptools first: packages that come as sources are built with it, not with the newest one.
    run([*pip, "install", "--no-deps", "--upgrade", "--constraint", LOCK, "setuptools"], log, target)
    install = [*pip, "install", "--no-deps", "--no-build-isolation", "--progress-bar", "off"]
    run([*install, "-r", LOCK], log, target)
    run([*install, "-e", "."], log, target)
    run([*pip, "check"], log, target)
    shutil.rmtree(target / "tmp")
    (target / MARKER).write_text(json.dumps(made_from))


def switch(root: Path, target: Path) -> None:
    """Point ``.venv`` at ``target`` in one step and delete the environments that it replaces."""
    link, fresh = root / ".venv", root / ".venv-link"
    if link.is_dir() and not link.is_symlink():
        link.rename(root / f".venv-old-{time.time_ns()}")
    if fresh.is_symlink():
        fresh.unlink()
    fresh.symlink_to(target.name)
    fresh.replace(link)
    for old in root.glob(".venv-*"):
        if old != target and re.fullmatch(r"\.venv-([0-9a-f]{12}|old-\d+)", old.name):
            shutil.rmtree(old)


@contextlib.contextmanager
def alone(root: Path) -> Iterator[None]:
    """Hold the set-up's lock, which the kernel frees however its holder ends."""
    with (root / ".venv.lock").open("w") as handle:
        waiting = 0.0
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if waiting % SECONDS_BETWEEN_LINES == 0:
                    say(f"another set-up is at work in this folder, waiting for it ({waiting:.0f} s)")
                time.sleep(0.5)
                waiting += 0.5
        yield


def announce(target: Path) -> None:
    """Say, before anything starts, what is fetched and how long that takes."""
    linux = "about 3 GB (PyTorch brings the CUDA libraries on Linux), 7 GB when installed"
    much = linux if platform.system() == "Linux" else "less than 3 GB (no CUDA libraries on this system)"
    say(f"making {target.name} from {LOCK}: download {much}; about 6 minutes at 100 Mbit/s, 2 from a near mirror")


def set_up(root: Path) -> None:
    """Make ``root/.venv`` what ``root/requirements.lock`` says; nothing if it is."""
    made_from = identity(root)
    if complete(root / ".venv", made_from):
        return
    target = root / f".venv-{made_from['lock'][:12]}"
    with alone(root):
        if complete(root / ".venv", made_from):
            return
        if not complete(target, made_from):
            check_machine(root)
            python = find_python()
            announce(target)
            start = time.monotonic()
            build(root, target, made_from, python)
            say(f"done after {time.monotonic() - start:.0f} s")
        switch(root, target)


def main() -> int:
    """Set up the folder above this script; return the exit code, 2 with a sentence if it cannot be."""
    root = Path(__file__).resolve().parent.parent
    os.chdir(root)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        set_up(root)
    except SetupError as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("set-up: stopped; the next one starts over", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

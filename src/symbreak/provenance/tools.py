"""Snakemake, DVC and git as a user types them: commands, never imports."""

import os
import subprocess
import sys
from pathlib import Path

from symbreak.errors import SymbreakError


def call(root: Path, *command: str) -> str:
    """Run a command in ``root`` with this Python's own tools first on the path, and return what it printed.

    Raises:
        SymbreakError: It failed; the message has the command and the end of its output.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = os.environ | {"PATH": path, "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise SymbreakError(f"'{' '.join(command)}' failed with exit code {done.returncode}:\n{tail}")
    return done.stdout

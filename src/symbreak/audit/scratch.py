"""A copy of a commit in which everything can be computed again, while the working tree is only read."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

import yaml

from symbreak.audit.fresh import Change, replaced
from symbreak.config.load import read_yaml
from symbreak.errors import SymbreakError
from symbreak.files import sha256
from symbreak.provenance.manifest import manifest_path, read_manifest
from symbreak.provenance.tools import call

STDERR = 2  # the process's own, whatever stands for it in Python
LINES = 15  # of the scheduler's log that are said of a failure
LOGS = "logs/retrain"  # of the copy


@contextmanager
def scratch(root: Path, commit: str, keep: Path | None) -> Iterator[Path]:
    """Clone the project at a commit, and yield the copy's root folder.

    Args:
        root: The project's root folder, in a git clone; nothing is written there.
        commit: The commit to check out.
        keep: The folder for the clone, which stays; a temporary one, removed at the end, if null.

    Raises:
        SymbreakError: ``keep`` is not empty or lies in the working tree.
    """
    top = Path(call(root, "git", "rev-parse", "--show-toplevel").strip())
    inside = call(root, "git", "rev-parse", "--show-prefix").strip()
    if keep is not None:
        _refuse(keep, top)
    temporary = tempfile.TemporaryDirectory(prefix="symbreak-retrain-") if keep is None else nullcontext(str(keep))
    with temporary as folder:
        call(root, "git", "clone", "--quiet", "--no-checkout", str(top), str(folder))
        call(Path(folder), "git", "checkout", "--quiet", "--detach", commit)
        yield Path(folder).resolve() / inside


def link_data(root: Path, copy: Path, pinned: Mapping[str, str]) -> list[str]:
    """Link prepared sets of the working tree into the copy where they have the pinned hash.

    Args:
        root: The project's root folder.
        copy: The copy's root folder.
        pinned: Path -> sha256 of the sets.

    Returns:
        The paths that were linked; the others are prepared again when a job needs them.
    """
    linked = [path for path, digest in pinned.items() if _is(root / path, digest)]
    for path in linked:
        for file in (Path(path), manifest_path(Path(path))):
            (copy / file).parent.mkdir(parents=True, exist_ok=True)
            (copy / file).symlink_to((root / file).resolve())
    return linked


def rewrite(copy: Path, name: str, changes: Mapping[str, Change]) -> None:
    """Change the values of some keys in a file of parameters of the copy."""
    path = copy / name
    path.write_text(yaml.safe_dump(replaced(read_yaml(path), changes), sort_keys=False, allow_unicode=True))


def compute(copy: Path, targets: list[str], cores: int) -> str:
    """Let Snakemake make files in the copy with the copy's own source; standard error says how far it is.

    Returns:
        What was said last where it failed (what could be made has been), else an empty text.
    """
    tools = Path(sys.executable).parent
    ours = [str(Path(part).resolve()) for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    source = os.pathsep.join([str(copy / "src"), *ours])
    job = ("env", f"PYTHONPATH={source}", "snakemake", "--cores", str(cores), "--keep-going", *targets)
    path = f"{tools}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": os.pathsep.join(ours)}
    command = (sys.executable, "-m", "symbreak.progress.watch", "--logs", str(copy / LOGS), "--", *job)
    with subprocess.Popen(command, cwd=copy, env=environment, stdout=STDERR) as process:
        try:
            code = process.wait()
        except BaseException:  # the watcher ends the jobs before itself
            process.terminate()
            process.wait()
            raise
    return f"Snakemake failed with exit code {code}:\n{_last_words(copy / LOGS)}" if code else ""


def _last_words(logs: Path) -> str:
    return "\n".join(line for path in logs.glob("*.log") for line in path.read_text().splitlines()[-LINES:])


def _refuse(keep: Path, top: Path) -> None:
    if keep.resolve().is_relative_to(top.resolve()):
        raise SymbreakError(
            f"--keep {keep} lies in the working tree, which an audit only reads; name a folder outside."
        )
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise SymbreakError(f"--keep {keep} is not empty; name a new folder, for nothing is overwritten.")


def _is(path: Path, digest: str) -> bool:
    """A set with its manifest, both as they were pinned."""
    if not (path.is_file() and manifest_path(path).is_file()):
        return False
    return read_manifest(path)["outputs"].get(path.name) == digest and sha256(path) == digest

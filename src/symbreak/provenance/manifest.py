"""The files beside an artifact: ``*.manifest.json`` (identity) and ``*.run.json`` (circumstances)."""

import json
from pathlib import Path
from typing import Any

from symbreak.errors import SymbreakError

BESIDE = (".manifest.json", ".run.json")


def manifest_path(artifact: Path) -> Path:
    """Return the path of an artifact's manifest: ``a.safetensors`` has ``a.manifest.json``."""
    return artifact.with_name(artifact.stem + ".manifest.json")


def run_path(artifact: Path) -> Path:
    """Return the path of an artifact's run file: wall time, memory, host and date; no job reads it."""
    return artifact.with_name(artifact.stem + ".run.json")


def outputs(artifact: Path) -> list[Path]:
    """Return the artifact and its siblings of the same stem; manifest, run file and folders (snapshots) left out."""
    beside = artifact.parent.glob(f"{artifact.stem}.*")
    return sorted(path for path in beside if path.is_file() and not path.name.endswith(BESIDE))


def read_manifest(artifact: Path) -> dict[str, Any]:
    """Read the manifest of an artifact.

    Raises:
        SymbreakError: It is missing or is not a JSON object.
    """
    path = manifest_path(artifact)
    try:
        manifest = json.loads(path.read_text())
    except FileNotFoundError:
        raise SymbreakError(
            f"{path}: missing; make its artifact again with 'snakemake --cores 8 {artifact}'."
        ) from None
    except json.JSONDecodeError as error:
        raise SymbreakError(f"{path}: not JSON ({error}); delete {artifact} and make it again.") from None
    if not isinstance(manifest, dict):
        raise SymbreakError(f"{path}: expected a JSON object; delete {artifact} and make it again.")
    return manifest

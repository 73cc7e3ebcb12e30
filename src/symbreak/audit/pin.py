"""A pinned file, ``results/pinned/SCALE/CLAIM.json``: its content and the bytes that stand behind it."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from symbreak.audit.finding import Finding, holds
from symbreak.audit.pin_shape import PinnedFile

CHECK, FORMAT = "shape", "the format that record writes"
PINNED: TypeAdapter[PinnedFile] = TypeAdapter(PinnedFile)


@dataclass(frozen=True)
class Pin:
    """A pinned file of the right shape: its claim, its path from the project's root, and its content."""

    claim: str
    path: str
    content: PinnedFile

    @property
    def claim_bytes(self) -> bytes:
        """The bytes of the claim file that was pinned."""
        return text(self.content["claim_file"]).encode()

    @property
    def params(self) -> Any:
        """The claim job's parameters, from its command line; null if there are none that can be read."""
        command = self.content["manifest"]["command"]
        try:
            return json.loads(command[command.index("--params") + 1])
        except (ValueError, IndexError):
            return None

    @property
    def manifest_bytes(self) -> bytes:
        """The bytes of the claim file's manifest."""
        return text(dict(self.content["manifest"]) | {"params": self.params}).encode()


def text(value: Any) -> str:
    """Return JSON as ``files.write_json`` writes it."""
    return json.dumps(value, sort_keys=True, indent=2, allow_nan=False) + "\n"


def sha256(content: bytes) -> str:
    """Return the sha256 of bytes as hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def read(root: Path, path: Path) -> tuple[Pin | None, list[Finding]]:
    """Read a pinned file and check its shape.

    Args:
        root: The project's root folder.
        path: The file.

    Returns:
        The pin, null if its keys or types are not those of a pin, and what was found.
    """
    name = path.relative_to(root).as_posix()
    try:
        written = path.read_text()
        content = json.loads(written)
        canonical = written == text(content)
    except ValueError as error:  # not UTF-8, not JSON, or a number that JSON does not have
        return None, [holds(CHECK, name, "", False, "JSON", str(error), "restore it: git checkout -- " + name)]
    try:
        checked = PINNED.validate_python(content)
    except ValidationError as error:
        return None, [
            Finding(CHECK, name, _key(e["loc"]), "failed", e["msg"], None if e["type"] == "missing" else e["input"])
            for e in error.errors()
        ]
    return Pin(path.stem, name, checked), [
        Finding(CHECK, name, "", "passed"),
        holds(CHECK, name, "", canonical, FORMAT, FORMAT if canonical else "another", "a key twice, or edited by hand"),
    ]


def _key(location: tuple[int | str, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location).removeprefix(".")

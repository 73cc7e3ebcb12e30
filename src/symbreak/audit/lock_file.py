"""dvc.lock as DVC 3 writes it, read without DVC."""

from pathlib import Path
from typing import Any, NotRequired

import yaml
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from symbreak.audit.yaml_text import parse
from symbreak.errors import SymbreakError


class Hashed(TypedDict):
    """A file or, with ``nfiles`` and a hash that ends in ``.dir``, a folder."""

    path: str
    md5: str
    size: int
    nfiles: NotRequired[int]


class Stage(TypedDict):
    """What a stage read and made when it was last run; ``params`` are by file and dotted key."""

    deps: list[Hashed]
    params: NotRequired[dict[str, dict[str, Any]]]
    outs: list[Hashed]


def read(path: Path) -> dict[str, Stage]:
    """Return the stages of a lock.

    Raises:
        SymbreakError: It is missing, is not YAML, or has not the form of a lock of DVC 3.
    """
    if not path.is_file():
        raise SymbreakError(f"{path.name}: missing; 'symbreak record' or 'dvc repro' writes it")
    try:
        content = parse(path.read_text())
        stages: dict[str, Stage] = TypeAdapter(dict[str, Stage]).validate_python(content["stages"])
    except (yaml.YAMLError, KeyError, TypeError, ValidationError) as error:
        raise SymbreakError(f"{path.name}: not the lock of DVC 3: {error}") from None
    return stages

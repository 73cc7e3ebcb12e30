"""YAML as DVC writes and reads it (1.2): ``1e-05`` is a number, which PyYAML by itself takes for a text.

By libyaml where PyYAML was built with it: dvc.lock and older forms of claims.yaml are long, and it is faster.
"""

import re
from typing import Any

import yaml

BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
NUMBER = re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$")


class Loader(BASE):  # type: ignore[misc]
    """PyYAML's safe loader with the floats of YAML 1.2."""


Loader.add_implicit_resolver("tag:yaml.org,2002:float", NUMBER, list("-+.0123456789"))


def parse(text: str) -> Any:
    """Return what a YAML text holds."""
    return yaml.load(text, Loader=Loader)

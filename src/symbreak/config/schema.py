"""JSON schemas of params.yaml and claims.yaml from the typed models: ``python -m symbreak.config.schema``."""

import json
from pathlib import Path

from symbreak.config.load import Params
from symbreak.config.registry import Registry
from symbreak.config.specs import ArmSpec
from symbreak.config.strict import Strict

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, str]:
    """Return file name -> text of every schema."""
    models: dict[str, type[Strict]] = {"params": Params, "arm": ArmSpec, "claims": Registry}
    return {
        f"{name}.schema.json": json.dumps({"$schema": DIALECT} | model.model_json_schema(), indent=2, sort_keys=True)
        + "\n"
        for name, model in models.items()
    }


if __name__ == "__main__":
    for name, text in schemas().items():
        Path("workflow/schemas", name).write_text(text)

"""The examples of docs/probes.md run as they are printed."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from symbreak.probes.catalogue import PROBES

TEXT = (Path(__file__).parents[2] / "docs" / "probes.md").read_text()


def blocks(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def test_every_probe_has_an_example() -> None:
    sections = {part.split("\n", 1)[0]: part for part in TEXT.split("\n## ")[1:]}
    assert set(sections) == set(PROBES)
    assert all(f'measure("{name}"' in "".join(blocks(part)) for name, part in sections.items())


def test_the_examples_run_and_give_results(capsys: pytest.CaptureFixture[str]) -> None:
    namespace: dict[str, Any] = {"__name__": "example"}
    state = torch.random.get_rng_state()
    first, *examples = blocks(TEXT)
    exec(compile(first, "docs/probes.md", "exec"), namespace)
    for example in examples:
        namespace.pop("report", None)
        exec(compile(example, "docs/probes.md", "exec"), namespace)
        assert namespace["report"].results, example
        assert capsys.readouterr().out.strip()
    torch.random.set_rng_state(state)

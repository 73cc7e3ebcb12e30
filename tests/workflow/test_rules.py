"""What the rules must not use, since Snakemake or DVC then goes wrong without a word."""

import re
from pathlib import Path

import pytest

FORBIDDEN = {
    r"\bdirectory\(": "puts a file with a time stamp into the folder that DVC hashes",
    r"\bcheckpoint\b": "DVC cannot know its outputs beforehand",
    r"\bprotected\(": "is read-only, and Snakemake then refuses to plan",
    r"\bdvc\b": "a dvc call inside a rule waits for the lock of the dvc that started Snakemake",
    r"params:(?s:(?!\n    \w).)*?lambda [^:]*\binput\b": "Snakemake does not track such a parameter (#3895)",
}
BAD = {
    r"\bdirectory\(": 'output: directory("x")',
    r"\bcheckpoint\b": "checkpoint x:",
    r"\bprotected\(": 'output: protected("x")',
    r"\bdvc\b": 'shell: "dvc repro"',
    r"params:(?s:(?!\n    \w).)*?lambda [^:]*\binput\b": "    params:\n        a=lambda wildcards, input: input[0],\n",
}


@pytest.mark.parametrize("pattern", FORBIDDEN)
def test_the_rules_do_without(repo_root: Path, pattern: str) -> None:
    assert re.search(pattern, BAD[pattern])
    texts = {path.name: path.read_text() for path in [repo_root / "Snakefile", *repo_root.glob("workflow/rules/*.smk")]}
    assert len(texts) > 5
    assert [name for name, text in texts.items() if re.search(pattern, text)] == [], FORBIDDEN[pattern]

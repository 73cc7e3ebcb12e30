"""The mutation study. Oracle: of a project that passes, one thing is made wrong; the table says what must notice."""

import re
from pathlib import Path

import pytest

from symbreak.audit.figures import audit_figures
from symbreak.audit.finding import Finding
from symbreak.audit.pinned import audit_pinned
from symbreak.audit.rerun import audit_rerun
from symbreak.errors import SymbreakError

from .forging import line_of, own_code
from .mutants import Mutant, kill_table
from .mutants_files import FILES
from .mutants_numbers import NUMBERS
from .mutants_rules import AMENDED, RULES
from .project import git, toys

MUTANTS = (*NUMBERS, *RULES, *FILES)


def failed(root: Path, mode: str) -> list[Finding]:
    """Audit; where the configuration cannot be read, its mistakes are what is found."""
    with own_code(root):
        try:
            findings = audited(root, mode)
        except SymbreakError as error:
            mistakes = re.findall(r"^ *(\w+\.yaml): (\S+): ", str(error), re.MULTILINE)
            return [Finding("configuration", file, key, "failed") for file, key in mistakes]
    return [finding for finding in findings if finding.state == "failed"]


def audited(root: Path, mode: str) -> list[Finding]:
    if mode == "--figures":
        with toys():
            return audit_figures(root)[0]
    return audit_pinned(root) if mode else audit_rerun(root)[0]


def committed(root: Path, how: str) -> None:
    if how != "none":
        git(root, "add", "--all")
        arguments = {"own": ("--allow-empty", "--message", "changed"), "rewritten": ("--amend", "--no-edit")}[how]
        git(root, "commit", "--quiet", *arguments)


@pytest.mark.parametrize("tree", ["whole", "clone"])
def test_without_a_mutation_nothing_fails(tree: str, request: pytest.FixtureRequest) -> None:
    root = request.getfixturevalue(tree)
    assert failed(root, "--pinned") == []
    line_of("symbreak.probes.accuracy", "import numpy as np\n", "# a comment\nimport numpy as np\n")(root)
    committed(root, "own")
    assert failed(root, "--pinned") == []


def test_without_a_mutation_all_is_made_again(whole: Path) -> None:
    assert failed(whole, "--figures") == []


def test_what_is_recorded_again_by_an_amended_rule_fails_nothing(whole: Path) -> None:
    AMENDED(whole)
    committed(whole, "own")
    assert failed(whole, "--pinned") == []


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: re.sub(r"\W+", "-", m.name))
def test_exactly_the_named_checks_fail(mutant: Mutant, request: pytest.FixtureRequest) -> None:
    root = request.getfixturevalue("clone" if mutant.tree == "clone" else "whole")
    mutant.apply(root)
    committed(root, mutant.commit)
    found = failed(root, mutant.mode)
    assert {(f.check, f.file) for f in found} == mutant.killers, found
    if mutant.check:
        assert (mutant.check, mutant.file, mutant.key) in {(f.check, f.file, f.key) for f in found}, found


def test_the_committed_kill_table_is_that_of_the_mutants(repo_root: Path) -> None:
    assert (repo_root / "docs/mutants.md").read_text() == kill_table(MUTANTS)


def test_the_study_is_as_large_as_it_says() -> None:
    names = [mutant.name for mutant in MUTANTS]
    assert len(names) == len(set(names)) >= 40
    assert all(bool(mutant.check) != bool(mutant.reason) for mutant in MUTANTS)
    assert len([m for m in MUTANTS if m.check]) >= 40

"""``symbreak audit --codecheck``. Oracle: what the specification says must and should be there, read off it by hand.

https://codecheck.org.uk/spec/config/1.0/ and, for placeholders and certificates, CODECHECK's validation rules
(github.com/codecheckers/register, rules-1.0.yml).
"""

import re
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from symbreak.cli import app

from .test_rerun import CLAIM, OTHER, edit

CITATION = {
    "cff-version": "1.2.0",
    "title": "A project: with a colon",
    "authors": [{"given-names": "Ada", "family-names": "Müller"}, {"name": "An institute"}],
}
LEFT_OPEN = {"codechecker[0].name", "codechecker[0].ORCID", "report", "certificate"}


def violations(text: str) -> list[str]:
    """Return what of the specification a file breaks: all that it says MUST, and SHOULD of version and paper."""
    content = yaml.safe_load(text)
    files = [item.get("file", "") for item in content.get("manifest", [])]
    checkers = content.get("codechecker")
    paper = content.get("paper", {})
    rules = {
        "an explicit document": re.match(r"(%YAML 1\.[12]\n)?---\n", text) is not None,
        "version is the specification's URL": content.get("version") == "https://codecheck.org.uk/spec/config/1.0/",
        "manifest is a list of files": bool(files) and all(isinstance(file, str) and file for file in files),
        "paths are relative to the file": not any(file.startswith(("/", "..")) or ".." in file for file in files),
        "comments are texts": all(isinstance(item.get("comment", ""), str) for item in content.get("manifest", [])),
        "codechecker is a list with names": bool(checkers) and all(isinstance(c.get("name"), str) for c in checkers),
        "report is an identifier": isinstance(content.get("report"), str),
        "paper.title": isinstance(paper.get("title"), str),
        "paper.authors have names": bool(paper.get("authors")) and all(a.get("name") for a in paper["authors"]),
        "paper.reference is a text": isinstance(paper.get("reference", ""), str),
        "summary is a text": isinstance(content.get("summary", ""), str),
    }
    return [rule for rule, kept in rules.items() if not kept]


def leaves(value: Any, key: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {k: v for name, item in value.items() for k, v in leaves(item, f"{key}.{name}".strip(".")).items()}
    if isinstance(value, list):
        return {k: v for i, item in enumerate(value) for k, v in leaves(item, f"{key}[{i}]").items()}
    return {key: value}


@pytest.fixture
def project(whole: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (whole / "CITATION.cff").write_text(yaml.safe_dump(CITATION))
    monkeypatch.chdir(whole)
    return whole


def exported(project: Path, *arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["audit", *arguments, "--codecheck", "codecheck.yml"])
    assert done.exit_code == code, done.output
    return (project / "codecheck.yml").read_text(encoding="utf-8")


def test_a_working_tree_is_exported_in_the_form_of_the_specification(project: Path) -> None:
    text = exported(project)
    assert violations(text) == []
    content = yaml.safe_load(text)
    assert [item["file"] for item in content["manifest"]] == [OTHER, CLAIM]
    assert all((project / item["file"]).is_file() for item in content["manifest"])
    assert content["manifest"][0]["comment"].startswith("verdict supported, pinned supported; 0 failed, 0 not checked")
    assert content["paper"] == {
        "title": CITATION["title"],
        "authors": [{"name": "Ada Müller"}, {"name": "An institute"}],
        "reference": "claims of: r",
    }
    assert content["symbreak"]["sources"] == {"ssb-random-labels": "sec. 4", "ssb-goldstone": "sec. 4"}


def test_the_oracle_sees_what_is_missing(project: Path) -> None:
    text = exported(project)
    content = yaml.safe_load(text)
    assert violations(text.split("---\n", 1)[1]) == ["an explicit document"]
    for key, rule in (("manifest", "manifest is a list"), ("codechecker", "codechecker is"), ("report", "report is")):
        without = yaml.safe_dump({k: v for k, v in content.items() if k != key}, explicit_start=True)
        assert [broken.startswith(rule) for broken in violations(without)] == [True]


def test_only_what_a_person_must_give_is_left_open(project: Path) -> None:
    found = leaves(yaml.safe_load(exported(project)))
    assert {key for key, value in found.items() if "FIXME" in str(value)} == LEFT_OPEN


def test_failures_are_in_the_manifest_and_in_the_summary(project: Path) -> None:
    edit(project, CLAIM, "verdict", to="refuted")
    content = yaml.safe_load(exported(project, code=1))
    assert content["manifest"][1]["comment"].startswith("verdict refuted, pinned supported; 1 failed")
    assert f"failed: verdict: {CLAIM}: verdict: expected supported, found refuted" in content["summary"]


def test_of_the_pins_only_result_files_are_in_the_manifest(project: Path) -> None:
    files = [PurePosixPath(item["file"]).parts[0] for item in yaml.safe_load(exported(project, "--pinned"))["manifest"]]
    assert set(files) == {"results", "figures", "docs"}


@pytest.mark.parametrize(
    ("target", "why"),
    [("check.yml", "calls this file codecheck.yml"), ("docs/codecheck.yml", "relative to its folder")],
)
def test_another_name_or_folder_is_refused(project: Path, target: str, why: str) -> None:
    done = CliRunner().invoke(app, ["audit", "--codecheck", target])
    assert done.exit_code == 2
    assert why in done.output
    assert not (project / target).exists()


def test_a_file_that_is_there_is_not_overwritten(project: Path) -> None:
    (project / "codecheck.yml").write_text("a codechecker's words")
    done = CliRunner().invoke(app, ["audit", "--codecheck", "codecheck.yml"])
    assert done.exit_code == 2
    assert (project / "codecheck.yml").read_text() == "a codechecker's words"


def test_a_citation_without_an_author_is_refused(project: Path) -> None:
    (project / "CITATION.cff").write_text("title: T\n")
    done = CliRunner().invoke(app, ["audit", "--codecheck", "codecheck.yml"])
    assert done.exit_code == 2
    assert "at least one author" in done.output

"""Rules against git. Oracle: an entry of 2020, a run of now; then rule, entry, commit or date is changed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from symbreak.audit.pinned import audit_pinned

from .mutations import PIN, failed, load, mutate, save
from .project import commit, git, write_yaml


def rewrite(root: Path, change: Callable[[Any], None]) -> None:
    claims = yaml.safe_load((root / "claims.yaml").read_text())
    change(claims)
    write_yaml(root / "claims.yaml", claims)


def loosen(claims: Any) -> None:
    claims["claims"]["ssb-random-labels"]["parts"]["near"]["rule"]["within"] = 0.025


def test_a_loosened_rule_is_named_before_and_after_its_commit(clone: Path) -> None:
    rewrite(clone, loosen)
    found = failed(clone)
    rule = found["recomputed", PIN, "claim_file.parts.near.rule.within"]
    assert (rule.expected, rule.found) == (0.025, 0.02)
    assert ("committed", "claims.yaml", "claims.ssb-random-labels") in found
    commit(clone, "a rule that fits better")
    found = failed(clone)
    assert ("committed", "claims.yaml", "claims.ssb-random-labels") not in found
    assert {("registered", PIN, key) for key in ("claim_file.entry_sha256", "registered.sha256")} <= set(found)


def judged_again(root: Path, amended: bool) -> None:
    """The rule changed after the run, and the pin made to say that it was registered so."""

    def change(claims: Any) -> None:
        if amended:
            old = {"equals": 0.97, "within": 0.02}
            amendment = {"reason": "the band was a slip", "part": "near", "old_rule": old}
            claims["claims"]["ssb-random-labels"]["amended"] = [amendment]
        loosen(claims)

    rewrite(root, change)
    commit(root, "amended")
    line = git(root, "log", "-1", "--format=%H %cI").strip().split(" ")
    content = load(root)
    content["registered"] |= {"commit": line[0], "date": line[1]}
    content["first_job_ended"] = "2021-01-01T00:00:00+00:00"
    save(root, content)


def test_a_rule_written_after_the_run_is_found_in_git(clone: Path) -> None:
    judged_again(clone, amended=False)
    finding = failed(clone)["rule before run", "claims.yaml", "claims.ssb-random-labels.parts.near"]
    assert finding.found == "no amendment with its old rule"


def test_an_amendment_with_the_old_rule_is_listed_and_passes(clone: Path) -> None:
    judged_again(clone, amended=True)
    findings = audit_pinned(clone)
    assert not [f for f in findings if f.state == "failed" and f.check == "rule before run"]
    listed = [f for f in findings if f.check == "amendment"]
    assert [f.reason for f in listed] == ["part 'near': the band was a slip"]


def test_a_run_that_ended_before_there_was_any_entry_is_a_failure(clone: Path) -> None:
    mutate(clone, ["first_job_ended"], "2019-01-01T00:00:00+00:00")
    assert failed(clone)["rule before run", PIN, "registered.date"].reason == "no entry before the run"


def test_a_pin_that_never_said_when_it_ran_is_not_passed(clone: Path) -> None:
    mutate(clone, ["first_job_ended"], None)
    git(clone, "commit", "--quiet", "--all", "--amend", "--no-edit")
    states = {f.state for f in audit_pinned(clone) if f.check == "rule before run" and f.file == PIN}
    assert states == {"not checked"}


@pytest.mark.parametrize(
    ("key", "new"), [("commit", "0" * 40), ("date", "2020-01-02T00:00:00+00:00"), ("sha256", "0" * 64)]
)
def test_a_registration_that_git_does_not_know(clone: Path, key: str, new: str) -> None:
    old = mutate(clone, ["registered", key], new)
    finding = failed(clone)["registered", PIN, f"registered.{key}"]
    assert finding.found == new
    assert finding.expected in (old, "a commit of this repository")


def test_the_commit_must_hold_the_entry_and_lead_to_head(clone: Path) -> None:
    head = git(clone, "rev-parse", "HEAD").strip()
    git(clone, "checkout", "--quiet", "--detach")
    rewrite(clone, loosen)
    commit(clone, "aside", "2020-01-01T00:00:00+00:00")
    aside = git(clone, "rev-parse", "HEAD").strip()
    git(clone, "checkout", "--quiet", head)
    mutate(clone, ["registered", "commit"], aside)
    found = failed(clone)
    assert found["registered", PIN, "registered.commit"].expected == "an ancestor of HEAD"
    assert ("registered", PIN, "registered.sha256") in found


def test_without_history_registration_is_not_checked(template: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{template}", "shallow")
    findings = [f for f in audit_pinned(tmp_path / "shallow") if f.check in ("registered", "rule before run")]
    assert {f.state for f in findings if f.key == "registered"} == {"not checked"}
    git(tmp_path, "clone", "--quiet", str(template), "exported")
    (tmp_path / "exported/.git").rename(tmp_path / "gone")
    findings = audit_pinned(tmp_path / "exported")
    assert {f.state for f in findings if f.check in ("registered", "committed")} == {"not checked"}
    assert not [f for f in findings if f.state == "failed"]

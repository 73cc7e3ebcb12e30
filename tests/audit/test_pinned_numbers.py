"""Derived numbers and the shape of pins. Oracle: right pins; then one value is changed and must be named, alone."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from symbreak.audit.history import History
from symbreak.audit.numbers import RELATIVE, numbers
from symbreak.audit.pin import read, text
from symbreak.audit.pinned import audit_pinned
from symbreak.audit.project import Project
from symbreak.plan import Plan

from .mutations import OTHER, PIN, at, failed, load, mutate, save
from .project import commit


def derived(content: Any, steps: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(content, dict):
        for key, value in content.items():
            if key not in ("units", "diverged"):
                yield from derived(value, (*steps, key))
    else:
        yield steps


def changed(value: Any) -> Any:
    """The least that a hand would change: one digit far behind the point, a count, a letter, a flag."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, float):
        return value * (1 + 1e-9) if value else 1e-9
    if isinstance(value, int):
        return value + 1
    return "another" if value is None else value + "."


def test_each_derived_value_changed_is_named_with_both_values(clone: Path) -> None:
    project = Project(clone, Plan.load(clone), History(clone))
    for name in (PIN, OTHER):
        pin, _ = read(clone, clone / name)
        assert pin is not None
        steps = list(derived(pin.content["claim_file"]))
        assert len(steps) > 40
        for path in steps:
            parent = at(pin.content["claim_file"], list(path[:-1]))
            old = parent[path[-1]]
            parent[path[-1]] = changed(old)
            key = ".".join(["claim_file", *map(str, path)])
            found = {f.key: f for f in numbers(project, pin) if f.state == "failed"}
            assert found[key].expected == (pytest.approx(old, rel=RELATIVE) if isinstance(old, float) else old), key
            assert found[key].found == changed(old)
            assert set(found) == {key}
            parent[path[-1]] = old


def test_a_last_digit_that_another_processor_may_round_otherwise_is_no_failure(clone: Path) -> None:
    project = Project(clone, Plan.load(clone), History(clone))
    pin, _ = read(clone, clone / PIN)
    assert pin is not None
    part = pin.content["claim_file"]["parts"]["near"]
    assert part["low"] is not None
    part["low"] *= 1 + 4e-16
    low = next(f for f in numbers(project, pin) if f.key == "claim_file.parts.near.low")
    assert low.state == "passed"
    assert low.margin is not None
    assert 0.99 < low.margin < 1


def test_a_changed_digit_is_red_in_its_numbers_its_hash_and_git(clone: Path) -> None:
    steps: list[str | int] = ["claim_file", "parts", "fit", "low"]
    old = mutate(clone, steps, 0.95)
    found = failed(clone)
    for check in ("recomputed", "committed"):
        finding = found[check, PIN, "claim_file.parts.fit.low"]
        assert (finding.expected, finding.found) == (old, 0.95)
    assert ("claim bytes", PIN, "claim_file") in found
    assert ("dvc.lock", "dvc.lock", "outs[results/desk/claims/ssb-random-labels.json].md5") in found


def test_a_number_per_unit_is_caught_by_hash_and_by_git(clone: Path) -> None:
    """With counts too, so that the unit is consistent, and committed, so that only hashes are left."""
    unit: list[str | int] = ["claim_file", "parts", "fit", "units", 2]
    old = mutate(clone, [*unit, "value"], 0.9718)
    mutate(clone, [*unit, "count"], 9718)
    finding = failed(clone)["committed", PIN, "claim_file.parts.fit.units[2].value"]
    assert (finding.expected, finding.found) == (old, 0.9718)
    commit(clone, "a better number")
    found = failed(clone)
    assert not any(check == "committed" for check, _, _ in found)
    assert ("claim bytes", PIN, "claim_file") in found
    assert ("recomputed", PIN, "claim_file.parts.fit.estimate") in found


def test_a_number_per_unit_made_consistent_everywhere_in_the_pin_still_differs_from_lock_and_history(
    clone: Path,
) -> None:
    content = load(clone, OTHER)
    content["claim_file"]["parts"]["zero"]["units"][0]["value"] = 0.002
    content["claim_file"]["parts"]["zero"]["estimate"] = (0.002 + 0.0029) / 2
    content["claim_file"]["parts"]["zero"]["low"] = 0.002 - 0.0001
    digest = hashlib.sha256(text(content["claim_file"]).encode()).hexdigest()
    content["manifest"]["outputs"]["ssb-goldstone.json"] = digest
    save(clone, content, OTHER)
    commit(clone, "a forged pin")
    outs = [f"outs[results/desk/claims/ssb-goldstone{suffix}].md5" for suffix in (".json", ".manifest.json")]
    earlier = {("earlier pin", OTHER, "claim_file.parts.zero.units[0].value")}
    assert set(failed(clone)) == earlier | {("dvc.lock", "dvc.lock", key) for key in outs}


def test_a_unit_that_contradicts_its_counts_is_refused(clone: Path) -> None:
    mutate(clone, ["claim_file", "parts", "fit", "units", 0, "value"], 0.99)
    assert "is not count/trials" in failed(clone)["recomputed", PIN, "claim_file.parts"].found


def test_a_verdict_is_recomputed(clone: Path) -> None:
    assert mutate(clone, ["claim_file", "verdict"], "refuted") == "supported"
    finding = failed(clone)["recomputed", PIN, "claim_file.verdict"]
    assert (finding.expected, finding.found) == ("supported", "refuted")


@pytest.mark.parametrize(
    ("steps", "new", "key"),
    [
        (["claim_file", "parts", "fit", "rule", "at_least"], "0.9", "claim_file.parts.fit.rule.at_least"),
        (["claim_file", "n"], 5.5, "claim_file.n"),
        (["claim_file", "parts", "fit", "note"], "x", "claim_file.parts.fit.note"),
        (["manifest", "seed"], 1, "manifest.seed"),
        (["registered", "commit"], "HEAD", "registered.commit"),
        (["first_job_ended"], "yesterday", "first_job_ended"),
        (["first_job_ended"], "2026-11-22T07:38:18", "first_job_ended"),
    ],
)
def test_a_wrong_type_or_an_unknown_key_is_named(clone: Path, steps: list[str | int], new: Any, key: str) -> None:
    content = load(clone)
    at(content, steps[:-1])[steps[-1]] = new
    save(clone, content)
    assert failed(clone)["shape", PIN, key].found == new


def test_a_missing_key_is_named_and_what_cannot_be_read_is_not_passed(clone: Path) -> None:
    content = load(clone)
    del content["claim_file"]["parts"]["fit"]["control"]
    save(clone, content)
    assert ("shape", PIN, "claim_file.parts.fit.control") in failed(clone)
    unchecked = {(f.check, f.file) for f in audit_pinned(clone) if f.state == "not checked"}
    assert {("recomputed", PIN), ("quoted", "README.md")} <= unchecked


def test_a_key_given_twice_is_seen(clone: Path) -> None:
    path = clone / PIN
    path.write_text(path.read_text().replace('  "claim_file": {', '  "claim_file": {},\n  "claim_file": {', 1))
    assert failed(clone)["shape", PIN, ""].expected == "the format that record writes"


@pytest.mark.parametrize("content", [b"{", b"\xff", b'{"n": NaN}', b'{"n": 1e999}'])
def test_a_file_that_is_not_json_is_named(clone: Path, content: bytes) -> None:
    (clone / PIN).write_bytes(content)
    assert failed(clone)["shape", PIN, ""].expected == "JSON"


def test_a_part_that_decides_and_is_not_there_is_named_everywhere(clone: Path) -> None:
    mutate(clone, ["claim_file", "deciding"], "nothing")
    found = failed(clone)
    assert found["recomputed", PIN, "claim_file.deciding"].found == "nothing"
    assert found["quoted", "README.md", ""].found == "'nothing'"

"""Hashes, manifests, lock, orphans, quotations. Oracle: right pins; then one of them is changed and must be named."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from symbreak.audit.pinned import audit_pinned
from symbreak.audit.yaml_text import parse

from .mutations import OTHER, PIN, failed, load, mutate, save
from .project import commit, git, write_yaml


@pytest.mark.parametrize(
    ("steps", "new", "check", "key"),
    [
        (["manifest", "tainted"], True, "manifest", "manifest.tainted"),
        (["manifest", "command"], [], "parameters", "manifest.command[--params]"),
        (
            ["runs", "results/desk/runs/toy/true.safetensors", "inputs", "data", "path"],
            "data/dogs.npz",
            "data sources",
            "runs[results/desk/runs/toy/true.safetensors].inputs.data.path",
        ),
        (["manifest", "code", "start"], "0" * 16, "manifest", "manifest.code.start"),
        (["manifest", "outputs", "ssb-random-labels.json"], "0" * 64, "claim bytes", "claim_file"),
        (
            ["tables", "results/desk/probes/toy/true/accuracy.parquet", "accuracy.parquet"],
            "0" * 64,
            "manifest",
            "manifest.inputs.results/desk/probes/toy/true/accuracy.parquet",
        ),
        (
            ["runs", "results/desk/runs/toy/true.safetensors", "params", "seeds", 0],
            7,
            "parameters",
            "runs[results/desk/runs/toy/true.safetensors].params.seeds[0]",
        ),
        (
            ["runs", "results/desk/runs/toy/true.safetensors", "code"],
            "0" * 16,
            "code",
            "runs[results/desk/runs/toy/true.safetensors].code",
        ),
        (
            ["runs", "results/desk/runs/toy/true.safetensors", "diverged"],
            [{"seed": 1001, "step": 3}],
            "diverged",
            "runs[results/desk/runs/toy/true.safetensors].diverged",
        ),
        (
            ["runs", "results/desk/runs/toy/true.safetensors", "inputs", "data", "sources", "test_batch.bin", "sha256"],
            "0" * 64,
            "data sources",
            "runs[results/desk/runs/toy/true.safetensors].inputs.data.sources.test_batch.bin",
        ),
    ],
)
def test_what_a_manifest_says_is_checked(clone: Path, steps: list[str | int], new: Any, check: str, key: str) -> None:
    mutate(clone, steps, new)
    commit(clone, "forged")
    assert (check, PIN, key) in failed(clone)


def test_versions_device_and_threads_of_the_claim_are_held_by_dvcs_lock(clone: Path) -> None:
    mutate(clone, ["manifest", "versions", "numpy"], "1.0")
    commit(clone, "forged")
    key = "outs[results/desk/claims/ssb-random-labels.manifest.json].md5"
    assert ("dvc.lock", "dvc.lock", key) in failed(clone)


def test_yaml_is_read_as_dvc_reads_it() -> None:
    numbers = "[1e-05, 1.0e-05, 2E+3, -.5e1, 1, 0.5]"
    assert parse(numbers) == [1e-05, 1e-05, 2000.0, -5.0, 1, 0.5]
    assert [type(value) for value in parse(numbers)] == [float] * 4 + [int, float]
    assert parse("[e5, 1e, 0x1e5, 12e3.4, 7098e21212c59e167b92a6c60ef79cc4]")[3:] == [
        "12e3.4",
        "7098e21212c59e167b92a6c60ef79cc4",
    ]


def test_a_changed_learning_rate_makes_exactly_its_pins_stale(clone: Path) -> None:
    params = yaml.safe_load((clone / "params.yaml").read_text())
    params["experiments"]["toy"]["base"]["training"]["optimiser"]["lr"] = 0.2
    write_yaml(clone / "params.yaml", params)
    found = failed(clone)
    finding = found["parameters", PIN, "runs[results/desk/runs/toy/true.safetensors].params.training.optimiser.lr"]
    assert (finding.expected, finding.found) == (0.2, 0.1)
    locked = {key for check, _, key in found if check == "dvc.lock"}
    assert "stages.run@toy.params.params.yaml.experiments.toy.base.training.optimiser.lr" in locked
    assert not any("exact" in key or "goldstone" in key for key in locked)
    assert not any(file == OTHER for _, file, _ in found)


def test_artifacts_in_the_working_tree_are_hashed(whole: Path) -> None:
    changed_files = (
        "results/desk/probes/toy/true/accuracy.parquet",
        "results/desk/runs/toy/random.steps.parquet",
        "figures/desk/ssb-goldstone.svg",
        "results/desk/claims/ssb-goldstone.json",
        "results/desk/claims/ssb-goldstone.manifest.json",
    )
    for name in changed_files:
        (whole / name).write_bytes((whole / name).read_bytes() + b" ")
    found = failed(whole)
    assert {file for check, file, _ in found if check == "artifact"} == set(changed_files)
    assert {file for check, file, key in found if check == "dvc.lock" and key == "md5"} == set(changed_files)


@pytest.mark.parametrize(("suffix", "key"), [("manifest", "manifest"), ("run", "run file")])
@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_damaged_manifest_or_run_file_of_a_run_is_named(whole: Path, suffix: str, key: str, content: str) -> None:
    (whole / f"results/desk/runs/toy/true.{suffix}.json").write_text(content)
    found = {(file, key) for check, file, key in failed(whole) if check == "artifact"}
    run = "results/desk/runs/toy/true.safetensors"
    if (suffix, content) == ("manifest", "{}"):
        assert (PIN, f"runs[{run}].code") in found
    else:
        assert found == {(run, key)}


@pytest.mark.parametrize("family", ["runs", "probes"])
def test_a_damaged_listing_of_dvc_is_seen(whole: Path, family: str) -> None:
    stage = {"runs": "run@toy", "probes": "probe@toy"}[family]
    out = yaml.safe_load((whole / "dvc.lock").read_text())["stages"][stage]["outs"][0]
    listing = whole / ".dvc/cache/files/md5" / out["md5"][:2] / out["md5"][2:]
    listing.write_text(listing.read_text().replace("true", "else"))
    assert ("dvc.lock", listing.relative_to(whole).as_posix(), "md5") in failed(whole)


def test_an_edited_lock_is_named(clone: Path) -> None:
    lock = yaml.safe_load((clone / "dvc.lock").read_text())
    claim, probes = lock["stages"]["claim@ssb-goldstone"], lock["stages"]["probe@exact"]
    claim["outs"][0]["md5"] = "0" * 32
    probes["params"]["code.yaml"]["probe.exact"] = "0" * 16
    probes["outs"][0]["nfiles"] = 1
    del lock["stages"]["figure@ssb-goldstone"]
    lock["stages"]["claim@ssb-none"] = claim
    write_yaml(clone / "dvc.lock", lock)
    keys = {key for check, _, key in failed(clone) if check == "dvc.lock"}
    assert {
        "outs[results/desk/claims/ssb-goldstone.json].md5",
        "stages.probe@exact.params.code.yaml.probe.exact",
        "outs[results/desk/probes/exact].nfiles",
        "stages.figure@ssb-goldstone",
        "stages.claim@ssb-none",
    } <= keys


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "missing"), ("[", "not the lock"), ("stages: {a: {outs: 1}}", "not the lock"), ("", "not")],
)
def test_without_a_readable_lock_the_audit_is_red(clone: Path, content: str | None, said: str) -> None:
    (clone / "dvc.lock").unlink()
    if content is not None:
        (clone / "dvc.lock").write_text(content)
    assert said in failed(clone)["dvc.lock", "dvc.lock", "stages"].found


def test_a_pin_without_a_claim_and_a_pin_that_was_removed(clone: Path) -> None:
    (clone / OTHER).rename(clone / "results/pinned/desk/ssb-other.json")
    found = failed(clone)
    assert ("orphan", "results/pinned/desk/ssb-other.json", "") in found
    assert "was pinned once" in found["orphan", OTHER, ""].reason


def test_a_claim_that_was_never_pinned_is_not_passed(clone: Path) -> None:
    git(clone, "rm", "--quiet", OTHER)
    git(clone, "commit", "--quiet", "--amend", "--message", "pinned but one")
    unchecked = {f.file for f in audit_pinned(clone) if f.check == "orphan" and f.state == "not checked"}
    assert unchecked == {OTHER}


def test_a_run_and_a_table_that_the_plan_does_not_make_and_the_reverse(clone: Path) -> None:
    content = load(clone)
    content["runs"]["results/desk/runs/toy/extra.safetensors"] = content["runs"].pop(
        "results/desk/runs/toy/true.safetensors"
    )
    del content["tables"]["results/desk/probes/toy/true/accuracy.parquet"]
    save(clone, content)
    keys = {key for check, file, key in failed(clone) if check == "orphan" and file == PIN}
    assert keys == {
        "runs[results/desk/runs/toy/extra.safetensors]",
        "runs[results/desk/runs/toy/true.safetensors]",
        "tables[results/desk/probes/toy/true/accuracy.parquet]",
    }


def test_shown_figures_are_the_pinned_ones(clone: Path) -> None:
    (clone / "docs/figures/ssb-goldstone.png").write_bytes(b"another")
    (clone / "docs/figures/stray.png").write_bytes(b"stray")
    found = {file for check, file, _ in failed(clone) if check == "shown figure"}
    assert found == {"docs/figures/ssb-goldstone.png", "docs/figures/stray.png"}


def test_a_number_in_the_readme_is_named_by_its_claim(clone: Path) -> None:
    path = clone / "README.md"
    path.write_text(path.read_text().replace("| supported |", "| refuted |", 1))
    finding = failed(clone)["quoted", "README.md", "ssb-random-labels"]
    assert "| supported |" in finding.expected
    assert "| refuted |" in finding.found


def test_two_pins_that_name_one_file_must_agree(clone: Path) -> None:
    content = load(clone, OTHER)
    run = load(clone)["runs"]["results/desk/runs/toy/true.safetensors"]
    run["inputs"]["data"]["sha256"] = "0" * 64
    content["runs"]["results/desk/runs/toy/true.safetensors"] = run
    save(clone, content, OTHER)
    assert ("artifact", PIN, "sha256 of data/cifar10.npz") in failed(clone)

"""Pinning: record's duties, and that DVC agrees with Snakemake."""

import json
import os

import pytest
import yaml

from .conftest import Workspace


def record(workspace: Workspace) -> str:
    done = workspace.call("symbreak", "record", check=False)
    return f"{done.returncode} {done.stdout}{done.stderr}"


def test_record_then_dvc_has_nothing_to_do(mini: Workspace) -> None:
    assert record(mini).startswith("0 ")
    assert "up to date" in mini.call("dvc", "status").stdout
    mini.commit("pinned")
    output = mini.call("dvc", "repro").stdout
    assert "Running stage" not in output
    assert mini.planned("figures/all") == set()


def test_the_pin_holds_the_claim_file_and_the_commit_of_its_entry(mini: Workspace) -> None:
    record(mini)
    pin = json.loads((mini.root / "results/pinned/desk/gaussnet-mnist.json").read_text())
    computed = json.loads((mini.root / "results/desk/claims/gaussnet-mnist.json").read_text())
    assert pin["claim_file"] == computed
    head = mini.call("git", "log", "--format=%H", "--", "claims.yaml").stdout.split()[-1]
    assert pin["registered"]["commit"] == head
    assert set(pin["runs"]) == {
        f"results/desk/runs/gaussnet_mnist/{arm}.safetensors"
        for arm in mini.yaml("params.yaml")["experiments"]["gaussnet_mnist"]["arms"]
    }


def test_record_refuses_while_snakemake_has_jobs(mini: Workspace) -> None:
    (mini.root / "results/desk/claims/ssb-goldstone.json").unlink()
    assert "still has jobs to run" in record(mini)
    assert not (mini.root / "dvc.lock").exists()


def test_record_refuses_what_is_tainted(mini: Workspace) -> None:
    path = mini.root / "results/desk/claims/ssb-goldstone.manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tainted": True}))
    assert "the source of results/desk/claims/ssb-goldstone.json changed while it was made" in record(mini)
    assert not (mini.root / "dvc.lock").exists()


def test_record_refuses_a_file_that_is_not_what_its_manifest_says(mini: Workspace) -> None:
    path = mini.root / "results/desk/claims/ssb-goldstone.json"
    times = path.stat()
    path.write_text(path.read_text().replace('"verdict": "supported"', '"verdict": "refuted"', 1))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert "not the content that its manifest has: ssb-goldstone.json" in record(mini)
    assert not (mini.root / "dvc.lock").exists()


def test_record_refuses_stale_results_though_snakemake_was_told_otherwise(mini: Workspace) -> None:
    path = mini.root / "src/symbreak/probes/accuracy.py"
    path.write_text(path.read_text() + "\nUNUSED = 1\n")
    mini.call("python", "-m", "symbreak.provenance.dvcfile")
    mini.commit("another probe")
    mini.snakemake("--touch", "--forceall", "figures/all")
    assert "code changed since" in record(mini)
    assert not (mini.root / "dvc.lock").exists()


def test_record_refuses_source_that_is_not_committed(mini: Workspace) -> None:
    path = mini.root / "src/symbreak/seeding.py"
    path.write_text(path.read_text() + "\n# a comment\n")
    assert "these are not committed:\n   M src/symbreak/seeding.py" in record(mini)


def test_record_refuses_a_rule_written_after_the_run(mini: Workspace) -> None:
    claims = mini.yaml("claims.yaml")
    claims["claims"]["gaussnet-mnist"]["parts"]["width_100"]["rule"]["within"] = 0.9
    (mini.root / "claims.yaml").write_text(yaml.safe_dump(claims, sort_keys=False))
    mini.commit("a kinder rule")
    mini.snakemake("figures/all")
    assert "gaussnet-mnist: entry of" in record(mini)
    amendment = {"reason": "a test", "part": "width_100", "old_rule": {"equals": 0.9725, "within": 0.0075}}
    claims["claims"]["gaussnet-mnist"]["amended"] = [amendment]
    (mini.root / "claims.yaml").write_text(yaml.safe_dump(claims, sort_keys=False))
    mini.commit("a kinder rule, owned up to")
    mini.snakemake("figures/all")
    assert record(mini).startswith("0 ")


def test_record_refuses_an_entry_that_is_not_committed(mini: Workspace) -> None:
    claims = mini.yaml("claims.yaml")
    claims["claims"]["ssb-goldstone"]["statement"] += " Indeed."
    (mini.root / "claims.yaml").write_text(yaml.safe_dump(claims, sort_keys=False))
    mini.snakemake("figures/all")
    assert "entry 'ssb-goldstone' is not committed" in record(mini)
    assert not (mini.root / "dvc.lock").exists()


def test_record_refuses_a_dvc_file_older_than_its_sources(mini: Workspace) -> None:
    mini.edit("dvc.yaml", "snakemake --cores all", "snakemake --cores 1")
    assert "dvc.yaml is older than its sources" in record(mini)


@pytest.mark.parametrize("target", ["figures/all", "results/desk/claims/gaussnet-mnist.json"])
def test_a_fresh_clone_really_trains(mini: Workspace, target: str) -> None:
    record(mini)
    mini.commit("pinned")
    clone = mini.root.parent / "clone"
    mini.call("git", "clone", "--quiet", str(mini.root), str(clone))
    assert any(job.startswith("run ") for job in Workspace(clone, mini.mirror).planned(target))


def test_dvc_repro_of_an_exact_claim_trains_nothing_and_agrees_with_snakemake(mini: Workspace) -> None:
    record(mini)
    mini.commit("pinned")
    clone = Workspace(mini.root.parent / "clone", mini.mirror)
    mini.call("git", "clone", "--quiet", str(mini.root), str(clone.root))
    clone.call("dvc", "repro", "claim@ssb-goldstone")
    name = "results/desk/claims/ssb-goldstone.json"
    assert (clone.root / name).read_bytes() == (mini.root / name).read_bytes()
    assert not (clone.root / "results/desk/runs").exists()
    assert not (clone.root / "data").exists()
    assert clone.call("git", "status", "--porcelain").stdout == ""


def test_status_names_what_changed(mini: Workspace) -> None:
    def freshness() -> dict[str, tuple[str, str]]:
        rows = json.loads(mini.call("symbreak", "status", "--json").stdout)
        return {row["id"]: (row["freshness"], row["reason"]) for row in rows}

    assert {state for state, _ in freshness().values()} == {"fresh"}
    params = mini.yaml("params.yaml")
    params["experiments"]["gaussnet_mnist"]["base"]["training"]["optimiser"]["lr"] = 0.5
    (mini.root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    after = freshness()
    assert after["ssb-goldstone"][0] == "fresh"
    assert after["gaussnet-mnist"][0] == "stale"
    assert "training.optimiser.lr" in after["gaussnet-mnist"][1]

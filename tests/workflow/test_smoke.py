"""The whole pipeline on real data, small, and what makes Snakemake run which part of it again."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from symbreak.files import sha256
from symbreak.plan import Plan

from .conftest import Workspace

SMOKE = ("--config", "scale=smoke")


def dependants(plan: Plan, experiment: str) -> set[str]:
    """Every job that depends on an experiment's training, and the target itself."""
    arms = plan.arms[experiment]
    claims = [name for name, claim in plan.claims.items() if claim.experiment == experiment]
    jobs = {f"run experiment={experiment}, arm={arm}" for arm in arms}
    jobs |= {
        f"probe experiment={experiment}, arm={arm}, probe={probe}"
        for arm, spec in arms.items()
        for probe in spec.probes
    }
    jobs |= {f"{rule} claim={claim}" for claim in claims for rule in ("claim", "figure")}
    return jobs | {"figures/all"}


def test_every_stage_leaves_its_artifact_and_manifest(smoke: Workspace) -> None:
    for step in Plan.load(smoke.root, "smoke").steps():
        artifact = smoke.root / step.path
        manifest = json.loads((artifact.parent / f"{artifact.stem}.manifest.json").read_text())
        assert manifest["outputs"][artifact.name] == sha256(artifact)
        assert manifest["tainted"] is False
        assert manifest["code"]["start"] == manifest["code"]["end"] == step.code


def test_every_claim_has_a_verdict_and_pictures(smoke: Workspace) -> None:
    for claim in Plan.load(smoke.root, "smoke").claims:
        content = json.loads((smoke.root / f"results/smoke/claims/{claim}.json").read_text())
        assert content["verdict"] in {"supported", "refuted", "inconclusive", "inconclusive (control)"}
        for suffix in ("svg", "png"):
            assert (smoke.root / f"figures/smoke/{claim}.{suffix}").stat().st_size > 5000


def test_a_second_run_has_nothing_to_do(smoke: Workspace) -> None:
    assert smoke.planned("figures/all", *SMOKE) == set()


def test_status_calls_every_claim_fresh(smoke: Workspace) -> None:
    rows = json.loads(smoke.call("symbreak", "status", "--json", "--scale", "smoke").stdout)
    assert {row["id"] for row in rows} == set(Plan.load(smoke.root, "smoke").claims)
    assert {row["freshness"] for row in rows} == {"fresh"}
    assert set(rows[0]) >= {"id", "paper", "verdict", "margin", "n", "control", "freshness", "figure"}


@pytest.fixture
def edited(smoke: Workspace, tmp_path: Path) -> Workspace:
    """The finished smoke run with a source tree of its own to edit; results are shared by links."""
    root = tmp_path / "edited"
    shared = {str(smoke.root): {"results", "data"}}
    shutil.copytree(smoke.root, root, ignore=lambda folder, names: shared.get(folder, set()))
    for folder in ("results", "data"):
        (root / folder).symlink_to(smoke.root / folder)
    return Workspace(root, smoke.mirror)


def test_a_comment_reruns_nothing(edited: Workspace) -> None:
    for path in sorted((edited.root / "src/symbreak").rglob("*.py")):
        path.write_text(path.read_text() + "\n# a comment at the end\n")
    assert edited.planned("figures/all", *SMOKE) == set()


def test_one_learning_rate_reruns_exactly_its_dependants(edited: Workspace) -> None:
    params = edited.yaml("params.yaml")
    params["experiments"]["gaussnet_mnist"]["base"]["training"]["optimiser"]["lr"] *= 0.5
    (edited.root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    plan = Plan.load(edited.root, "smoke")
    assert edited.planned("figures/all", *SMOKE) == dependants(plan, "gaussnet_mnist")


def test_a_learning_rate_reruns_no_arm_that_has_its_own(edited: Workspace) -> None:
    params = edited.yaml("params.yaml")
    params["experiments"]["random_labels"]["base"]["training"]["optimiser"]["lr"] *= 0.5
    (edited.root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    trained = {job for job in edited.planned("figures/all", *SMOKE) if job.startswith("run ")}
    arms = Plan.load(edited.root, "smoke").arms["random_labels"]
    assert trained == {f"run experiment=random_labels, arm={arm}" for arm in arms if arm.startswith("cifar10")}


def test_reordered_keys_rerun_nothing(edited: Workspace) -> None:
    params = edited.yaml("params.yaml")
    (edited.root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=True))
    assert edited.planned("figures/all", *SMOKE) == set()


def test_gaussnet_code_reruns_no_other_model(edited: Workspace) -> None:
    path = edited.root / "src/symbreak/models/gaussnet.py"
    path.write_text(path.read_text() + "\nUNUSED = 1\n")
    plan = Plan.load(edited.root, "smoke")
    trained = {job for job in edited.planned("figures/all", *SMOKE) if job.startswith("run ")}
    own = [spec for spec in plan.specs() if spec.training and spec.model and spec.model.family == "gaussnet"]
    assert trained == {f"run experiment={spec.experiment}, arm={spec.arm}" for spec in own}


def test_one_evidence_file_reruns_one_claim(edited: Workspace) -> None:
    path = edited.root / "src/symbreak/claims/ssb/random_labels.py"
    path.write_text(path.read_text() + "\nUNUSED = 1\n")
    jobs = {"claim claim=ssb-random-labels", "figure claim=ssb-random-labels", "figures/all"}
    assert edited.planned("figures/all", *SMOKE) == jobs


def test_a_probe_never_retrains(edited: Workspace) -> None:
    path = edited.root / "src/symbreak/probes/accuracy.py"
    path.write_text(path.read_text() + "\nUNUSED = 1\n")
    jobs = edited.planned("figures/all", *SMOKE)
    assert not any(job.startswith("run ") for job in jobs)
    assert any(job.startswith("probe ") for job in jobs)


def test_a_changed_history_reruns_its_probes(edited: Workspace, smoke: Workspace) -> None:
    (edited.root / "results").unlink()
    shutil.copytree(smoke.root / "results", edited.root / "results")
    name = "results/smoke/runs/gaussnet_mnist/mse_10.epochs.parquet"
    table = pd.read_parquet(edited.root / name)
    table.assign(test_correct=0).to_parquet(edited.root / name)
    jobs = edited.planned("figures/all", *SMOKE)
    assert {job for job in jobs if job.startswith("probe ")} == {
        f"probe experiment=gaussnet_mnist, arm=mse_10, probe={probe}" for probe in ("accuracy", "learning_curve")
    }


def test_a_seed_more_reruns_the_experiment(edited: Workspace) -> None:
    overlay = edited.yaml("params.smoke.yaml")
    overlay["experiments"]["gaussnet_mnist"]["seeds"] = [1, 2, 77]
    (edited.root / "params.smoke.yaml").write_text(yaml.safe_dump(overlay, sort_keys=False))
    plan = Plan.load(edited.root, "smoke")
    assert edited.planned("figures/all", *SMOKE) == dependants(plan, "gaussnet_mnist")


@pytest.mark.parametrize("cores", [1, 8])
def test_bytes_do_not_depend_on_cores(smoke: Workspace, edited: Workspace, cores: int) -> None:
    """The same run, its probe tables and so its claim have the same bytes however many cores Snakemake is given."""
    (edited.root / "results").unlink()
    plan = Plan.load(edited.root, "smoke")
    paths = [plan.run("gaussnet_mnist", arm).path for arm in list(plan.arms["gaussnet_mnist"])[:2]]
    paths += [plan.run("expansion", "raw").path]
    edited.snakemake(*paths, *SMOKE, cores=cores)
    for path in paths:
        assert sha256(edited.root / path) == sha256(smoke.root / path)


def test_the_report_has_every_figure_with_its_caption(smoke: Workspace) -> None:
    smoke.snakemake("figures/all", "--report", "report.html", *SMOKE)
    page = (smoke.root / "report.html").read_text()
    registry = Plan.load(smoke.root, "smoke").configuration.registry
    for claim, entry in registry.claims.items():
        assert f"{claim}.svg" in page
        assert registry.papers[entry.paper].title in page


def test_a_mistake_stops_snakemake_before_any_job_with_its_sentence(edited: Workspace) -> None:
    edited.edit("params.yaml", "momentum: 0.9", "momentun: 0.9")
    done = edited.call("snakemake", "--cores", "1", "figures/all", check=False)
    assert done.returncode != 0
    assert "unknown key 'momentun' (did you mean 'momentum'?)" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_lint_is_clean(edited: Workspace) -> None:
    done = edited.call("snakemake", "--lint")
    assert "Congratulations" in done.stdout + done.stderr

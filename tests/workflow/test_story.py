"""Someone clones the finished smoke run, pulls its results, adopts them, and changes first nothing, then one thing."""

import os
import shutil

import pytest
import yaml

from .conftest import Workspace

EXPERIMENT = "random_labels"  # half of its arms have a learning rate of their own
RESULTS = ("data", "results/smoke", "figures/smoke")
STAGE = {"cmd": "snakemake --cores all figures/all", "outs": list(RESULTS)}


@pytest.fixture(scope="module")
def pushed(smoke: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The finished smoke run, committed with scale smoke as its own, its results in a remote that is a folder.

    The generated dvc.yaml and ``symbreak record`` know scale desk only (test_adopt.py has them, in small), so one
    stage holds all results here.
    """
    folder = tmp_path_factory.mktemp("story")
    smoke.call("git", "clone", "--quiet", str(smoke.root), str(folder / "origin"))
    for name in RESULTS:
        shutil.copytree(smoke.root / name, folder / "origin" / name, copy_function=os.link)
    origin = Workspace(folder / "origin", smoke.mirror)
    origin.edit("params.yaml", "scale: desk", "scale: smoke")
    (origin.root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"results": STAGE}}))
    origin.call("dvc", "remote", "add", "--default", "shared", str(folder / "remote"))
    origin.call("dvc", "commit", "--force")
    origin.commit("the results")
    origin.call("dvc", "push")
    return origin


def hanging_on_the_learning_rate(workspace: Workspace) -> set[str]:
    """The jobs, read off the YAML files alone: of its arms without a rate of their own, and of the claims on it."""
    experiment = workspace.yaml("params.yaml")["experiments"][EXPERIMENT]
    optimisers = {arm: own.get("training", {}).get("optimiser", {}) for arm, own in experiment["arms"].items()}
    arms = {f"experiment={EXPERIMENT}, arm={arm}" for arm, own in optimisers.items() if "lr" not in own}
    assert 0 < len(arms) < len(optimisers)
    claims = workspace.yaml("claims.yaml")["claims"]
    decided = {name for name, entry in claims.items() if entry["experiment"] == EXPERIMENT}
    jobs = {f"run {arm}" for arm in arms}
    jobs |= {f"probe {arm}, probe={probe}" for arm in arms for probe in experiment["base"]["probes"]}
    return jobs | {f"{rule} claim={name}" for name in decided for rule in ("claim", "figure")} | {"figures/all"}


@pytest.mark.slow
def test_clone_pull_adopt_then_a_comment_then_a_learning_rate(pushed: Workspace) -> None:
    clone = Workspace(pushed.root.parent / "clone", pushed.mirror)
    pushed.call("git", "clone", "--quiet", str(pushed.root), str(clone.root))
    assert not any((clone.root / name).exists() for name in (*RESULTS, ".snakemake"))
    clone.call("dvc", "pull")
    clone.call("symbreak", "adopt")
    assert clone.planned("figures/all") == set()

    clone.edit("src/symbreak/models/mlp.py", "\n\n\n", "\n\n\n# a comment\n")
    assert clone.planned("figures/all") == set()

    params = clone.yaml("params.yaml")
    params["experiments"][EXPERIMENT]["base"]["training"]["optimiser"]["lr"] *= 0.5
    (clone.root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    assert clone.planned("figures/all") == hanging_on_the_learning_rate(clone)

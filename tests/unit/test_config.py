"""Mistakes in params.yaml and claims.yaml are found before anything runs, and the message says how to mend them."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ruamel.yaml import YAML

from symbreak.config.load import configure, load, merge, read_params, read_yaml
from symbreak.config.schema import schemas
from symbreak.errors import SymbreakError
from symbreak.files import sha256
from symbreak.plan import Plan
from symbreak.provenance import dvcfile
from symbreak.provenance.dvcfile import files
from symbreak.readme import rewritten
from symbreak.status import Row, markdown

Tree = dict[str, Any]


@pytest.fixture
def params(repo_root: Path) -> Tree:
    return copy.deepcopy(read_params(repo_root))


@pytest.fixture
def claims(repo_root: Path) -> Tree:
    return copy.deepcopy(read_yaml(repo_root / "claims.yaml"))


@pytest.mark.parametrize("scale", ["smoke", "desk", "paper"])
def test_every_scale_is_valid_and_plans_every_claim(repo_root: Path, scale: str) -> None:
    plan = Plan(load(repo_root, scale))
    assert plan.scale == scale
    assert {step.path for step in plan.steps()} >= {f"results/{scale}/claims/{claim}.json" for claim in plan.claims}


def test_desk_and_paper_seeds_start_at_1000_and_smoke_uses_others(repo_root: Path) -> None:
    for scale, allowed in {
        "desk": lambda s: s >= 1000,
        "paper": lambda s: s >= 1000,
        "smoke": lambda s: s < 1000,
    }.items():
        for spec in Plan(load(repo_root, scale)).specs():
            assert all(allowed(seed) for seed in spec.seeds), f"{scale}: {spec.experiment}/{spec.arm}"


def test_every_statistical_part_has_five_units_and_its_own_level(repo_root: Path) -> None:
    configuration = load(repo_root, "desk")
    for name, claim in configuration.registry.claims.items():
        if any(part.regime == "statistical" for part in claim.parts.values()):
            assert all(len(spec.seeds) >= 5 for spec in configuration.arms[claim.experiment].values()), name


PARAMS_MISTAKES = [
    (("scal", "desk"), r"params.yaml: .*unknown key 'scal' \(did you mean 'scale'\?\)"),
    (
        ("experiments.random_labels.base.training.optimizer", {}),
        r"random_labels.arms.cifar10_true.training: unknown key 'optimizer' \(did you mean 'optimiser'\?\)",
    ),
    (
        ("experiments.random_labels.base.training.batch", "many"),
        r"random_labels.arms.cifar10_true.training.batch: .*integer.*found 'many'",
    ),
    (("experiments.random_labels.base.data.labels", {"kind": "partial"}), r"data.labels: 'fraction' is needed"),
    (
        ("experiments.random_labels.base.probes.acuracy", {}),
        r"probes.acuracy: no such probe \(did you mean 'accuracy'\?\)",
    ),
    (
        ("experiments.random_labels.base.probes.accuracy", {"thresold": 1}),
        r"probes.accuracy.thresold: the probe has no such option",
    ),
    (("experiments.gaussnet_mnist.base.model.family", "gausnet"), r"gaussnet_mnist.*'gausnet'.*'gaussnet'"),
    (("experiments.gaussnet_mnist.base.training.optimiser.momentum", 0.9), r"'momentum' belongs to 'sgd'"),
    (("experiments.random_labels.base.training.crossed", True), r"'crossed' belongs to order 'shared'"),
    (("experiments.random_labels.seeds", [1, 1]), r"'seeds' has a seed twice"),
]
CLAIM_MISTAKES = [
    (
        ("claims.ssb-random-labels.experiment", "random_lables"),
        r"ssb-random-labels.experiment: no experiment 'random_lables'.*did you mean 'random_labels'",
    ),
    (("claims.ssb-random-labels.figure", "random_label"), r"no figure 'random_label'.*did you mean 'random_labels'"),
    (("claims.ssb-random-labels.probes", ["acuracy"]), r"'acuracy' is not taken by arm.*did you mean 'accuracy'"),
    (("claims.ssb-random-labels.sorce", "x"), r"unknown key 'sorce' \(did you mean 'source'\?\)"),
    (("claims.ssb-random-labels.targets", ["C99"]), r"'targets' \['C99'\] and the targets of 'parts'"),
]


def put(tree: Tree, dotted: str, value: object) -> None:
    *path, last = dotted.split(".")
    for key in path:
        tree = tree[key]
    tree[last] = value


@pytest.mark.parametrize(("change", "message"), PARAMS_MISTAKES)
def test_a_mistake_in_params_is_named(params: Tree, claims: Tree, change: tuple[str, object], message: str) -> None:
    put(params, *change)
    with pytest.raises(SymbreakError, match=f"(?s){message}"):
        configure(params, claims)


@pytest.mark.parametrize(("change", "message"), CLAIM_MISTAKES)
def test_a_mistake_in_claims_is_named(params: Tree, claims: Tree, change: tuple[str, object], message: str) -> None:
    put(claims, *change)
    with pytest.raises(SymbreakError, match=f"(?s)claims.yaml.*{message}"):
        configure(params, claims)


def test_evidence_that_does_not_exist_is_named(params: Tree, claims: Tree) -> None:
    part = next(iter(claims["claims"]["ssb-random-labels"]["parts"].values()))
    part["evidence"] = part["evidence"] + "x"
    with pytest.raises(SymbreakError, match=rf"no function '{part['evidence']}' in random_labels.py \(did you mean"):
        configure(params, claims)


def test_every_mistake_is_listed_at_once(params: Tree, claims: Tree) -> None:
    params["experiments"]["random_labels"]["base"]["training"]["batch"] = 0
    params["experiments"]["random_labels"]["base"]["training"]["loss"] = "l1"
    with pytest.raises(SymbreakError) as error:
        configure(params, claims)
    assert "training.batch" in str(error.value)
    assert "training.loss" in str(error.value)


def test_files_that_are_not_there_or_not_yaml(tmp_path: Path) -> None:
    with pytest.raises(SymbreakError, match="not found; run from the project's root"):
        read_yaml(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("a: [")
    with pytest.raises(SymbreakError, match="not valid YAML"):
        read_yaml(tmp_path / "params.yaml")


def test_merge_replaces_lists_and_merges_mappings() -> None:
    assert merge({"a": {"b": 1, "c": [1, 2]}, "d": 1}, {"a": {"c": [3]}}) == {"a": {"b": 1, "c": [3]}, "d": 1}


@pytest.mark.parametrize("name", sorted(schemas()))
def test_schemas_in_git_are_those_of_the_models(repo_root: Path, name: str) -> None:
    assert (repo_root / "workflow/schemas" / name).read_text() == schemas()[name], "run 'make generate'"


@pytest.mark.parametrize("name", ["dvc.yaml", "code.yaml"])
def test_dvc_files_in_git_are_those_of_params_and_claims(repo_root: Path, name: str) -> None:
    generated = files(Plan.load(repo_root, "desk"))[name]
    assert yaml.safe_load((repo_root / name).read_text()) == yaml.safe_load(generated), "run 'make generate'"


def test_the_readme_has_the_verdicts_that_are_pinned(repo_root: Path) -> None:
    text = (repo_root / "README.md").read_text()
    assert rewritten(text, load(repo_root).registry, repo_root) == text, "run 'make generate'"


def test_pictures_in_the_docs_are_those_of_the_pinned_figures(repo_root: Path) -> None:
    pictures = sorted((repo_root / "docs/figures").glob("*.png"))
    assert pictures
    for picture in pictures:
        pin = json.loads((repo_root / f"results/pinned/desk/{picture.stem}.json").read_text())
        assert pin["figure"][picture.name] == sha256(picture), f"copy figures/desk/{picture.name} to docs/figures"


def test_a_bar_in_a_statement_does_not_end_its_cell() -> None:
    line = markdown([Row("a-b", "ssb")], {"a-b": "K(|x|) = 1"}).splitlines()[-1]
    assert r"K(\|x\|) = 1" in line
    assert line.replace(r"\|", "").count("|") == 7


def test_a_fingerprint_that_looks_like_a_number_stays_text_for_dvc() -> None:
    text = dvcfile._yaml({"code": "12345678e9012345", "other": "b799844a9ba8abcd"})
    assert text == 'code: "12345678e9012345"\nother: b799844a9ba8abcd\n'
    assert YAML(typ="safe").load(text) == yaml.safe_load(text)

"""The claim job from tables to claim file, with evidence functions made for the test."""

import importlib.machinery
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

from symbreak.claims.evidence import Unit
from symbreak.claims.run import ClaimJob, finite, judge, main
from symbreak.claims.tables import Tables
from symbreak.config.registry import Claim
from symbreak.errors import SymbreakError
from symbreak.files import canonical
from symbreak.provenance.closure import fingerprint

Facts = dict[str, Any]
ENTRY: Facts = {
    "paper": "ssb",
    "targets": ["C1"],
    "statement": "Networks fit random labels",
    "source": "sec. 4",
    "experiment": "toy",
    "probes": ["accuracy"],
    "figure": "random_labels",
    "caption": "nothing",
    "parts": {
        "fit": {
            "target": "C1",
            "evidence": "train",
            "quantity": "training accuracy",
            "regime": "statistical",
            "unit": "seed",
            "interval": "wilson",
            "rule": {"at_least": 0.99},
            "refuted_if": {"below": 0.9},
            "basis": "made up",
            "power": {"effect": 1.0, "spread": 0.0},
            "control": {"evidence": "test", "quantity": "test accuracy", "rule": {"equals": 0.1, "within": 0.05}},
        }
    },
}
SEEDS = {"plain": (1000, 1001, 1002, 1003, 1004)}


def asked(entry: Facts = ENTRY, seeds: Any = SEEDS) -> Facts:
    decided = Claim.model_validate(entry).decided()
    family = {"alpha": 0.05, "family_size": 43}
    return {"claim": decided, "paper": family, "scale": "smoke", "experiment": "toy", "seeds": seeds}


def write(root: Path, arm: str = "plain", seeds: Any = SEEDS["plain"], **columns: Any) -> None:
    path = root / "toy" / arm / "accuracy.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame({"seed": seeds, "train": 5000, "test": 490, "diverged": False} | columns)
    table.assign(order_seed=pd.array([None] * len(table), "Int64")).to_parquet(path)


def of_column(column: str) -> Callable[[Tables], list[Unit]]:
    def units(tables: Tables) -> list[Unit]:
        table = tables("plain", "accuracy")
        return [
            Unit(f"seed {s}", k / 5000, count=k, trials=5000) for s, k in zip(table["seed"], table[column], strict=True)
        ]

    return units


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    toy = ModuleType("symbreak.claims.ssb.toy")
    toy.__spec__ = importlib.machinery.ModuleSpec(toy.__name__, None)
    toy.train, toy.test = of_column("train"), of_column("test")
    monkeypatch.setitem(sys.modules, toy.__name__, toy)
    return toy


def decided(root: Path, entry: Facts = ENTRY, seeds: Any = SEEDS) -> Facts:
    job = ClaimJob.model_validate(asked(entry, seeds))
    return judge("ssb-toy", job, Tables(root, "toy", list(seeds)))


def test_a_claim_file_has_verdict_margin_and_every_unit(tmp_path: Path, module: ModuleType) -> None:
    write(tmp_path)
    result = decided(tmp_path)
    part = result["parts"]["fit"]
    low = (0.05 / 43 / 2) ** (1 / 25_000)
    assert result["verdict"] == part["verdict"] == result["targets"]["C1"] == "supported"
    assert part["low"] == pytest.approx(low)
    assert result["margin"] == part["margin"] == pytest.approx(low - 0.99)
    assert (result["n"], result["control"], result["diverged"], result["underpowered"]) == (5, "shown", [], False)
    assert part["units"][0] == {
        "unit": "seed 1000",
        "cluster": None,
        "value": 1.0,
        "count": 5000,
        "trials": 5000,
        "group": None,
        "error": 0.0,
    }
    assert part["rule"] == {"at_least": 0.99}
    assert part["rule_text"] == "Supported if the whole 99.88 % interval of training accuracy is at least 0.99."
    assert part["control"]["units"][4]["count"] == 490
    assert canonical(result)


def test_the_entrys_hash_is_that_of_what_decides(tmp_path: Path, module: ModuleType) -> None:
    write(tmp_path)
    first = decided(tmp_path)["entry_sha256"]
    other = json.loads(json.dumps(ENTRY))
    other["caption"], other["core_minutes"] = "another", 3.0
    assert decided(tmp_path, other)["entry_sha256"] == first
    other["parts"]["fit"]["rule"]["at_least"] = 0.991
    assert decided(tmp_path, other)["entry_sha256"] != first


def test_one_control_that_is_not_shown_is_the_claims_control(tmp_path: Path, module: ModuleType) -> None:
    write(tmp_path)
    other = json.loads(json.dumps(ENTRY))
    other["parts"]["again"] = other["parts"]["fit"] | {
        "control": other["parts"]["fit"]["control"] | {"evidence": "train"}
    }
    result = decided(tmp_path, other)
    assert [p["control"]["shown"] for p in result["parts"].values()] == [True, False]
    assert (result["verdict"], result["control"], result["deciding"]) == (
        "inconclusive (control)",
        "not shown",
        "again",
    )


def test_two_seeds_at_scale_smoke_are_inconclusive_and_underpowered_not_an_error(
    tmp_path: Path, module: ModuleType
) -> None:
    write(tmp_path, seeds=(1000, 1001))
    result = decided(tmp_path, seeds={"plain": (1000, 1001)})
    assert (result["verdict"], result["margin"], result["underpowered"]) == ("inconclusive (control)", None, True)
    assert "2 independent units" in result["parts"]["fit"]["reason"]
    assert "2 independent units" in result["parts"]["fit"]["control"]["reason"]


def test_diverged_and_missing_seeds_are_listed(tmp_path: Path, module: ModuleType) -> None:
    write(tmp_path, seeds=(1000, 1001, 1002, 1004, 1005), diverged=[False, True, False, False, False])
    seeds = {"plain": (1000, 1001, 1002, 1003, 1004, 1005)}
    lost = [{"arm": "plain", "seed": 1001}, {"arm": "plain", "seed": 1003}]
    assert decided(tmp_path, seeds=seeds)["diverged"] == lost


def test_a_number_that_is_not_finite_is_null_in_the_file_and_named_as_the_reason(
    tmp_path: Path, module: ModuleType
) -> None:
    write(tmp_path)
    module.train = lambda tables: [*of_column("train")(tables), Unit("seed 1005", math.nan, count=1, trials=5000)]
    result = decided(tmp_path)
    part = finite(result)["parts"]["fit"]
    assert (part["verdict"], part["low"], part["units"][5]["value"]) == ("inconclusive", None, None)
    assert part["reason"] == "not a finite number in 1 of 6 units: seed 1005"
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical(result)
    assert canonical(finite(result))


def test_missing_functions_wrong_returns_and_unsuitable_units_are_sentences(tmp_path: Path, module: ModuleType) -> None:
    write(tmp_path)
    module.train = lambda tables: [1.0, 2.0]
    with pytest.raises(SymbreakError, match=r"'symbreak\.claims\.ssb\.toy\.train' must return a list of Unit"):
        decided(tmp_path)
    module.train = lambda tables: [Unit("a", 1.0)]
    with pytest.raises(SymbreakError, match="claim 'ssb-toy', part 'fit': the interval 'wilson' is one of counts"):
        decided(tmp_path)
    del module.train
    with pytest.raises(SymbreakError, match="has no function 'train'"):
        decided(tmp_path)


def test_tables_know_their_arms_and_say_what_is_missing(tmp_path: Path) -> None:
    tables = Tables(tmp_path, "toy", ["plain", "other"])
    write(tmp_path)
    assert tables.arms == ["plain", "other"]
    tables("plain", "accuracy")["seed"] = 0
    assert list(tables("plain", "accuracy")["seed"]) == list(SEEDS["plain"]), "a caller's changes are its own"
    with pytest.raises(SymbreakError, match=r"other/accuracy\.parquet: this table is missing"):
        tables("other", "accuracy")
    with pytest.raises(SymbreakError, match=r"has the arms \['plain', 'other'\], not 'plane'"):
        tables("plane", "accuracy")


def test_the_job_writes_claim_file_and_manifest_and_the_same_bytes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms = {f"{s}_random": (1000, 1001, 1002, 1003, 1004) for s in ("cifar10", "fashion_mnist")}
    for arm in arms:
        columns = {"train_correct": 5000, "train_count": 5000, "test_correct": 499, "test_count": 5000}
        write(tmp_path, arm, **columns)
    entry = json.loads(json.dumps(ENTRY))
    part = entry["parts"]["fit"] | {"evidence": "train_accuracy_cifar10"}
    entry["parts"]["fit"] = part | {"control": part["control"] | {"evidence": "test_accuracy_cifar10"}}
    code = fingerprint("symbreak.claims.run", ("symbreak.claims.ssb.random_labels",))
    found = []
    for name in ("one", "two"):
        out = tmp_path / name / "ssb-random-labels.json"
        params = json.dumps(asked(entry, arms))
        arguments = ["--params", params, "--code", code, "--tables", str(tmp_path), "--out", str(out)]
        monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
        main(["--claim", "ssb-random-labels", *arguments])
        found.append(out.read_bytes())
    assert found[0] == found[1]
    assert json.loads(found[0])["verdict"] == "supported"
    manifest = json.loads(out.with_name("ssb-random-labels.manifest.json").read_text())
    assert set(manifest["inputs"]) == {"cifar10_random/accuracy", "fashion_mnist_random/accuracy"}
    assert (manifest["kind"], manifest["tainted"], manifest["diverged"]) == ("claim", False, [])

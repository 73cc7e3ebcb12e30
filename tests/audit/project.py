"""A small project with recorded results: true formats by the true jobs and ``record``, DVC and Snakemake stubbed.

Made up are the units of evidence, which tables hold and toy functions read, the toy figure of them, and the bytes of
runs, which the audit does not open.
"""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from matplotlib.figure import Figure

from symbreak.audit import figures_again
from symbreak.claims import run as claim_job
from symbreak.claims.evidence import Unit
from symbreak.claims.tables import Tables
from symbreak.data.catalogue import files as known_files
from symbreak.figures import style
from symbreak.files import write_json
from symbreak.plan import Plan, Step
from symbreak.provenance import record as recording
from symbreak.provenance.dvcfile import files
from symbreak.provenance.job import job
from symbreak.provenance.tools import call
from symbreak.readme import BEGIN, END, rewritten

FAMILIES = ("data", "training", "probes", "claims", "figures")
LONG_AGO = "2020-01-01T00:00:00+00:00"
PARAMS: dict[str, Any] = {
    "scale": "desk",
    "experiments": {
        "toy": {
            "about": "nothing",
            "seeds": [1000, 1001, 1002, 1003, 1004],
            "threads": 1,
            "base": {
                "data": {"set": "cifar10", "train": 100, "test": 100},
                "model": {"family": "mlp", "hidden": [8], "norm_eps": 1e-05},
                "training": {"epochs": 1, "batch": 10, "optimiser": {"name": "sgd", "lr": 0.1}},
                "probes": {"accuracy": {}},
            },
            "arms": {"random": {}, "true": {}},
        },
        "exact": {
            "about": "nothing",
            "seeds": [1],
            "threads": 1,
            "base": {"probes": {"potential": {"couplings": [[1.0, 0.7]], "dimensions": [2], "etas": 4, "near": 2}}},
            "arms": {"one": {}},
        },
    },
}
FIT = {
    "target": "C1",
    "evidence": "train_accuracy_cifar10",
    "quantity": "training accuracy",
    "regime": "statistical",
    "unit": "seed",
    "interval": "wilson",
    "rule": {"at_least": 0.9},
    "refuted_if": {"below": 0.5},
    "basis": "table 1",
    "power": {"effect": 0.97, "spread": 0.001},
    "control": {
        "evidence": "test_accuracy_cifar10",
        "quantity": "test accuracy",
        "rule": {"equals": 0.1, "within": 0.05},
        "interval": "t",
    },
}
NEAR = FIT | {
    "target": "C2",
    "interval": "t",
    "rule": {"equals": 0.97, "within": 0.02},
    "refuted_if": None,
    "control": {"evidence": "test_accuracy_cifar10", "quantity": "test accuracy", "kind": "must_fail"},
}
ZERO = {
    "target": "A1",
    "evidence": "order_parameter",
    "quantity": "distance",
    "regime": "numeric",
    "unit": "dimension",
    "rule": {"at_most": 0.01},
    "basis": "an identity",
    "control": {"evidence": "order_parameter_stable", "quantity": "distance", "kind": "must_fail"},
}
SHARED = {"paper": "ssb", "source": "sec. 4", "caption": "c"}
CLAIMS: dict[str, Any] = {
    "papers": {
        "ssb": {"title": "T", "reference": "r", "alpha": 0.05, "family_size": 43, "targets": ["A1", "C1", "C2"]}
    },
    "claims": {
        "ssb-random-labels": SHARED
        | {"targets": ["C1", "C2"], "statement": "Networks fit random labels.", "experiment": "toy"}
        | {"probes": ["accuracy"], "figure": "random_labels", "parts": {"fit": FIT, "near": NEAR}},
        "ssb-goldstone": SHARED
        | {"targets": ["A1"], "statement": "The minimum leaves the origin.", "experiment": "exact"}
        | {"probes": ["potential"], "figure": "goldstone", "parts": {"zero": ZERO}},
    },
}
TRAIN, TEST = (9653, 9702, 9717, 9688, 9751), (1010, 987, 1003, 1021, 994)
UNITS = {
    "train_accuracy_cifar10": [Unit(f"seed {1000 + i}", k / 1e4, count=k, trials=10_000) for i, k in enumerate(TRAIN)],
    "test_accuracy_cifar10": [Unit(f"seed {1000 + i}", k / 1e4, count=k, trials=10_000) for i, k in enumerate(TEST)],
    "order_parameter": [Unit("D=1", 0.0013, error=0.0001), Unit("D=2", 0.0029, error=0.0002)],
    "order_parameter_stable": [Unit("D=1", 0.71), Unit("D=2", 0.93)],
}

WHERE = {
    "train_accuracy_cifar10": ("random", "accuracy"),
    "test_accuracy_cifar10": ("true", "accuracy"),
    "order_parameter": ("one", "potential"),
    "order_parameter_stable": ("one", "potential"),
}
"""Arm and probe of the table that an evidence function reads; of a table for two it reads the rows of its side."""


def git(root: Path, *arguments: str, date: str | None = None) -> str:
    """Run git with an author of its own, without its template's files, and, if one is given, at a date of its own."""
    dates = {} if date is None else {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    who = ("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "init.templateDir=")
    environment = {"PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": str(root), **dates}
    return subprocess.run(
        ["git", *who, *arguments], cwd=root, env=environment, capture_output=True, text=True, check=True
    ).stdout


def commit(root: Path, message: str, date: str | None = None) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", message, date=date)


def build(root: Path, repo_root: Path) -> None:
    """Make the project: registered in 2020, computed now, recorded, committed."""
    write_yaml(root / "params.yaml", PARAMS)
    write_yaml(root / "claims.yaml", CLAIMS)
    for name in ("requirements.lock", ".gitignore"):
        (root / name).write_text((repo_root / name).read_text())
    (root / ".dvc").mkdir()
    (root / ".dvc/.gitignore").write_text("/cache\n")
    git(root, "init", "--quiet")
    commit(root, "registered", LONG_AGO)
    (root / "README.md").write_text(f"# A\n{BEGIN}\n{END}\nend\n")
    compute(root)
    (root / "docs" / "figures").mkdir(parents=True)
    (root / "docs/figures/ssb-goldstone.png").write_bytes((root / "figures/desk/ssb-goldstone.png").read_bytes())
    commit(root, "pinned")


@contextmanager
def toys() -> Iterator[None]:
    """Let claims be decided by the toy evidence and drawn as the toy figure."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claim_job, "evidence", lambda _module, function, tables: read_units(tables, function))
        patch.setattr(figures_again, "find", lambda _name: sketch)
        yield


def write_table(path: Path, units: dict[str, list[Unit]] = UNITS) -> None:
    """Write the table of an arm and probe: a row a unit of the evidence that reads it."""
    functions = [name for name, where in WHERE.items() if where == (path.parent.name, path.stem)]
    rows = [vars(unit) | {"side": side} for side, name in enumerate(functions) for unit in units[name]]
    pd.DataFrame(rows).astype({"count": "Int64", "trials": "Int64"}).to_parquet(path)


def read_units(tables: Tables, function: str) -> list[Unit]:
    """Evidence: the rows of a table."""
    side = [name for name, where in WHERE.items() if where == WHERE[function]].index(function)
    table = tables(*WHERE[function])
    found = table[table["side"] == side].drop(columns="side").astype(object)
    return [Unit(**row) for row in found.where(found.notna(), None).to_dict("records")]


def sketch(tables: Tables, evidence: dict[str, Any]) -> Figure:
    """Draw the values of all tables and the estimates."""
    figure, axes = style.figure(figsize=(1.0, 1.0))
    axes.set_axis_off()
    for arm in tables.arms:
        axes.plot(tables(arm, "potential" if arm == "one" else "accuracy")["value"], "o")
    for part in evidence["parts"].values():
        axes.axhline(part["estimate"])
    return figure


def compute(root: Path, families: tuple[str, ...] = FAMILIES) -> None:
    """Generate, compute and record what the sources of a project ask for, and write the README's table."""
    with pytest.MonkeyPatch.context() as patch, toys():
        patch.chdir(root)
        plan = Plan.load(Path())
        for name, text in files(plan).items():
            Path(name).write_text(text)
        for step in plan.steps():
            if step.entry.split(".")[1] in families:
                make(step, patch)
        patch.setattr(recording, "call", stubbed)
        recording.record(Path())
        readme = Path("README.md")
        readme.write_text(rewritten(readme.read_text(), plan.configuration.registry, Path()))


def make(step: Step, patch: pytest.MonkeyPatch) -> None:
    """Write one artifact in a true job; a run is made-up bytes."""
    path, family = Path(step.path), step.entry.split(".")[1]
    patch.setattr(sys, "argv", ["-", "--params", step.json, "--code", step.code])
    with job(
        artifact=path, kind=family.removesuffix("s"), entry=step.entry, modules=step.modules, planned=step.code,
        params=json.loads(step.json), inputs=_inputs(step), threads=1,
    ) as record:  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        WRITE[family](step, path)
        if family == "claims":
            record.note(claim=path.stem, diverged=[])
        if family == "data":
            record.note(sources={f: {"sha256": e.sha256, "source": "npm"} for f, e in known_files("cifar10").items()})


def _bytes(step: Step, path: Path) -> None:
    made = (".safetensors", ".steps.parquet", ".epochs.parquet") if path.suffix == ".safetensors" else (path.suffix,)
    for suffix in made:
        path.with_name(path.stem + suffix).write_bytes(f"{step.path} {suffix}".encode())


def _claim(step: Step, path: Path) -> None:
    asked = claim_job.ClaimJob.model_validate_json(step.json)
    tables = Tables(Path("results/desk/probes"), asked.experiment, sorted(asked.seeds))
    write_json(path, claim_job.finite(claim_job.judge(path.stem, asked, tables)))


def _figure(step: Step, path: Path) -> None:
    tables = Tables(Path("results/desk/probes"), step.params["experiment"], step.params["arms"])
    evidence = json.loads(Path(f"results/desk/claims/{path.stem}.json").read_text())
    style.save(sketch(tables, evidence), path, path.with_suffix(".png"))


WRITE = {
    "data": _bytes,
    "training": _bytes,
    "probes": lambda _step, path: write_table(path),
    "claims": _claim,
    "figures": _figure,
}


def _inputs(step: Step) -> dict[str, Path]:
    paths = [Path(path) for path in step.inputs]
    if step.entry == "symbreak.claims.run":
        return {f"{path.parent.name}/{path.stem}": path for path in paths}
    return {"data" if path.suffix == ".npz" else path.as_posix(): path for path in paths}


def stubbed(root: Path, *command: str) -> str:
    """Git as it is; a Snakemake with nothing to do; of DVC the lock that it would write."""
    if command[0] == "snakemake":
        return "Nothing to be done"
    if command[0] == "dvc":
        lock = yaml.safe_dump({"schema": "2.0", "stages": dict(stages(root))}, sort_keys=False)
        assert "1.0e-05" in lock
        (root / "dvc.lock").write_text(lock.replace("1.0e-05", "1e-05"))  # as YAML 1.2 has it, and DVC writes it
        return ""
    return call(root, *command)


def stages(root: Path) -> Any:
    """Expand dvc.yaml and hash as DVC does: md5 of a file, md5 of the JSON listing of a folder."""
    for family, stage in yaml.safe_load((root / "dvc.yaml").read_text())["stages"].items():
        for key, item in stage["foreach"].items():
            body = _filled(stage["do"], {"key": key, **{f"item.{k}": v for k, v in item.items()}})
            params = {
                file: {k: _value(root / file, k) for k in keys} for p in body["params"] for file, keys in p.items()
            }
            outs = [out if isinstance(out, str) else next(iter(out)) for out in body["outs"]]
            yield (
                f"{family}@{key}",
                {
                    "cmd": body["cmd"],
                    "deps": [hashed(root, path) for path in body["deps"]],
                    "params": params,
                    "outs": [hashed(root, path) for path in outs],
                },
            )


def hashed(root: Path, path: str) -> dict[str, Any]:
    target = root / path
    if target.is_file():
        content = target.read_bytes()
        return {"path": path, "hash": "md5", "md5": hashlib.md5(content).hexdigest(), "size": len(content)}
    inside = sorted(p for p in target.rglob("*") if p.is_file() and not p.name.endswith(".run.json"))
    listing = [
        {"md5": hashlib.md5(p.read_bytes()).hexdigest(), "relpath": p.relative_to(target).as_posix()} for p in inside
    ]
    text = json.dumps(listing).encode()
    digest = hashlib.md5(text).hexdigest()
    cached = root / ".dvc/cache/files/md5" / digest[:2] / f"{digest[2:]}.dir"
    cached.parent.mkdir(parents=True, exist_ok=True)
    cached.write_bytes(text)
    size = sum(p.stat().st_size for p in inside)
    return {"path": path, "hash": "md5", "md5": f"{digest}.dir", "size": size, "nfiles": len(inside)}


def _filled(value: Any, names: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        return {_filled(k, names): _filled(v, names) for k, v in value.items()}
    if isinstance(value, list):
        return [_filled(v, names) for v in value]
    if isinstance(value, str):
        value = re.sub(r"\$\{(item\.\w+)\[(\d+)\]\}", lambda m: names[m[1]][int(m[2])], value)
        return re.sub(r"\$\{([\w.]+)\}", lambda m: names[m[1]], value)
    return value


def _value(path: Path, key: str) -> Any:
    value = yaml.safe_load(path.read_text())
    for step in key.split("."):
        value = value[step]
    return value


def write_yaml(path: Path, value: Any) -> None:
    path.write_text(yaml.safe_dump(value, sort_keys=False))

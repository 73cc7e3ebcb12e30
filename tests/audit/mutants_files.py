"""Mutants of manifests, hashes, artifacts, figures, sources and locks."""

from functools import partial
from pathlib import Path
from typing import Any

from .forging import (
    bytes_of,
    edited,
    generated,
    line_of,
    redrawn,
    sealed,
    tables_swapped,
    text_of,
    true_labels,
    value,
)
from .mutants import Mutant
from .mutations import OTHER, PIN

RUN, TABLE = "results/desk/runs/toy/random", "results/desk/probes/toy/true/accuracy.parquet"
CLAIM, FIGURE = "results/desk/claims/ssb-random-labels", "figures/desk/ssb-goldstone"
TRUE = ("runs", "results/desk/runs/toy/true.safetensors")
TRUE_KEY = f"runs[{TRUE[1]}]"
SHOWN = "docs/figures/ssb-goldstone.png"
LOCK, GENERATED = ("dvc.lock", "dvc.lock"), ("generated", "code.yaml")
ZERO = "0" * 64
BEST = 'history["test_correct"].max()'


def pin(name: str, changed: str, *steps: Any, to: Any, check: str, key: str, **more: Any) -> Mutant:
    """Make a mutant of one value in a pin."""
    return Mutant(name, changed, value(*steps, to=to), check, PIN, key, **more)


def lock_of(family: str, index: int, **to: Any) -> Any:
    def change(lock: Any) -> None:
        lock["stages"][family]["outs"][index] |= to

    return edited(change, "dvc.lock")


def folder(lock: Any) -> None:
    for stage in lock["stages"].values():
        for entry in (*stage["deps"], *stage["outs"]):
            if entry["path"] == "results/desk/runs/toy":
                entry["md5"] = "0" * 32 + ".dir"


def faster(params: Any) -> None:
    params["experiments"]["toy"]["base"]["training"]["optimiser"]["lr"] = 0.2


def seeds(params: Any) -> None:
    order = params["experiments"]["toy"]["seeds"]
    order[0], order[1] = order[1], order[0]


def smaller(params: Any) -> None:
    params["experiments"]["toy"]["seeds"].pop()


def unclaimed(claims: Any) -> None:
    del claims["claims"]["ssb-goldstone"]


def unlocked(lock: Any) -> None:
    del lock["stages"]["figure@ssb-goldstone"]


def extra(content: Any) -> None:
    content["runs"]["results/desk/runs/toy/third.safetensors"] = content["runs"][TRUE[1]]


def copied(root: Path) -> None:
    (root / "results/pinned/desk/ssb-none.json").write_bytes((root / PIN).read_bytes())


def removed(root: Path) -> None:
    (root / OTHER).unlink()


FILES = (
    pin("hash of the claim file", "the manifest's sha256 of the claim file",
        "manifest", "outputs", "ssb-random-labels.json", to=ZERO, check="claim bytes", key="claim_file", also=(LOCK,)),
    Mutant(
        "hash of a table, sealed", "the manifest's sha256 of a table that was read, sealed",
        sealed(value("manifest", "inputs", "true/accuracy", "sha256", to=ZERO)),
        "manifest", PIN, f"manifest.inputs.{TABLE}",
    ),
    pin("hash of a table in the pin", "the pinned sha256 of a table", "tables", TABLE, "accuracy.parquet",
        to=ZERO, check="manifest", key=f"manifest.inputs.{TABLE}"),
    Mutant("versions", "numpy's version in the claim's manifest", value("manifest", "versions", "numpy", to="1.0"),
           *LOCK, f"outs[{CLAIM}.manifest.json].md5"),
    Mutant("device", "the device in the claim's manifest", value("manifest", "device", to="cuda"),
           *LOCK, f"outs[{CLAIM}.manifest.json].md5"),
    Mutant(
        "tainted", "`tainted` true, sealed", sealed(value("manifest", "tainted", to=True)),
        "manifest", PIN, "manifest.tainted",
    ),
    Mutant(
        "taint hidden", "the code was another at the start, and `tainted` says false, sealed",
        sealed(value("manifest", "code", "start", to="0" * 16)), "manifest", PIN, "manifest.code.start",
    ),
    Mutant(
        "tainted input", "a table that was read was tainted, sealed",
        sealed(value("manifest", "inputs", "true/accuracy", "tainted", to=True)), "manifest", PIN, "manifest.inputs",
    ),
    Mutant(
        "versions of the claim, sealed, pulled", "numpy's version in the claim's manifest, sealed",
        sealed(value("manifest", "versions", "numpy", to="1.0")), "artifact", f"{CLAIM}.manifest.json", "sha256",
        also=(("dvc.lock", f"{CLAIM}.manifest.json"),), tree="pulled",
    ),
    pin("parameters of a run", "a seed in a run's parameters", *TRUE, "params", "seeds", 0, to=7,
        check="parameters", key=f"{TRUE_KEY}.params.seeds[0]"),
    pin("code of a run", "a run's code fingerprint", *TRUE, "code", to="0" * 16, check="code", key=f"{TRUE_KEY}.code"),
    pin("threads of a run", "a run's threads", *TRUE, "threads", to=2, check="manifest", key=f"{TRUE_KEY}.threads"),
    pin("original data", "the sha256 of an original file of a data set",
        *TRUE, "inputs", "data", "sources", "test_batch.bin", "sha256", to=ZERO,
        check="data sources", key=f"{TRUE_KEY}.inputs.data.sources.test_batch.bin"),
    pin("another data set", "the path of a run's data", *TRUE, "inputs", "data", "path", to="data/mnist.npz",
        check="manifest", key=f"{TRUE_KEY}.inputs", also=(("data sources", PIN),)),
    pin("data of two arms", "one of two arms trained on other bytes of the same set", *TRUE, "inputs", "data", "sha256",
        to=ZERO, check="artifact", key="sha256 of data/cifar10.npz"),
    pin("device of a run, pulled", "a run's device", *TRUE, "device", to="cuda",
        check="artifact", key=f"{TRUE_KEY}.device", tree="pulled"),
    pin("versions of a run, pulled", "numpy's version in a run", *TRUE, "versions", "numpy", to="1.0",
        check="artifact", key=f"{TRUE_KEY}.versions.numpy", tree="pulled"),
    pin("device of a run, not committed", "a run's device", *TRUE, "device", to="cuda",
        check="committed", key=".".join(TRUE) + ".device", commit="none"),
    Mutant("run too many", "a pin names a run that the plan does not make", edited(extra), "orphan", PIN,
           "runs[results/desk/runs/toy/third.safetensors]"),
    Mutant(
        "true labels for random ones", "the stored tensors of the random-label run",
        true_labels(manifest=False, pin=False), "artifact", f"{RUN}.safetensors", "sha256",
        also=(("dvc.lock", f"{RUN}.safetensors"),), tree="pulled",
    ),
    Mutant(
        "true labels, manifest and pin follow", "the stored tensors of the random-label run, and both hashes of them",
        true_labels(), "dvc.lock", f"{RUN}.safetensors", "md5",
        also=(("dvc.lock", f"{RUN}.manifest.json"),), tree="pulled",
    ),
    Mutant(
        "true labels in the pin, pulled", "the pinned hash of the random-label run's tensors",
        true_labels(tensors=False, manifest=False),
        "artifact", f"{RUN}.safetensors", "sha256", also=(("artifact", PIN),), tree="pulled",
    ),
    Mutant(
        "table truncated", "a probe's table lost its second half", bytes_of(TABLE, b"results"),
        "artifact", TABLE, "sha256", also=(("dvc.lock", TABLE),), tree="pulled",
    ),
    Mutant(
        "curve truncated", "the loss curve of a run", bytes_of(f"{RUN}.steps.parquet", b""),
        "artifact", f"{RUN}.steps.parquet", "sha256", also=(("dvc.lock", f"{RUN}.steps.parquet"),), tree="pulled",
    ),
    Mutant(
        "figure redrawn", "a figure of other data", bytes_of(f"{FIGURE}.svg"),
        "artifact", f"{FIGURE}.svg", "sha256", also=(("dvc.lock", f"{FIGURE}.svg"),), tree="pulled",
    ),
    Mutant(
        "shown figure redrawn", "a figure of other data in docs/figures", bytes_of(SHOWN),
        "shown figure", SHOWN, "sha256", also=(("dvc.lock", SHOWN),),
    ),
    Mutant(
        "shown figure redrawn, pin follows", "a figure of other data in docs/figures and its hash in the pin",
        partial(redrawn, lock=False), "dvc.lock", SHOWN, "md5",
    ),
    Mutant(
        "figure redrawn, all made to follow, drawn again", "in docs/figures, here, in the pin, in dvc.lock",
        partial(redrawn, lock=True), "figure", SHOWN, "pixels",
        also=(("figure", f"{FIGURE}.png"),), tree="pulled", mode="--figures",
    ),
    Mutant(
        "table truncated, made again", "a probe's table lost its second half", bytes_of(TABLE, b"results"),
        "table", TABLE, "sha256", tree="pulled", mode="--figures",
    ),
    Mutant(
        "tables swapped, sealed", "the tables of two arms, with their hashes in pin and manifest, sealed",
        sealed(tables_swapped), "evidence", PIN, "claim_file.parts.fit.estimate",
        also=tuple(("figure", f"figures/desk/ssb-random-labels.{end}") for end in ("svg", "png")),
        tree="pulled", mode="--figures",
    ),
    Mutant("md5 of a claim file", "in dvc.lock", lock_of("claim@ssb-goldstone", 0, md5="0" * 32), *LOCK,
           "outs[results/desk/claims/ssb-goldstone.json].md5"),
    Mutant("md5 of a folder of runs", "in dvc.lock", lock_of("run@toy", 0, md5="0" * 32 + ".dir"), *LOCK,
           "stages.probe@toy.deps[results/desk/runs/toy].md5"),
    Mutant("files of a folder", "how many tables there were, in dvc.lock", lock_of("probe@exact", 0, nfiles=1), *LOCK,
           "outs[results/desk/probes/exact].nfiles"),
    Mutant("stage deleted", "a figure's stage in dvc.lock", edited(unlocked, "dvc.lock"), *LOCK,
           "stages.figure@ssb-goldstone"),
    Mutant("learning rate", "in params.yaml, after the run", edited(faster, "params.yaml"), "parameters", PIN,
           f"{TRUE_KEY}.params.training.optimiser.lr", also=(LOCK,)),
    Mutant("two seeds swapped in params.yaml", "the order of the seeds, after the run", edited(seeds, "params.yaml"),
           "parameters", PIN, f"{TRUE_KEY}.params.seeds[0]", also=(LOCK,)),
    Mutant("seed dropped in params.yaml", "one seed fewer, after the run", edited(smaller, "params.yaml"),
           "parameters", PIN, f"{TRUE_KEY}.params.seeds", also=(LOCK,)),
    Mutant("line of a probe", "best accuracy to last accuracy",
           line_of("symbreak.probes.accuracy", BEST, 'history["test_correct"].iloc[-1]'),
           *GENERATED, "probe.toy"),
    Mutant("line of a probe, generated", "the same, and code.yaml follows",
           generated(line_of("symbreak.probes.accuracy", BEST, 'history["test_correct"].min()')),
           *LOCK, "stages.probe@toy.params.code.yaml.probe.toy"),
    Mutant("evidence function", "training accuracy of another arm",
           line_of("symbreak.claims.ssb.random_labels", '"cifar10_random", "train"', '"cifar10_true", "train"'),
           "code", PIN, "manifest.code.end", also=(GENERATED,)),
    Mutant("code.yaml", "a fingerprint", edited(lambda code: code["probe"].update(toy="0" * 16), "code.yaml"),
           *GENERATED, "probe.toy", also=(LOCK,)),
    Mutant("dvc.yaml", "another dependency", text_of("dvc.yaml", "requirements.lock", "params.yaml"),
           "generated", "dvc.yaml", "stages.data.do.deps[0]"),
    Mutant("requirements.lock", "another numpy", text_of("requirements.lock", "numpy==", "numpy==1."), *LOCK,
           "stages.run@toy.deps[requirements.lock].md5"),
    Mutant("orphan pin", "a pin of a claim that is not registered", copied, "orphan",
           "results/pinned/desk/ssb-none.json"),
    Mutant("claim removed", "from claims.yaml; dvc.yaml and code.yaml follow",
           generated(edited(unclaimed, "claims.yaml")), "orphan", OTHER,
           also=(LOCK, ("quoted", "README.md"), ("shown figure", SHOWN))),
    Mutant("pin removed", "a pin that there was", removed, "orphan", OTHER,
           also=(("quoted", "README.md"), ("shown figure", SHOWN))),
    Mutant("versions of a run", "numpy's version in a run", value(*TRUE, "versions", "numpy", to="1.0"),
           reason="what contradicts it is not in git; caught where runs are pulled"),
    Mutant("true labels in the pin", "the pinned hash of the random-label run's tensors",
           true_labels(tensors=False, manifest=False),
           reason="the tensors are not in git; caught where pulled, and by `--retrain`"),
    Mutant("versions of the claim, sealed", "numpy's version in the claim's manifest, sealed",
           sealed(value("manifest", "versions", "numpy", to="1.0")),
           reason="what contradicts it is not in git; caught where the claim's manifest is pulled"),
    Mutant("md5 of a folder of runs, everywhere", "in dvc.lock, in the stage that makes it and in those that read it",
           edited(folder, "dvc.lock"),
           reason="DVC's listing of the folder is not in git; `dvc pull` finds no such object"),
    Mutant("figure redrawn, all made to follow", "in docs/figures, in the pin, in dvc.lock",
           partial(redrawn, lock=True),
           reason="there is no table to draw it from; caught where figures are pulled, and by `--figures`"),
)  # fmt: skip

"""Every family trains, from an arm's specification to the files of its run, on a few small real images."""

from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open

from symbreak.config.models import CnnSpec, GaussnetSpec, MlpSpec, ModelSpec, ResnetSpec, RnnSpec, ShortcutSpec
from symbreak.config.specs import ArmSpec
from symbreak.data.catalogue import files
from symbreak.data.formats import prepare
from symbreak.data.prepared import Prepared, save
from symbreak.data.sources.mirror import find
from symbreak.data.unpack import unpack
from symbreak.training.run import run

# The margins were chosen before the first run and kept: what dozens of steps do to any network that learns at all.
STEPS, IMAGES = 40, 300
LOSS_LEFT = 0.9  # of the loss at the start
CORRECT = 0.2  # of the training images; by chance it is 0.1, with a standard deviation of 0.017
HARD = ("mlp sigmoid", "resnet post none", "resnet pre none", "resnet without norm", "vgg without norm")  # loss only

NETS: dict[str, dict[str, Any]] = {
    "mlp": {"hidden": [16, 16]},
    "gaussnet": {"width": 32},
    "resnet": {"widths": [8, 16], "blocks": 1},
    "vgg": {"stages": [[4], [6, 6]], "hidden": [12]},
    "cnn": {"channels": [4, 6]},
    "rnn": {"width": 16},
}


def choices(spec: type, key: str) -> tuple[str, ...]:
    """The values that a key of a specification may have, so that none is forgotten here."""
    return get_args(spec.model_fields[key].annotation)  # type: ignore[attr-defined]


def shortcut(kind: str) -> dict[str, Any]:
    numbers = {"scaling": {"scale": 0.5, "branch_scale": 0.8}, "dropout": {"dropout": 0.5}}
    return {"kind": kind} | numbers.get(kind, {})


MODELS: dict[str, dict[str, Any]] = {
    **{f"mlp {key}": {"activation": key} for key in choices(MlpSpec, "activation")},
    **{f"mlp {key} norm": {"norm": key, "dropout": 0.2} for key in choices(MlpSpec, "norm")},
    "mlp linear without biases": {"activation": "linear", "bias": False},
    **{f"gaussnet {key}": {"neuron": key} for key in choices(GaussnetSpec, "neuron")},
    **{
        f"resnet {order} {kind}": {"order": order, "shortcut": shortcut(kind)}
        for order in choices(ResnetSpec, "order")
        for kind in choices(ShortcutSpec, "kind")
    },
    "resnet without norm": {"norm": "none"},
    "resnet imagenet": {"stem": "imagenet"},
    "vgg": {"dropout": 0.2},
    "vgg without norm": {"norm": "none"},
    **{f"cnn {key}": {"activation": key} for key in choices(CnnSpec, "activation")},
    **{f"cnn {key} norm": {"norm": key, "hidden": [12], "dropout": 0.2} for key in choices(CnnSpec, "norm")},
    **{f"rnn {key}": {"integration": key} for key in choices(RnnSpec, "integration")},
}

pytestmark = pytest.mark.usefixtures("process_state")


@pytest.fixture(scope="module")
def digits(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first digits of MNIST as a prepared set."""
    whole = prepare({file: unpack(find(mirror, "mnist", file)) for file in files("mnist")})
    path = tmp_path_factory.mktemp("data") / "mnist.npz"
    save(path, Prepared(**{field.name: getattr(whole, field.name)[:1000] for field in fields(Prepared)}))
    return path


def arm(name: str) -> ArmSpec:
    family = name.split()[0]
    training = {"steps": STEPS, "batch": 50, "optimiser": {"name": "adam", "lr": 0.01}, "evaluate_train": "final"}
    return ArmSpec.model_validate(
        {
            "experiment": "every_model",
            "arm": "small",
            "seeds": [1, 2],
            "data": {"set": "mnist", "train": IMAGES, "test": 100, "crop": 12},
            "model": {"family": family} | NETS[family] | MODELS[name],
            "training": training,
            "probes": {},
        }
    )


def test_no_family_is_forgotten() -> None:
    union, _ = get_args(ModelSpec)
    families = {family for spec in get_args(union) for family in choices(spec, "family")}
    assert {name.split()[0] for name in MODELS} == families


@pytest.mark.parametrize("name", MODELS)
def test_it_learns(name: str, digits: Path, tmp_path: Path) -> None:
    """Each of two replicas: the training loss at the end is below its start, and images are told apart."""
    out = tmp_path / "small.safetensors"
    run(arm(name), code="planned", data=digits, out=out)
    steps = pq.read_table(out.with_suffix(".steps.parquet"))
    epochs = pq.read_table(out.with_suffix(".epochs.parquet"))
    last = epochs.filter(pc.field("step") == STEPS)
    assert not any(epochs["diverged"].to_pylist())
    assert len(last) == 2
    for row in last.to_pylist():
        first = steps.filter((pc.field("seed") == row["seed"]) & (pc.field("step") == 1))["loss"][0].as_py()
        print(f"{name}: loss {first:.3f} -> {row['train_loss']:.3f}, {row['train_correct'] / row['train_count']:.2f}")
        assert row["train_loss"] < LOSS_LEFT * first
        assert row["train_count"] == IMAGES
        assert row["train_correct"] > CORRECT * IMAGES or name in HARD
    with safe_open(out, "pt") as stored:
        moved = [key for key in stored.keys() if key.startswith("step=00000000/")]  # noqa: SIM118
        for key in moved:
            final = stored.get_tensor(key.replace("step=00000000", f"step={STEPS:08d}"))
            assert not torch.equal(stored.get_tensor(key), final), f"{key} did not move"

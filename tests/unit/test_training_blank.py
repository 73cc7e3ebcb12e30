"""Training without inputs that are 0 in every image, against training with them: the same but for rounding."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from symbreak.config.models import ModelSpec
from symbreak.config.specs import DataSpec, StandardiseSpec, TrainingSpec
from symbreak.data.statistics import Statistics
from symbreak.data.tensors import Affine
from symbreak.errors import SymbreakError
from symbreak.models.model import Model, build
from symbreak.training.blank import MULTIPLE, without_blank
from symbreak.training.checkpoint import Folder
from symbreak.training.engine import train
from symbreak.training.ensemble import Ensemble
from symbreak.training.examples import Examples, converted
from symbreak.training.trained import Trained

INPUTS = "nonzero", "all"
SHAPE, CLASSES, COUNT, SEEDS = (1, 9, 8), 3, 14, (4, 2, 9)
CPU, ONLY_TESTED = torch.device("cpu"), 70  # a pixel that is 0 in all training images, but not in a test image
MLP = {"family": "mlp", "hidden": (5,)}
TANH = MLP | {"hidden": (6, 4), "activation": "tanh"}
GAUSS = {"family": "gaussnet", "width": 7}
HEAVY = {"name": "sgd", "lr": 0.2, "momentum": 0.5}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "relu": (MLP, {}),
    "relu without momentum": (MLP, {"optimiser": {"name": "sgd", "lr": 0.2}}),
    "tanh": (TANH, {"order": "own"}),
    "gauss": (GAUSS, {"loss": "mse"}),
    "adam": (MLP, {"optimiser": {"name": "adam", "lr": 0.01}}),
    "rmsprop": (TANH, {"optimiser": {"name": "rmsprop", "lr": 0.01}}),
    "groups": (MLP, {"group": 2}),
    "no hidden layer": (MLP | {"hidden": ()}, {}),
    "a mean of its own": (MLP | {"initial": {"layers.0.weight": {"mean": 0.3}}}, {}),
}


def pixels(copies: int = 1) -> Tensor:
    """Bytes ``[K, N, C, H, W]``, 0 in about three quarters of all pixels, in others of each copy."""
    draw = torch.Generator().manual_seed(5)
    images = torch.randint(256, (copies, COUNT, *SHAPE), generator=draw, dtype=torch.uint8).flatten(2)
    used = torch.stack([torch.randperm(ONLY_TESTED, generator=draw)[:17] for _ in range(copies)])
    mask = torch.zeros(copies, images.shape[2], dtype=torch.bool).scatter_(1, used, value=True)
    return (images * mask.unsqueeze(1)).view(copies, COUNT, *SHAPE)


def sets(
    copies: int = 1, kind: str = "unit", *, compiled: bool = False, dtype: torch.dtype = torch.float64
) -> tuple[Examples, Examples]:
    statistics = Statistics((0.3,), (0.2,))
    spec = DataSpec(set="mnist", standardise=StandardiseSpec(kind=kind))  # type: ignore[arg-type]
    affine = Affine(spec.standardise, statistics, SHAPE, dtype, CPU)
    labels = torch.randint(CLASSES, (1, COUNT), generator=torch.Generator().manual_seed(6))
    tested = pixels(copies).flip(1)
    tested[0, 3].flatten()[ONLY_TESTED] = 200
    train_set, test_set = (
        Examples(images, labels, affine, affine if compiled else None) for images in (pixels(copies), tested)
    )
    return train_set, test_set


def specified(settings: dict[str, Any]) -> TrainingSpec:
    base = {"epochs": 3, "batch": 4, "optimiser": HEAVY, "dtype": "float64", "checkpoints": [2], "inputs": "nonzero"}
    return TrainingSpec.model_validate(base | settings)


def built(model: dict[str, Any], dtype: torch.dtype = torch.float64) -> Model:
    return build(TypeAdapter(ModelSpec).validate_python(model), SHAPE, CLASSES, dtype)


def trained(
    model: dict[str, Any], settings: dict[str, Any], data: tuple[Examples, Examples], keep: Folder | None = None
) -> list[Trained]:
    spec = specified(settings)
    return train(spec, built(model, getattr(torch, spec.dtype)), SEEDS, *data, device=CPU, label="test", keep=keep)


@pytest.mark.parametrize("copies", [1, len(SEEDS)])
@pytest.mark.parametrize("case", CASES)
def test_nothing_changes_but_rounding(case: str, copies: int) -> None:
    model, settings = CASES[case]
    task = without_blank(built(model), specified(settings), *sets(copies))
    assert task.narrow and task.train.images.shape[-1] < 72
    found, expected = (trained(model, settings | {"inputs": inputs}, sets(copies)) for inputs in INPUTS)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.losses, other.losses, rtol=1e-10, atol=0)
        for epoch, true in zip(one.epochs, other.epochs, strict=True):
            torch.testing.assert_close(epoch.test.loss, true.test.loss, rtol=1e-10, atol=0)
            assert torch.equal(epoch.test.correct, true.test.correct)
        assert one.checkpoints.keys() == other.checkpoints.keys()
        for step, state in one.checkpoints.items():
            assert list(state) == list(other.checkpoints[step])
            for name, value in state.items():
                torch.testing.assert_close(value, other.checkpoints[step][name], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("way", ["compiled", "converted beforehand"])
def test_nothing_changes_but_rounding_however_batches_are_made(way: str) -> None:
    data = sets(compiled=way == "compiled")
    if way == "converted beforehand":
        data = converted(data[0]), converted(data[1])
    assert without_blank(built(MLP), specified({}), *data).narrow
    (one,), (other,) = (trained(MLP, {"group": 3, "inputs": inputs}, data) for inputs in INPUTS)
    torch.testing.assert_close(one.losses, other.losses, rtol=1e-10, atol=0)


@pytest.mark.parametrize("narrow", ["none", "bfloat16"])
def test_single_precision_changes_in_its_last_digits(narrow: str) -> None:
    """With 64 hidden units the first layer is large enough for bfloat16, with and without its blank inputs."""
    model, settings = MLP | {"hidden": (64,)}, {"group": 3, "dtype": "float32", "autocast": narrow, "epochs": 1}
    data = sets(dtype=torch.float32)
    (one,), (other,) = (trained(model, settings | {"inputs": inputs}, data) for inputs in INPUTS)
    torch.testing.assert_close(one.losses, other.losses, rtol=1e-5 if narrow == "none" else 1e-2, atol=0)


def test_replicas_diverge_where_they_do_with_all_inputs() -> None:
    settings = {"group": 3, "dtype": "float32", "optimiser": {"name": "sgd", "lr": 3e19}, "loss": "mse"}
    model = MLP | {"activation": "linear"}
    data = sets(dtype=torch.float32)
    (one,), (other,) = (trained(model, settings | {"inputs": inputs}, data) for inputs in INPUTS)
    assert any(one.stopped_at) and one.stopped_at == other.stopped_at
    assert all(value.isfinite().all() for state in one.checkpoints.values() for value in state.values())


def test_other_weights_keep_their_first_values_to_the_last_bit() -> None:
    blank = pixels().flatten(0, 2).flatten(1).eq(0).all(0)
    (group,) = trained(TANH, {"group": 3}, sets())
    first, last = (group.checkpoints[step]["layers.0.weight"] for step in (0, group.plan.steps))
    assert torch.equal(first, torch.stack([built(TANH).init(seed)["layers.0.weight"] for seed in SEEDS]))
    assert torch.equal(first[:, :, blank], last[:, :, blank])
    assert not (first == last)[:, :, ~blank].any()


def test_as_many_inputs_are_kept_as_products_like() -> None:
    train_set, test_set = sets()
    task = without_blank(built(MLP), specified({}), train_set, test_set)
    live = ((train_set.images != 0) | (test_set.images != 0)).any(1).flatten()
    assert task.train.images.shape == (1, COUNT, 1, 1, 2 * MULTIPLE) and live.sum() == 18
    assert live[ONLY_TESTED] and not (train_set.images.flatten(2)[..., ONLY_TESTED]).any()
    kept = task.model.init(1)["layers.0.weight"]
    whole = built(MLP).init(1)["layers.0.weight"]
    columns = [int((whole == column[:, None]).all(0).nonzero()) for column in kept.T]
    assert columns == sorted(columns) and set(live.nonzero().flatten().tolist()) < set(columns)


@pytest.mark.parametrize(
    "settings",
    [
        {"optimiser": HEAVY | {"weight_decay": 0.1}},
        {"optimiser": {"name": "flow", "lr": 0.1}, "batch": None},
        {"observe": {"norms": {}}},
    ],
    ids=["decay", "flow", "observed"],
)
def test_a_training_that_counts_all_weights_needs_all_inputs(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="'inputs: nonzero' forbids"):
        specified(settings)
    specified(settings | {"inputs": "all"})


@pytest.mark.parametrize(
    ("model", "kind", "mend"),
    [
        (MLP, "dataset", "set 'standardise' to {kind: unit}"),
        (MLP | {"norm": "batch"}, "unit", "set 'inputs' to 'all'"),
        (MLP | {"dropout": 0.5}, "unit", "set 'inputs' to 'all'"),
        ({"family": "cnn", "channels": (2,)}, "unit", "set 'inputs' to 'all'"),
    ],
    ids=["shifted", "normalised", "dropout", "convolutional"],
)
def test_what_cannot_do_without_inputs_is_refused(model: dict[str, Any], kind: str, mend: str) -> None:
    with pytest.raises(SymbreakError, match=mend):
        trained(model, {}, sets(kind=kind))


def test_a_function_of_which_nothing_is_known_is_refused() -> None:
    known, tested = sets()
    unknown = Examples(known.images, known.labels, lambda batch: known.convert(batch))
    for data in ((unknown, tested), (tested, unknown)):
        with pytest.raises(SymbreakError, match="nothing says that pixels which are 0 stay 0"):
            trained(MLP, {}, data)


def test_all_inputs_stay_if_none_is_blank_or_nobody_asks() -> None:
    net, (train_set, test_set) = built(MLP), sets()
    full = Examples(train_set.images.clamp(min=1), train_set.labels, train_set.convert)
    assert without_blank(net, specified({}), full, test_set).narrow is None
    task = without_blank(net, specified({"inputs": "all"}), train_set, test_set)
    assert (task.narrow, task.model, task.train, task.test) == (None, net, train_set, test_set)


def test_a_killed_training_goes_on_to_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (undisturbed,) = trained(MLP, {"group": 3}, sets())
    step = Ensemble.step

    def killed(self: Ensemble, *args: Any, **kwargs: Any) -> Tensor:
        if self.steps == 7:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    path = tmp_path / "a.resume"
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt), Folder(path, {}, seconds=0) as keep:
        patched.setattr(Ensemble, "step", killed)
        trained(MLP, {"group": 3}, sets(), keep)
    with Folder(path, {}, seconds=0) as keep:
        snapshot = keep.of(0).last()
        (resumed,) = trained(MLP, {"group": 3}, sets(), keep)
    assert snapshot and snapshot.facts["steps"] == 7
    assert torch.equal(resumed.losses, undisturbed.losses)
    for number, state in undisturbed.checkpoints.items():
        assert all(torch.equal(value, resumed.checkpoints[number][name]) for name, value in state.items())

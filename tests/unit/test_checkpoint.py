"""Snapshots survive a kill at any moment, and a training that goes on from one ends as if nothing had happened."""

import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from symbreak.config.models import ModelSpec
from symbreak.config.specs import TrainingSpec
from symbreak.errors import SymbreakError
from symbreak.files import remove_leftovers
from symbreak.models.model import build
from symbreak.progress.reporter import Update
from symbreak.training import engine
from symbreak.training.checkpoint import Folder, Keeper, Snapshot
from symbreak.training.engine import train
from symbreak.training.examples import Examples
from symbreak.training.trained import Trained

IDENTITY = {"code": "abc", "parameters": {"lr": 0.1}}


def snapshot(steps: int) -> Snapshot:
    tensors = {"memory/w": torch.full((3, 2), float(steps)), "epochs/n": torch.tensor(steps)}
    return Snapshot(tensors, {"steps": steps, "stopped_at": [None, 4]})


def equal(one: Snapshot | None, other: Snapshot) -> bool:
    if one is None or one.facts != other.facts or one.tensors.keys() != other.tensors.keys():
        return False
    return all(torch.equal(one.tensors[name], other.tensors[name]) for name in other.tensors)


def opened(path: Path, identity: dict[str, Any] | None = None) -> Folder:
    return Folder(path, IDENTITY if identity is None else identity, seconds=0)


def last(path: Path) -> Snapshot | None:
    with opened(path) as folder:
        return folder.of(0).last()


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A folder with a snapshot of step 5."""
    with opened(tmp_path / "a.resume") as folder:
        folder.of(0).keep(snapshot(5))
    return tmp_path / "a.resume"


def test_the_last_snapshot_comes_back_as_it_was(tmp_path: Path) -> None:
    with opened(tmp_path / "a.resume") as folder:
        for number in (0, 1):
            assert folder.of(number).last() is None
            for steps in (3, 5 + number):
                folder.of(number).keep(snapshot(steps))
    with opened(tmp_path / "a.resume") as folder:
        assert equal(folder.of(0).last(), snapshot(5))
        assert equal(folder.of(1).last(), snapshot(6))
    assert len(list((tmp_path / "a.resume").glob("*.safetensors"))) == 2


def test_snapshots_are_due_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("symbreak.training.checkpoint.time.monotonic", lambda: now[0])
    with Folder(tmp_path / "a.resume", IDENTITY, seconds=60) as folder:
        keeper = folder.of(0)
        assert not keeper.due()
        now[0] += 60
        assert keeper.due()
        keeper.keep(snapshot(1))
        assert not keeper.due()


def test_a_complete_run_leaves_nothing(kept: Path) -> None:
    with opened(kept) as folder:
        pass
    folder.remove()
    assert not kept.exists()


def test_a_folder_in_which_nothing_was_kept_goes_away(tmp_path: Path) -> None:
    with pytest.raises(KeyError), opened(tmp_path / "a.resume"):
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_two_processes_never_share_a_folder(kept: Path) -> None:
    with opened(kept), pytest.raises(SymbreakError, match=r"another process is training .*a\.resume"), opened(kept):
        pass
    assert equal(last(kept), snapshot(5))


def interrupted(job: Callable[[], object], event: int, how: str) -> bool:
    """Run ``job`` in a child that is killed, or whose disk fails, at its n-th audit event; False if it had fewer.

    Python reports every operation on files to its audit hooks before it is done.
    """
    child = os.fork()
    if child == 0:
        left = [event]

        def hook(name: str, arguments: tuple[object, ...]) -> None:
            left[0] -= 1
            if left[0] == 0 and how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if left[0] == 0:
                raise OSError(28, "No space left on device")

        sys.addaudithook(hook)
        try:
            job()
        except OSError:
            os._exit(1)
        finally:
            os._exit(0 if left[0] > 0 else 1)
    return os.waitpid(child, 0)[1] != 0


@pytest.mark.parametrize("how", ["kill", "error"])
def test_an_end_at_any_moment_of_a_write_leaves_the_last_good_snapshot(tmp_path: Path, how: str) -> None:
    found: list[int] = []
    for event in range(1, 200):
        path = tmp_path / f"{event}.resume"
        with opened(path) as folder:
            folder.of(0).keep(snapshot(5))
            alive = not interrupted(partial(folder.of(0).keep, snapshot(8)), event, how)
        read = last(path)
        assert read is not None
        assert equal(read, snapshot(read.facts["steps"]))
        found.append(read.facts["steps"])
        assert not list(path.glob(".*"))
        with opened(path) as folder:
            folder.of(0).keep(snapshot(9))
        assert sorted(p.suffix for p in path.iterdir() if p.name != "lock") == [".json", ".safetensors"]
        if alive:
            break
    assert alive
    assert len(found) > 8
    assert set(found) == {5, 8}
    assert found == sorted(found) or how == "error"  # some errors do not matter to whom they happen


@pytest.mark.parametrize("how", ["kill", "error"])
def test_an_end_at_any_moment_of_the_first_write_leaves_a_whole_one_or_none(tmp_path: Path, how: str) -> None:
    found: list[bool] = []
    for event in range(1, 200):
        path = tmp_path / f"{event}.resume"
        with opened(path) as folder:
            alive = not interrupted(partial(folder.of(0).keep, snapshot(5)), event, how)
        read = last(path)
        assert read is None or equal(read, snapshot(5))
        found.append(read is not None)
        if alive:
            break
    assert alive
    assert found == sorted(found) or how == "error"
    assert set(found) == {False, True}


def test_unfinished_temporary_files_are_no_snapshots_of_another_job(kept: Path, capsys: pytest.CaptureFixture) -> None:
    for name, content in ((".group-00000.x1.json", ""), (".group-00000.step-00000008.x2.safetensors", "half")):
        (kept / name).write_text(content)
    assert equal(last(kept), snapshot(5))
    assert "another" not in capsys.readouterr().err
    assert not list(kept.glob(".*"))


def test_snapshots_of_another_job_are_refused_by_name(kept: Path, capsys: pytest.CaptureFixture) -> None:
    with opened(kept, {"code": "abd", "parameters": {"lr": 0.1}, "device": "gpu"}) as folder:
        assert folder.of(0).last() is None
    assert f"{kept} is of another job (code, device differ): training anew" in capsys.readouterr().err
    assert not kept.exists()


def test_a_parameter_less_is_another_job(kept: Path, capsys: pytest.CaptureFixture) -> None:
    with opened(kept, {"code": "abc"}) as folder:
        assert folder.of(0).last() is None
    assert "(parameters differ)" in capsys.readouterr().err


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


@pytest.mark.parametrize("damage", ["truncated", "empty", "missing", "flipped in the header", "flipped at the end"])
def test_damaged_tensors_are_noticed(kept: Path, damage: str, capsys: pytest.CaptureFixture) -> None:
    (path,) = kept.glob("*.safetensors")
    content = path.read_bytes()
    damaged = {
        "truncated": content[:-1],
        "empty": b"",
        "flipped in the header": flipped(content, 20),
        "flipped at the end": flipped(content, len(content) - 1),
    }
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(damaged[damage])
    assert last(kept) is None
    error = capsys.readouterr().err
    assert "group-00000.json" in error
    assert "damaged: training anew" in error


def test_a_bit_flipped_anywhere_in_the_json_is_noticed(kept: Path, capsys: pytest.CaptureFixture) -> None:
    path = kept / "group-00000.json"
    content, refused = path.read_bytes(), 0
    for place in range(len(content)):
        path.write_bytes(flipped(content, place))
        found = last(kept)
        assert found is None or equal(found, snapshot(5))  # a blank may change
        assert ("damaged" in capsys.readouterr().err) == (found is None)
        refused += found is None
    assert refused > 0.8 * len(content)


def test_leftovers_are_those_of_the_artifact_alone(tmp_path: Path) -> None:
    stale = (".bn.x.safetensors", ".bn.steps.x.parquet", ".bn.manifest.x.json")
    others = ("bn.safetensors", ".bn2.x.safetensors", ".gitignore", "bn.manifest.json")
    for name in stale + others:
        (tmp_path / name).touch()
    remove_leftovers(tmp_path / "bn.safetensors")
    assert {path.name for path in tmp_path.iterdir()} == set(others)


# From here on: trainings.

SHAPE, SEEDS = (1, 12, 12), (1, 2, 3)
MLP: dict[str, Any] = {"family": "mlp", "hidden": [8]}
NOISY = MLP | {"hidden": [8, 8], "norm": "batch", "dropout": 0.3}
RESNET: dict[str, Any] = {"family": "resnet", "widths": [2, 3], "shortcut": {"kind": "dropout", "dropout": 0.5}}
SGD = {"name": "sgd", "lr": 0.05, "momentum": 0.9, "dampening": 0.2, "weight_decay": 0.01}
ADAM = {"name": "adam", "lr": 0.01}
FLOW = {"optimiser": {"name": "flow", "lr": 0.1, "rtol": 1e-6}, "dtype": "float64", "batch": None, "epochs": 5}
RMSPROP = {"name": "rmsprop", "lr": 0.001}
CROSSED = {"order": "shared", "order_seeds": [7, 8], "crossed": True, "group": 2}
WATCHED = {"observe": {"charges": {"units": 2}, "norms": {}}}
HALF = {"autocast": "bfloat16"}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "sgd": (MLP, {"optimiser": {"name": "sgd", "lr": 0.1}}),
    "momentum": (MLP, {}),
    "momentum by autograd": (NOISY, {}),
    "adam": (MLP, {"optimiser": ADAM}),
    "adam by autograd": (NOISY, {"optimiser": ADAM, "schedule": {"kind": "cosine", "warmup": 1}}),
    "rmsprop": (MLP, {"optimiser": RMSPROP}),
    "rmsprop by autograd": (NOISY, {"optimiser": RMSPROP}),
    "resnet": (RESNET, {}),
    "bfloat16": (MLP, HALF),
    "bfloat16 by autograd": (NOISY, HALF | {"optimiser": ADAM}),
    "flow": (MLP | {"activation": "tanh"}, FLOW | {"checkpoints": [0, 2]}),
    "flow with batch norm": (MLP | {"activation": "tanh", "norm": "batch"}, FLOW | {"checkpoints": [4]}),
    "groups": (MLP, {"group": 2}),
    "crossed orders": (NOISY, CROSSED),
    "observed": (MLP | {"hidden": [6, 4]}, WATCHED),
    "observed by autograd": (NOISY | {"dropout": 0.0}, WATCHED | {"group": 2, "optimiser": ADAM}),
    "cut short": (NOISY, {"epochs": None, "steps": 9, "checkpoints": [9], "evaluate_train": "final"}),
    "without the last batch": (MLP, {"drop_last": True, "checkpoints": [1, 6], "dtype": "float64"}),
}


def examples(poison: float | None = None) -> Examples:
    """Own images for each of three seeds; ``poison`` goes into an image of the second."""
    draw = torch.Generator().manual_seed(1)
    images = torch.randn(3, 22, *SHAPE, generator=draw)
    if poison is not None:
        images[1, 7] = poison
    return Examples(images, torch.randint(3, (1, 22), generator=draw), lambda batch: batch)


def training(model: dict[str, Any], settings: dict[str, Any], data: Examples, keep: Folder | None) -> list[Trained]:
    lengths = {"epochs": 3, "batch": 6, "checkpoints": [2, 7, 11]}
    spec = TrainingSpec.model_validate(lengths | {"optimiser": SGD} | settings)
    dtype = getattr(torch, spec.dtype)
    converted = Examples(data.images.to(dtype), data.labels, data.convert)
    built = build(TypeAdapter(ModelSpec).validate_python(model), SHAPE, 3, dtype)
    return train(spec, built, SEEDS, converted, converted, device=torch.device("cpu"), label="test", keep=keep)


def raw(value: torch.Tensor) -> tuple[object, ...]:
    """What a tensor is, NaNs and signs of zeros included."""
    return value.dtype, value.shape, value.contiguous().numpy().tobytes()


def record(groups: list[Trained]) -> list[object]:
    """Everything that training gives, as comparable values."""
    found: list[object] = []
    for group in groups:
        found += [group.replicas, group.plan.steps, group.stopped_at, raw(group.losses)]
        found += [{(step, name): raw(v) for step, state in group.checkpoints.items() for name, v in state.items()}]
        found += [{name: raw(value) for name, value in group.observed.items()}]
        for epoch in group.epochs:
            scores = [epoch.test] + [score for score in (epoch.train,) if score is not None]
            found += [(epoch.epoch, epoch.step, len(scores))]
            found += [(raw(score.loss), raw(score.correct), score.count) for score in scores]
    return found


class Killed(BaseException):
    """Stands for a signal."""


@contextmanager
def kills(monkeypatch: pytest.MonkeyPatch, steps: list[int], every: int) -> Iterator[list[int]]:
    """End a training at each of ``steps``, counted over all groups, once; a snapshot is due at every n-th step."""
    left, calls = list(steps), [0]

    @contextmanager
    def reporter(label: str, total: int) -> Iterator[Update]:
        def update(step: int, *, epoch: float, epochs: float, loss: float) -> None:
            if left and step == left[0]:
                left.pop(0)
                raise Killed

        yield update

    def due(keeper: Keeper) -> bool:
        calls[0] += 1
        return calls[0] % every == 0

    with monkeypatch.context() as patched:
        patched.setattr(engine, "reporter", reporter)
        patched.setattr(Keeper, "due", due)
        yield left


def survived(train_once: Callable[[Folder], list[Trained]], path: Path, kills: int) -> list[Trained]:
    """Train, again and again until it is not killed."""
    for _ in range(kills):
        with pytest.raises(Killed), opened(path) as folder:
            train_once(folder)
    with opened(path) as folder:
        return train_once(folder)


def check(
    monkeypatch: pytest.MonkeyPatch,
    path: Path,
    model: dict[str, Any],
    settings: dict[str, Any],
    *,
    data: Examples,
    draw: random.Random,
) -> list[Trained]:
    """Kill a training at four random steps and compare with an undisturbed one."""
    undisturbed = training(model, settings, data, None)
    steps = sorted(draw.sample(range(1, sum(group.plan.steps for group in undisturbed) + 1), 4))
    with kills(monkeypatch, steps, every=2) as left:
        resumed = survived(lambda folder: training(model, settings, data, folder), path, len(steps))
    assert left == []
    assert record(resumed) == record(undisturbed), f"killed at steps {steps}"
    return undisturbed


@pytest.mark.parametrize("case", CASES)
def test_a_killed_training_ends_as_an_undisturbed_one(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    model, settings = CASES[case]
    path, draw = tmp_path / "a.resume", random.Random(case)
    check(monkeypatch, path, model, settings, data=examples(), draw=draw)
    assert "resuming from step" in capsys.readouterr().err


POISONED = ("momentum", "momentum by autograd", "adam", "observed", "crossed orders", "flow")


@pytest.mark.parametrize(
    ("case", "poison"), [*((case, float("nan")) for case in POISONED), ("momentum", 1e30), ("crossed orders", 1e30)]
)
def test_a_replica_that_had_diverged_stays_so(
    case: str, poison: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, settings = CASES[case]
    draw = random.Random(f"{case} {poison}")
    done = check(monkeypatch, tmp_path / "a.resume", model, settings, data=examples(poison), draw=draw)
    stopped = {r.seed for group in done for r, at in zip(group.replicas, group.stopped_at, strict=True) if at}
    assert stopped == {2}


def test_a_kill_while_a_snapshot_is_written_or_an_epoch_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, settings = CASES["observed by autograd"]
    undisturbed = training(model, settings, examples(), None)
    left = {"keep": [3, 9, 16], "kept": [4, 8, 24], "evaluate": [0, 3, 9]}
    calls = dict.fromkeys(left, 0)

    def dying(name: str) -> None:
        calls[name] += 1
        if left[name] and calls[name] >= left[name][0]:
            left[name].pop(0)
            raise Killed

    keep, evaluate = Keeper.keep, engine.evaluate

    def keeping(keeper: Keeper, found: Snapshot) -> None:
        dying("keep")
        keep(keeper, found)
        dying("kept")

    def evaluating(*arguments: Any) -> Any:
        dying("evaluate")
        return evaluate(*arguments)

    monkeypatch.setattr(Keeper, "keep", keeping)
    monkeypatch.setattr(engine, "evaluate", evaluating)
    resumed = survived(lambda folder: training(model, settings, examples(), folder), tmp_path / "a.resume", 9)
    assert left == {"keep": [], "kept": [], "evaluate": []}
    assert record(resumed) == record(undisturbed)


def test_a_complete_group_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    model, settings = CASES["groups"]
    with kills(monkeypatch, [15], every=1000):
        survived(lambda folder: training(model, settings, examples(), folder), tmp_path / "a.resume", 1)
    error = capsys.readouterr().err
    assert "group-00000.json: resuming from step 12" in error
    assert "group-00001" not in error


def test_after_damage_training_starts_anew_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    model, settings = CASES["momentum by autograd"]
    path = tmp_path / "a.resume"
    with kills(monkeypatch, [7], every=1):
        with pytest.raises(Killed), opened(path) as folder:
            training(model, settings, examples(), folder)
        (tensors,) = path.glob("*.safetensors")
        tensors.write_bytes(flipped(tensors.read_bytes(), 2000))
        with opened(path) as folder:
            resumed = training(model, settings, examples(), folder)
    assert record(resumed) == record(training(model, settings, examples(), None))
    error = capsys.readouterr().err
    assert "damaged: training anew" in error
    assert "resuming" not in error


def test_another_data_order_than_the_snapshots_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, settings = CASES["momentum"]
    with kills(monkeypatch, [7], every=1):
        with pytest.raises(Killed), opened(tmp_path / "a.resume") as folder:
            training(model, settings, examples(), folder)
        monkeypatch.setattr("symbreak.training.plan.derive", lambda *names: 12345)
        with (
            pytest.raises(SymbreakError, match=r"another data order than in .*group-00000\.json"),
            opened(tmp_path / "a.resume") as folder,
        ):
            training(model, settings, examples(), folder)

"""Probes of networks on the runs of the pipeline: each table is that of ``measure`` called by hand.

The oracle reads the run's file and the set itself, standardises in numpy (float64) and hands the network over.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from symbreak.config.probes import probe_modules, problems
from symbreak.config.specs import ArmSpec
from symbreak.data.prepared import Prepared, load, save
from symbreak.data.subsets import balanced
from symbreak.errors import SymbreakError
from symbreak.models.model import build
from symbreak.probes import gradients, hessian, landscape, layers, lesion, noether, npoint, replica
from symbreak.probes import run as job
from symbreak.probes.catalogue import PROBES
from symbreak.probes.network import Data, Network, of_model
from symbreak.probes.piped_options import OPTIONS
from symbreak.probes.report import Report
from symbreak.probes.source import Source
from symbreak.provenance.closure import closure, fingerprint
from symbreak.provenance.manifest import read_manifest
from symbreak.seeding import derive
from symbreak.training.run import run as train

ARM: dict[str, Any] = {
    "experiment": "toy",
    "arm": "small",
    "seeds": [5, 9, 11],
    "data": {"set": "mnist", "train": 40, "test": 30, "crop": 6},
    "model": {"family": "mlp", "hidden": [5], "activation": "relu"},
    "training": {
        "steps": 6,
        "batch": 20,
        "loss": "mse",
        "optimiser": {"name": "sgd", "lr": 0.1, "momentum": 0.5},
        "dtype": "float64",
        "checkpoints": [2, 4],
    },
    "probes": {},
}
# without the counts of modes: those that are zero but for rounding fall on either side
HESSIAN: dict[str, Any] = {"k": 2, "spectrum": "none", "probes": 5}

pytestmark = pytest.mark.usefixtures("process_state")


def spec(**changes: Any) -> ArmSpec:
    """The arm with some keys of its sections changed; a model with a family of its own takes the place of the MLP."""
    whole = {key: not isinstance(value, dict) or "family" in value for key, value in changes.items()}
    merged = {key: value if whole[key] else ARM[key] | value for key, value in changes.items()}
    return ArmSpec.model_validate(ARM | merged)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    draw = np.random.default_rng(0)
    arrays = {f"{part}_images": draw.integers(0, 256, (100, 1, 28, 28), np.uint8) for part in ("train", "test")}
    labels = {f"{part}_labels": draw.permutation(np.arange(100, dtype=np.uint8) % 10) for part in ("train", "test")}
    path = tmp_path_factory.mktemp("data") / "mnist.npz"
    save(path, Prepared(**arrays, **labels))
    return path


@pytest.fixture(scope="module")
def source(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Source:
    return trained(spec(), images, tmp_path_factory.mktemp("run"))


def trained(arm: ArmSpec, images: Path, folder: Path) -> Source:
    out = folder / "small.safetensors"
    assert arm.model is not None
    code = fingerprint("symbreak.training.run", (f"symbreak.models.{arm.model.family}",))
    train(arm, code=code, data=images, out=out)
    return Source(arm, out, images)


def file(source: Source) -> Path:
    assert source._run is not None
    return source._run


def by_hand(source: Source, steps: list[int], replicas: list[int]) -> Network:
    """One set of weights for each pair of ``steps`` and ``replicas``."""
    stored, model_spec = load_file(file(source)), source.spec.model
    assert model_spec is not None
    names = [name.removeprefix("step=00000000/") for name in stored if name.startswith("step=00000000/")]
    rows = {n: [stored[f"step={s:08d}/{n}"][r] for s, r in zip(steps, replicas, strict=True)] for n in names}
    state = {name: torch.from_numpy(np.stack(values)).double() for name, values in rows.items()}
    return of_model(build(model_spec, (1, 6, 6), 10, torch.float64), state)


def examples(source: Source, part: str = "train", row: int = 0, count: int = 40) -> Data:
    whole, stored = load(source._data or Path()), load_file(file(source))
    pixels = (whole.train_images if part == "train" else whole.test_images)[:, :, 11:17, 11:17]
    if part == "train":
        index, labels = stored["data/train_index"], stored["data/train_labels"]
        rows, y = index[min(row, len(index) - 1)], labels[min(row, len(labels) - 1)]
    else:
        rows, y = stored["data/test_index"], whole.test_labels[stored["data/test_index"]]
    fractions = whole.train_images.astype(np.float64) / 255
    x = (pixels[rows] / 255 - fractions.mean()) / fractions.std()
    return Data(torch.from_numpy(x[:count]), torch.from_numpy(y[:count].astype(np.int64)))


def seed(of: int, probe: str) -> int:
    return derive(of, "probe", probe)


def same(table: pd.DataFrame, reports: list[Report]) -> None:
    """The numbers of the table are those of the reports, in their order, to the rounding of the inputs."""
    for name in reports[0].results:
        rows = table[table["quantity"] == name]
        value = np.concatenate([report.results[name].value.ravel() for report in reports])
        np.testing.assert_allclose(rows["value"], value, rtol=1e-7, atol=1e-9, err_msg=name)
        assert set(rows["unit"]) == ({report.results[name].unit for report in reports} if len(value) else set())
    assert set(table["quantity"]) <= set(reports[0].results)


def of(table: pd.DataFrame, quantity: str, column: str) -> list[Any]:
    return [None if pd.isna(value) else value for value in table.loc[table["quantity"] == quantity, column]]


def test_a_probe_of_a_model_measures_all_replicas_at_the_last_step(source: Source) -> None:
    table = job.find("hessian")(source, **HESSIAN)
    report = hessian.measure(
        by_hand(source, [6] * 3, [0, 1, 2]), examples(source), seed=seed(5, "hessian"), loss="mse", **HESSIAN
    )
    same(table, [report])
    assert of(table, "eigenvalues", "seed") == [5, 5, 9, 9, 11, 11]
    assert of(table, "eigenvalues", "rank") == [0, 1] * 3
    assert set(table["step"]) == {6}
    np.testing.assert_allclose(
        table.loc[table["quantity"] == "eigenvalues", "error"], report.results["residuals"].value.ravel(), atol=1e-12
    )
    assert not table["diverged"].any()


def test_steps_test_images_and_their_number_are_chosen(source: Source) -> None:
    table = job.find("gradients")(source, data="test", images=12, step=[0, 4], batch=4)
    reports = [
        gradients.measure(
            by_hand(source, [step] * 3, [0, 1, 2]),
            examples(source, "test", count=12),
            seed=seed(5, "gradients"),
            loss="mse",
            batch=4,
        )
        for step in (0, 4)
    ]
    same(table, reports)
    assert of(table, "snr", "step") == [0] * 12 + [4] * 12


def test_moments_of_a_training_are_followed_replica_by_replica(source: Source) -> None:
    table = job.find("gradients")(source, along="training", step=[0, 2, -1])
    reports = [
        gradients.measure(
            by_hand(source, [0, 2, 6], [r] * 3), examples(source), seed=seed(s, "gradients"), loss="mse", axis="time"
        )
        for r, s in enumerate((5, 9, 11))
    ]
    same(table, reports)
    assert of(table, "mean", "step") == ([0] * 4 + [2] * 4 + [6] * 4) * 3
    assert of(table, "mean", "seed") == [5] * 12 + [9] * 12 + [11] * 12


def test_layers_takes_the_steps_as_its_times(images: Path, tmp_path: Path) -> None:
    arm = spec(model={"hidden": [5, 5, 5, 5]})
    deep = trained(arm, images, tmp_path)
    table = job.find("layers")(deep, along="training", step=[0, 2, 4, 6], permutations=50)
    one = layers.measure(
        by_hand(deep, [0, 2, 4, 6], [1] * 4),
        examples(deep),
        seed=seed(9, "layers"),
        loss="mse",
        permutations=50,
        times=[0, 2, 4, 6],
    )
    same(table[table["seed"] == 9], [one])
    assert max(of(table, "freeze_out", "value")) <= 6


def test_an_ensemble_names_both_replicas_of_a_pair(source: Source) -> None:
    table = job.find("replica")(source)
    same(
        table,
        [replica.measure(by_hand(source, [6] * 3, [0, 1, 2]), examples(source), seed=seed(5, "replica"), loss="mse")],
    )
    assert of(table, "distance", "seed") == [5, 5, 5, 9, 9, 9, 11, 11, 11]
    assert of(table, "distance", "other_seed") == [5, 9, 11] * 3
    assert of(table, "mean_distance", "seed") == [None]


def test_a_pair_is_two_steps_of_each_replica_or_two_replicas(source: Source) -> None:
    table = job.find("landscape")(source, points=3)
    reports = [
        landscape.measure(
            by_hand(source, [0, 6], [r, r]), examples(source), seed=seed(s, "landscape"), loss="mse", points=3
        )
        for r, s in enumerate((5, 9, 11))
    ]
    same(table, reports)
    assert of(table, "loss", "seed") == of(table, "loss", "seed_2") == [5] * 3 + [9] * 3 + [11] * 3
    assert set(of(table, "loss", "step")) == {0}
    assert set(of(table, "loss", "step_2")) == {6}
    table = job.find("landscape")(source, replicas=[[2, 0]], points=3)
    line = by_hand(source, [6, 6], [2, 0])
    same(table, [landscape.measure(line, examples(source), seed=seed(11, "landscape"), loss="mse", points=3)])
    assert (set(table["seed"]), set(table["seed_2"]), set(table["step"])) == ({11}, {5}, {6})


def test_a_trajectory_takes_its_constants_from_the_training(source: Source) -> None:
    table = job.find("noether")(source)
    law: dict[str, Any] = {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.0, "steps": 2, "rest": True, "batch": 20}
    reports = [
        noether.measure(
            by_hand(source, [0, 2, 4, 6], [r] * 4), examples(source), seed=seed(s, "noether"), loss="mse", **law
        )
        for r, s in enumerate((5, 9, 11))
    ]
    same(table, reports)
    (charge,) = {q for q in table["quantity"] if q.endswith("/charge")}
    units = len(of(table, charge, "unit_index")) // 12
    assert of(table, charge, "step")[: 4 * units] == [s for s in (0, 2, 4, 6) for _ in range(units)]


def test_without_known_constants_charges_are_measured_and_the_table_says_why(images: Path, tmp_path: Path) -> None:
    source = trained(spec(training={"optimiser": {"name": "adam", "lr": 0.01}}), images, tmp_path)
    table = job.find("noether")(source)
    assert not any(name.endswith("/predicted") for name in table["quantity"])
    assert any("no law is known" in warning and "seeds 9 at" in warning for warning in table.attrs["warnings"])


def test_replicas_with_labels_of_their_own_are_measured_with_them(images: Path, tmp_path: Path) -> None:
    source = trained(spec(data={"labels": {"kind": "random"}}), images, tmp_path)
    table = job.find("gradients")(source)
    reports = [
        gradients.measure(by_hand(source, [6], [r]), examples(source, row=r), seed=seed(s, "gradients"), loss="mse")
        for r, s in enumerate((5, 9, 11))
    ]
    same(table, reports)
    assert of(table, "snr", "seed") == [5] * 4 + [9] * 4 + [11] * 4
    with pytest.raises(SymbreakError, match="data: test"):
        job.find("npoint")(source)
    with pytest.raises(SymbreakError, match="its own 'train'"):
        job.find("landscape")(source, replicas=[[0, 1]])


def test_crossed_orders_are_told_apart_and_a_diverged_replica_is_marked(images: Path, tmp_path: Path) -> None:
    arm = spec(seeds=[5, 9], training={"order": "shared", "order_seeds": [1, 2], "crossed": True})
    source = trained(arm, images, tmp_path)
    history = source.epochs
    here = (history["seed"] == 9) & (history["order_seed"] == 2)
    source.epochs = history.assign(diverged=here)
    table = job.find("hessian")(source, **HESSIAN)
    assert of(table, "trace", "seed") == [5, 9, 5, 9]
    assert of(table, "trace", "order_seed") == [1, 1, 2, 2]
    assert of(table, "trace", "diverged") == [False, False, False, True]
    network = by_hand(source, [6] * 4, [0, 1, 2, 3])
    same(table, [hessian.measure(network, examples(source), seed=seed(5, "hessian"), loss="mse", **HESSIAN)])


def test_an_arm_that_trains_nothing_is_probed_at_its_initialisation_in_the_type_asked_for(images: Path) -> None:
    seeds = list(range(40))
    arm = spec(seeds=seeds, training=None, model={"family": "mlp", "hidden": [5], "activation": "tanh"})
    table = job.find("npoint")(Source(arm, data=images), points=2, images=3, dtype="float64", data="test")
    assert arm.model is not None
    model = build(arm.model, (1, 6, 6), 10, torch.float64)
    states = [model.init(s) for s in seeds]
    network = of_model(model, {name: torch.stack([state[name] for state in states]) for name in states[0]})
    whole = load(images)
    fractions = whole.train_images.astype(np.float64) / 255
    rows = balanced(whole.test_labels, 30, 10, derive(0, "subset", "test"))[:3]
    x: NDArray[np.float64] = (whole.test_images[rows][:, :, 11:17, 11:17] / 255 - fractions.mean()) / fractions.std()
    data = Data(torch.from_numpy(x), torch.zeros(3, dtype=torch.int64))
    same(table, [npoint.measure(network, data, seed=seed(0, "npoint"), points=2)])
    assert set(of(table, "g2", "seed")) == {None}
    assert set(table["step"]) == {0}


def test_residual_networks_keep_their_running_statistics(images: Path, tmp_path: Path) -> None:
    arm = spec(
        data={"crop": None},
        seeds=[5, 9],
        model={"family": "resnet", "stem": "cifar", "widths": [4, 4], "blocks": 1},
        training={"group": 1},
    )
    source = trained(arm, images, tmp_path)
    table = job.find("lesion")(source, paths=0, images=10)
    assert arm.model is not None
    stored = load_file(file(source))
    state = {
        n.removeprefix("step=00000006/"): torch.from_numpy(v)
        for n, v in stored.items()
        if n.startswith("step=00000006/")
    }
    whole = load(images)
    fractions = whole.train_images.astype(np.float64) / 255
    x = (whole.train_images[stored["data/train_index"][0][:10]] / 255 - fractions.mean()) / fractions.std()
    y = torch.from_numpy(stored["data/train_labels"][0][:10].astype(np.int64))
    network = of_model(build(arm.model, (1, 28, 28), 10, torch.float64), state)
    report = lesion.measure(network, Data(torch.from_numpy(x), y), seed=seed(5, "lesion"), loss="mse", paths=0)
    same(table, [report])


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("hessian", {"kk": 3}, r"hessian\.kk: the probe has no such option \(did you mean 'k'\?\)"),
    ("hessian", {"imags": 3}, "did you mean 'images'"),
    ("hessian", {"seed": 3}, "hessian.seed: the probe has no such option"),
    ("hessian", {"axis": "time"}, "hessian.axis: the probe has no such option"),
    ("hessian", {"data": "tests"}, "hessian.data: .*'train' or 'test'"),
    ("hessian", {"images": 0}, "hessian.images: .*greater than or equal to 1"),
    ("hessian", {"along": "training", "step": [0, 6]}, "hessian.along: the probe knows no time"),
    ("gradients", {"axis": "time"}, "gradients.axis: the arm and its run say it"),
    ("gradients", {"along": "training"}, "at least two stored steps"),
    ("noether", {"lr": 0.1}, "noether.lr: the arm and its run say it"),
    ("noether", {"data": "test"}, "noether.data: "),
    ("landscape", {"step": [0]}, "two or three stored steps"),
    ("landscape", {"replicas": [[1, 1]]}, "different positions"),
    ("order", {}, "a table with a row a training"),
    ("hesian", {}, "no such probe .*'hessian'"),
]


@pytest.mark.parametrize(("probe", "options", "sentence"), REFUSED)
def test_wrong_options_are_named_before_anything_runs(probe: str, options: dict[str, Any], sentence: str) -> None:
    assert re.search(sentence, "\n".join(problems(spec(), probe, options)))


def test_right_options_are_not() -> None:
    options = {"k": 3, "data": "test", "images": 5, "step": [0, -1], "dtype": "float64"}
    assert not list(problems(spec(), "hessian", options))
    assert not list(problems(spec(), "gradients", {"batch": 5, "along": "training", "step": [0, 6]}))


def test_the_probes_that_the_manual_shows_are_right() -> None:
    text = (Path(__file__).parents[2] / "docs" / "probes.md").read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    probes = yaml.safe_load(block)["probes"]
    assert len(probes) == 4
    assert not [problem for name, options in probes.items() for problem in problems(spec(), name, options)]


def test_an_arm_without_images_has_no_networks_to_probe() -> None:
    bare = ArmSpec(experiment="toy", arm="bare", seeds=(1,), probes={})
    assert "needs 'data' and 'model'" in next(iter(problems(bare, "hessian", {})))


@pytest.mark.parametrize(
    ("probe", "options", "sentence"),
    [
        ("hessian", {"step": 3}, r"at steps \[0, 2, 4, 6\], not at 3"),
        ("hessian", {"images": 41}, "the train subset .* has 40"),
        ("hessian", {"k": "many"}, "option 'k' of 'hessian' must be int"),
        ("landscape", {"replicas": [[0, 3]]}, r"positions \[3\], but the arm has 3"),
        ("noether", {"step": [0, 2, 6]}, r"evenly spaced steps, ascending, found \[0, 2, 6\]"),
        ("landscape", {"step": [6, -1]}, "one of them twice"),
    ],
)
def test_what_a_run_does_not_have_is_refused(
    source: Source, probe: str, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SymbreakError, match=sentence):
        job.find(probe)(source, **options)


def test_a_missing_run_and_a_missing_set_are_refused(source: Source, images: Path) -> None:
    with pytest.raises(SymbreakError, match="--run"):
        job.find("hessian")(Source(spec(), data=images))
    with pytest.raises(SymbreakError, match="--data"):
        job.find("hessian")(Source(spec(), file(source)))


def test_a_run_of_other_examples_than_the_arm_draws_is_refused(source: Source, tmp_path: Path) -> None:
    tensors = load_file(file(source))
    tensors["data/train_labels"] = (tensors["data/train_labels"] + 1) % 10
    save_file(tensors, tmp_path / "small.safetensors")
    other = Source(spec(), tmp_path / "small.safetensors", source._data)
    with pytest.raises(SymbreakError, match="another 'train_labels'"):
        job.find("hessian")(other)


def arguments(source: Source, arm: ArmSpec, out: Path, *probes: str) -> list[str]:
    words = ["--params", arm.model_dump_json(), "--run", str(file(source)), "--data", str(source._data)]
    for probe in probes:
        code = fingerprint("symbreak.probes.run", probe_modules(arm, probe))
        words += ["--probe", probe, "--code", code, "--out", str(out / f"{probe}.parquet")]
    return words


def test_several_probes_in_one_process_write_what_each_writes_alone(source: Source, tmp_path: Path) -> None:
    arm = spec(probes={"gradients": {"images": 10}, "accuracy": {}, "noether": {}})
    job.main(arguments(source, arm, tmp_path / "all", "gradients", "accuracy", "noether"))
    for probe, options in arm.probes.items():
        alone = arm.model_copy(update={"probes": {probe: options}})
        job.main(arguments(source, alone, tmp_path / "alone", probe))
        name = f"{probe}.parquet"
        assert (tmp_path / "all" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
        together, single = (read_manifest(tmp_path / folder / name) for folder in ("all", "alone"))
        for key in ("params", "inputs", "outputs", "code", "tainted", "rows"):
            assert together[key] == single[key], key
        assert not single["tainted"]
    assert read_manifest(tmp_path / "all" / "noether.parquet")["warnings"] == []
    assert "warnings" not in read_manifest(tmp_path / "all" / "accuracy.parquet")


def test_probes_without_code_or_file_of_their_own_are_refused(source: Source, tmp_path: Path) -> None:
    arm = spec(probes={"gradients": {}, "accuracy": {}})
    words = arguments(source, arm, tmp_path, "gradients")
    with pytest.raises(SymbreakError, match="found 2 --probe, 1 --code and 1 --out"):
        job.main([*words, "--probe", "accuracy"])
    with pytest.raises(SymbreakError, match="not 'hessian'"):
        job.main(arguments(source, arm, tmp_path, "accuracy", "hessian"))
    assert not list(tmp_path.iterdir())


def test_a_fingerprint_holds_the_measuring_module_and_the_model_and_no_other_probe() -> None:
    code = closure("symbreak.probes.run", probe_modules(spec(), "hessian"))
    assert {"symbreak.probes.hessian_search", "symbreak.models.mlp", "symbreak.probes.piped_options"} <= set(code)
    assert not {"symbreak.probes.landscape", "symbreak.models.resnet"} & set(code)
    own = set(closure("symbreak.probes.run", probe_modules(spec(), "accuracy")))
    assert not {name for name in own if "piped" in name or name.startswith("symbreak.models")}


def test_no_option_of_a_probe_has_the_name_of_one_of_the_pipeline() -> None:
    for probe in PROBES.values():
        if probe.needs != "sweep":
            assert not probe.options().keys() & OPTIONS[probe.needs].model_fields.keys(), probe.name

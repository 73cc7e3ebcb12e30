"""`symbreak probe` and the uniform call behind it, on modules, weights and data written for the test."""

import inspect
import json
import pickle
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import typer
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner

from symbreak.cli_probe import probe
from symbreak.config.specs import DataSpec
from symbreak.data import prepared
from symbreak.data.prepared import Prepared
from symbreak.data.statistics import measure as statistics
from symbreak.data.tensors import to_input
from symbreak.errors import SymbreakError
from symbreak.probes import order, own, own_inputs, replica
from symbreak.probes.catalogue import NEEDS, PROBES, find
from symbreak.probes.network import Data, of_module
from symbreak.probes.report import Report

MODULE = """
import torch
from torch import nn

def net():
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Tanh(), nn.Dropout(0.5), nn.Linear(3, 2))

def broken():
    raise RuntimeError("no such thing")

def number():
    return 3

def empty():
    return nn.ReLU()

def normed():
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))

def wordy():
    return nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(16, 2))

def vector():
    return nn.Sequential(nn.Flatten(0), nn.Linear(8, 2))

WIDTH = 3
"""
app = typer.Typer()
app.command()(probe)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a module ``nets``, an ``own.npz`` and five sets of weights."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.delitem(sys.modules, "nets", raising=False)
    (tmp_path / "nets.py").write_text(MODULE)
    draw = np.random.default_rng(0)
    np.savez(tmp_path / "own.npz", x=draw.standard_normal((7, 1, 2, 2)), y=np.arange(7) % 2)
    for number in range(5):
        save_file(state(number), tmp_path / f"w{number}.safetensors")
    return tmp_path


def net() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Tanh(), nn.Dropout(0.5), nn.Linear(3, 2))


def state(number: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(number)
    return {name: torch.randn(value.shape, generator=generator) for name, value in net().state_dict().items()}


def arrays() -> dict[str, Any]:
    with np.load("own.npz") as archive:
        return dict(archive)


def called(*arguments: str) -> tuple[int, str, str]:
    found = CliRunner().invoke(app, arguments)
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.exit_code, found.stdout, found.stderr


def replica_call(*more: str, count: int = 5, model: str = "nets:net", data: str = "own.npz") -> list[str]:
    files = [word for number in range(count) for word in ("--weights", f"w{number}.safetensors")]
    return ["replica", "--model", model, *files, "--data", data, *more, "--out", "out.json"]


def test_the_list_has_all_twelve_probes_and_what_each_needs() -> None:
    code, out, _ = called("--list")
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines() if line}
    assert len(PROBES) == 12
    for entry in PROBES.values():
        assert entry.needs in lines[entry.name]
        assert entry.about in lines[entry.name]
    assert set(NEEDS) <= set(lines)


def test_the_list_imports_neither_torch_nor_pandas() -> None:
    words = (
        "import sys, typer; from typer.testing import CliRunner; from symbreak.cli_probe import probe\n"
        "app = typer.Typer(); app.command()(probe); found = CliRunner().invoke(app, ['--list'])\n"
        "assert found.exit_code == 0 and 'hessian' in found.stdout\n"
        "assert not {'torch', 'pandas', 'scipy'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", words], check=True)


@pytest.mark.parametrize("name", PROBES)
def test_the_catalogue_says_what_the_modules_say(name: str) -> None:
    module = find(name).load()
    assert find(name).needs == module.NEEDS
    found = inspect.signature(module.measure).parameters.values()
    sweep = module.NEEDS == "sweep"
    assert [p.name for p in found if p.kind is p.POSITIONAL_OR_KEYWORD] == (["table"] if sweep else ["network", "data"])
    assert {p.name for p in found if p.kind is p.KEYWORD_ONLY} >= ({"seed"} if sweep else {"seed", "loss"})
    for option in find(name).options().values():  # every default is a value that the command line could give
        assert option.default is option.empty or own.resolve(find(name), {option.name: option.default})


def test_the_file_is_what_the_probe_gives(folder: Path) -> None:
    code, out, err = called(*replica_call("--seed", "3", "--n", "4", "--dtype", "float64", "--set", "p=2"))
    assert (code, out, err) == (0, "wrote out.json\n", "")
    found = json.loads((folder / "out.json").read_text())
    data = arrays()
    network = of_module(net().double(), [state(number) for number in range(5)])
    expected = replica.measure(
        network, Data(torch.from_numpy(data["x"][:4]), torch.from_numpy(data["y"][:4])), seed=3, p=2
    )
    assert found["results"] == expected.as_json()
    assert found["results"]["distance"]["shape"] == [5, 5]
    del found["results"]
    assert found == {
        "probe": "replica",
        "version": version("symbreak"),
        "model": "nets:net",
        "data": "own.npz",
        "n": 4,
        "seed": 3,
        "options": {"p": 2.0, "match": True, "splits": 8, "loss": "cross_entropy", "dtype": "float64"}
        | {"weights": [f"w{number}.safetensors" for number in range(5)]},
        "warnings": [],
    }


def test_equal_calls_give_equal_bytes_with_sorted_keys(folder: Path) -> None:
    contents = []
    for _ in range(2):
        called(*replica_call())
        contents.append((folder / "out.json").read_bytes())
    assert contents[0] == contents[1]
    keys = list(json.loads(contents[0]))
    assert keys == sorted(keys)


def test_a_refused_call_leaves_the_file_as_it_was(folder: Path) -> None:
    (folder / "out.json").write_text("before")
    code, _, _ = called(*replica_call(count=2))
    assert code == 2
    assert (folder / "out.json").read_text() == "before"
    assert not list(folder.glob(".out*"))


def test_warnings_are_said_and_written(folder: Path) -> None:
    code, _, err = called(*replica_call(count=4))
    assert code == 0
    assert "warning: the replica distance metric is defined for at least 5 replicas" in err
    assert json.loads((folder / "out.json").read_text())["warnings"]


def test_the_order_of_weights_is_that_of_the_command_line(folder: Path) -> None:
    words = replica_call(count=3)
    called(*words)
    forward = json.loads((folder / "out.json").read_text())["results"]["distance"]["value"]
    first, last = words.index("w0.safetensors"), words.index("w2.safetensors")
    words[first], words[last] = words[last], words[first]
    called(*words)
    backward = json.loads((folder / "out.json").read_text())["results"]["distance"]["value"]
    assert backward == np.array(forward)[::-1, ::-1].tolist()
    assert backward != forward


def sweep_table() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    rows = [
        (eta, seed, np.sqrt(max(0.0, 1 - eta**2)) + 0.02 * draw.standard_normal())
        for eta in np.linspace(0.1, 1.6, 16)
        for seed in range(8)
    ]
    return pd.DataFrame(rows, columns=["eta", "seed", "value"])


def test_a_sweep_is_measured_from_a_table(folder: Path) -> None:
    sweep_table().to_csv("sweep.csv", index=False)
    code, _, _ = called("order", "--sweep", "sweep.csv", "--set", "resamples=100", "--seed", "1", "--out", "a/b.json")
    assert code == 0
    found = json.loads((folder / "a/b.json").read_text())
    expected = order.measure(pd.read_csv("sweep.csv"), seed=1, resamples=100)
    assert found["results"] == expected.as_json()
    assert (found["model"], found["data"], found["n"]) == (None, "sweep.csv", 128)
    assert found["options"] == {"size": 1.0, "resamples": 100, "level": 0.95}
    again = own.measure("order", table=pd.read_csv("sweep.csv"), seed=1, options={"resamples": 100})
    assert again.as_json() == expected.as_json()


class Spy:
    """Stands for a probe's module and keeps what it is given."""

    NEEDS = "model"

    def __init__(self) -> None:
        self.seen: list[tuple[Any, Data, dict[str, Any]]] = []

    def load(self) -> Any:
        spy = self

        class Module:
            @staticmethod
            def measure(
                network: Any,
                data: Data,
                *,
                seed: int,
                loss: str = "cross_entropy",
                k: int = 5,
                names: list[str] | None = None,
            ) -> Report:
                spy.seen.append((network, data, {"seed": seed, "loss": loss, "k": k, "names": names}))
                report = Report()
                report.add("size", network.size, unit="parameters")
                return report

        return Module


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    found = Spy()
    monkeypatch.setattr("symbreak.probes.catalogue.Probe.load", lambda self: found.load())
    return found


def hessian(*more: str, model: str = "nets:net", data: str = "own.npz") -> list[str]:
    return ["hessian", "--model", model, "--data", data, *more, "--out", "out.json"]


def test_without_weights_the_model_is_probed_as_built_and_the_seed_decides_how(folder: Path, spy: Spy) -> None:
    before = torch.random.get_rng_state()
    for seed in ("0", "0", "1"):
        assert called(*hessian("--seed", seed))[0] == 0
    assert torch.equal(before, torch.random.get_rng_state())
    first, again, other = (network.parameters["1.weight"] for network, _, _ in spy.seen)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == (1, 3, 4)


def test_a_probe_of_one_model_takes_several_one_by_one(folder: Path, spy: Spy) -> None:
    assert called(*hessian("--weights", "w0.safetensors", "--weights", "w1.safetensors"))[0] == 0
    network = spy.seen[0][0]
    assert network.count == 2
    for number in range(2):
        assert torch.equal(network.one(number)["1.weight"], state(number)["1.weight"])


def test_the_module_is_in_eval_mode_and_a_file_is_taken_in_its_order(folder: Path, spy: Spy) -> None:
    assert called(*hessian("--n", "3", "--loss", "mse", "--set", "k=2", "--set", "names=a, b"))[0] == 0
    network, data, seen = spy.seen[0]
    content = arrays()
    np.testing.assert_allclose(data.x.numpy(), content["x"][:3], rtol=1e-6)
    assert data.x.dtype == torch.float32
    assert data.y.tolist() == content["y"][:3].tolist()
    assert data.y.dtype == torch.int64
    assert seen == {"seed": 0, "loss": "mse", "k": 2, "names": ["a", "b"]}
    torch.testing.assert_close(network.outputs(data.x), network.outputs(data.x))  # dropout would differ


def test_whole_numbers_stay_whole_for_embeddings(folder: Path, spy: Spy) -> None:
    np.savez("words.npz", x=np.array([[0, 1, 2, 4], [3, 3, 0, 1]], dtype=np.int32), y=np.array([0, 1]))
    assert called(*hessian(model="nets:wordy", data="words.npz"))[0] == 0
    assert spy.seen[0][1].x.dtype == torch.int64


def test_a_set_is_the_first_training_images_standardised(folder: Path, spy: Spy) -> None:
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (20, 1, 2, 2), dtype=np.uint8)
    whole = Prepared(images, (np.arange(20) % 2).astype(np.uint8), images[:3], np.zeros(3, np.uint8))
    (folder / "data").mkdir()
    prepared.save(folder / "data/mnist.npz", whole)
    assert called(*hessian("--n", "6", "--dtype", "float64", data="mnist"))[0] == 0
    found = spy.seen[0][1]
    expected = to_input(torch.from_numpy(images[:6]), DataSpec(set="mnist"), statistics(images), torch.float64)
    assert torch.equal(found.x, expected)
    assert found.y.tolist() == [0, 1, 0, 1, 0, 1]
    assert called(*hessian(data="mnist"))[0] == 0
    assert len(spy.seen[1][1].x) == 20


def test_batch_norm_has_its_statistics_from_the_weights(folder: Path, spy: Spy) -> None:
    held = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)).state_dict()
    held["2.running_mean"] = torch.tensor([1.0, 2.0, 3.0])
    save_file(held, folder / "bn.safetensors")
    assert called(*hessian("--weights", "bn.safetensors", model="nets:normed"))[0] == 0
    assert spy.seen[0][0].buffers["2.running_mean"].tolist() == [[1.0, 2.0, 3.0]]


def test_pickles_are_read_only_if_the_user_says_so(folder: Path, spy: Spy) -> None:
    torch.save(state(0), "w.pt")
    code, _, err = called(*hessian("--weights", "w.pt"))
    assert code == 2
    assert "can run any code" in err
    assert "--unsafe-pickle" in err
    assert called(*hessian("--weights", "w.pt", "--unsafe-pickle"))[0] == 0
    assert torch.equal(spy.seen[0][0].one(0)["1.weight"], state(0)["1.weight"])


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("exploded"),)


@pytest.mark.parametrize("name", ["w.pt", "w.bin", "w.safetensors"])
def test_no_code_of_a_pickle_runs_unasked(folder: Path, name: str) -> None:
    (folder / name).write_bytes(pickle.dumps(Bomb()))
    assert called(*hessian("--weights", name))[0] == 2
    np.savez("own.npz", x=np.array([Bomb()], dtype=object), y=np.array([0]))
    code, _, err = called(*hessian())
    assert code == 2
    assert "no objects" in err
    assert not (folder / "exploded").exists()


MISTAKES: list[tuple[list[str], str]] = [
    (["replika", "--out", "out.json"], "did you mean 'replica'"),
    (["replica"], "--out FILE.json"),
    ([], "or --list"),
    (replica_call(count=1), "needs the weights of several replicas, found 1 of them"),
    (replica_call(count=0), "found 0 of them: repeat --weights"),
    (["landscape", *replica_call(count=1)[1:]], "needs two sets of weights, or three for a plane, found 1"),
    (["landscape", *replica_call(count=4)[1:]], "found 4 of them"),
    (["noether", *replica_call(count=1)[1:]], "several moments of one training, in order of time, found 1"),
    (replica_call("--sweep", "own.npz"), "leave the table (--sweep) out"),
    (["order", "--out", "out.json"], "needs a table with a row a training: give it with --sweep"),
    (["order", *replica_call("--sweep", "s.csv")[1:]], "takes no model and data"),
    (["order", "--sweep", "s.csv", "--n", "3", "--out", "out.json"], "takes no model and data"),
    (["order", "--sweep", "s.csv", "--weights", "w0.safetensors", "--out", "out.json"], "found 1 of them"),
    (["order", "--sweep", "none.csv", "--out", "out.json"], "none.csv is no CSV file"),
    (["order", "--sweep", "w0.safetensors", "--out", "out.json"], "w0.safetensors"),
    (["replica", "--data", "own.npz", "--out", "out.json"], "must have a model and data"),
    (["replica", "--model", "nets:net", "--out", "out.json"], "must have a model and data"),
    (replica_call("--set", "matsh=true"), "no option 'matsh' (did you mean 'match'?)"),
    (replica_call("--set", "seed=3"), "no option 'seed'"),
    (replica_call("--set", "match"), "--set takes OPTION=VALUE, found 'match'"),
    (replica_call("--set", "p=1", "--set", "p=2"), "gives 'p' twice"),
    (replica_call("--set", "splits=many"), "option 'splits' of 'replica' must be int, found 'many'"),
    (replica_call("--set", "splits=2.5"), "must be int, found '2.5'"),
    (replica_call("--set", "p=nan"), "must be float, found 'nan'"),
    (replica_call("--set", "match=perhaps"), "must be bool, found 'perhaps'"),
    (replica_call("--n", "8"), "own.npz has 7 examples, asked for were 8"),
    (replica_call("--n", "0"), "asked for were 0"),
    (replica_call(model="nets"), "MODULE:FACTORY, for instance nets:resnet, found 'nets'"),
    (replica_call(model="nyts:net"), "cannot import nyts"),
    (replica_call(model="syntax:net"), "importing syntax failed: SyntaxError"),
    (replica_call(model="nets:nett"), "no function 'nett' (did you mean 'net'?)"),
    (replica_call(model="nets:WIDTH"), "no function 'WIDTH'"),
    (replica_call(model="nets:broken"), "nets:broken() failed: RuntimeError: no such thing"),
    (replica_call(model="nets:number"), "must return a torch.nn.Module, found int"),
    (replica_call(model="nets:empty"), "without parameters"),
    (replica_call(model="nets:normed"), "weights 0 do not fit the model"),
    (replica_call("--weights", "gone.safetensors"), "gone.safetensors are not there"),
    (replica_call("--weights", "list.pt", "--unsafe-pickle"), "must hold a state_dict, name -> tensor, found list"),
    (replica_call("--weights", "nested.pt", "--unsafe-pickle"), "found ['epoch', 'model']"),
    (replica_call("--weights", "nets.py", "--unsafe-pickle"), "no file of torch.save"),
    (replica_call(data="mnits"), "there is no set 'mnits' (did you mean 'mnist'?)"),
    (replica_call(data="mnist"), "mnist.npz is not a prepared set"),
    (replica_call(data="gone.npz"), "gone.npz must be a .npz file with the arrays x and y"),
    (replica_call(data="bare.npz"), "bare.npz must be a .npz file with the arrays x and y"),
    (replica_call(data="nets.npz"), "nets.npz must be a .npz file with the arrays x and y"),
    (replica_call(data="no_y.npz"), "no_y.npz must be a .npz file with the arrays x and y"),
    (replica_call(data="fractions.npz"), "whole labels y [N], found float64 [7, 4] and float64 [7]"),
    (replica_call(data="short.npz"), "found float64 [7, 4] and int64 [6]"),
    (replica_call(data="nan.npz"), "the inputs have NaN or infinite entries"),
    (replica_call(data="wide.npz"), "the model does not take inputs torch.float32 [2, 5]"),
    (replica_call(data="bytes.npz"), "the model does not take inputs torch.int64 [2, 4]"),
    (replica_call(data="classes.npz"), "labels go from 0 to 6, but the model has 2 outputs"),
    (["hessian", "--model", "nets:vector", "--data", "own.npz", "--out", "out.json"], "must map [N, ...] to [N, C]"),
]


@pytest.mark.parametrize(("arguments", "words"), MISTAKES, ids=[words[:30] for _, words in MISTAKES])
def test_mistakes_are_sentences_with_exit_code_2(folder: Path, arguments: list[str], words: str) -> None:
    (folder / "syntax.py").write_text("def net(:")
    (folder / "s.csv").write_text("eta,value\n")
    x, y = np.zeros((7, 4)), np.arange(7)
    with Path("bare.npz").open("wb") as stream:
        np.save(stream, x)
    Path("nets.npz").write_text(MODULE)
    np.savez("no_y.npz", x=x)
    np.savez("fractions.npz", x=x, y=y / 2)
    np.savez("short.npz", x=x, y=y[:6])
    np.savez("nan.npz", x=x + np.nan, y=y % 2)
    np.savez("wide.npz", x=np.zeros((7, 5)), y=y % 2)
    np.savez("bytes.npz", x=x.astype(np.uint8), y=y % 2)
    np.savez("classes.npz", x=x, y=y)
    torch.save([1], "list.pt")
    torch.save({"model": state(0), "epoch": 3}, "nested.pt")
    code, out, err = called(*arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err
    assert not (folder / "out.json").exists()


def test_the_python_call_is_the_same(folder: Path) -> None:
    data = own_inputs.load_data("own.npz", None, torch.float32)
    weights = [own_inputs.load_weights(folder / f"w{number}.safetensors") for number in range(5)]
    module = own_inputs.load_module("nets:net", 0, torch.float32)
    report = own.measure("replica", module, weights, data, seed=2, options={"match": False})
    called(*replica_call("--seed", "2", "--set", "match=false"))
    assert json.loads((folder / "out.json").read_text())["results"] == report.as_json()
    assert "matched_distance" not in report.results


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "gradient"}, "did you mean 'gradients'"),
        ({"loss": "hinge"}, "no loss 'hinge'"),
        ({"options": {"splits": [1]}}, "must be int"),
        ({"data": None}, "must have a model and data"),
        ({"table": pd.DataFrame()}, "leave the table"),
        ({"data": Data(torch.zeros(3, 4), torch.zeros(2, dtype=torch.int64))}, "3 inputs and 2 labels"),
        ({"data": Data(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))}, "0 inputs"),
        ({"data": Data(torch.zeros(3, 4, dtype=torch.float64), torch.zeros(3, dtype=torch.int64))}, "torch.float64"),
    ],
)
def test_the_python_call_refuses_alike(change: dict[str, Any], words: str) -> None:
    data = Data(torch.zeros(3, 4), torch.zeros(3, dtype=torch.int64))
    arguments: dict[str, Any] = {
        "name": "replica",
        "module": net(),
        "weights": [state(n) for n in range(3)],
        "data": data,
    }
    with pytest.raises(SymbreakError, match=words):
        own.measure(**(arguments | change))


def test_outputs_that_are_not_finite_are_refused() -> None:
    data = Data(torch.zeros(3, 4), torch.zeros(3, dtype=torch.int64))
    weights = [state(0), {name: value * torch.nan for name, value in state(1).items()}, state(2)]
    with pytest.raises(SymbreakError, match="before they diverged"):
        own.measure("replica", net(), weights, data)


OPTIONS = [
    ("hessian", "k", "3", 3),
    ("symmetry", "groups", "none", None),
    ("symmetry", "groups", "permutation", ["permutation"]),
    ("symmetry", "groups", "a,b", ["a", "b"]),
    ("information", "noise_variance", "0.1", 0.1),
    ("information", "noise_variance", "0.1,1", [0.1, 1.0]),
    ("information", "layers", "", []),
    ("noether", "lr", "none", None),
    ("noether", "lr", "1e-2", 0.01),
    ("noether", "rest", "false", False),
]


@pytest.mark.parametrize(("name", "option", "text", "expected"), OPTIONS)
def test_texts_become_the_types_of_the_signature(name: str, option: str, text: str, expected: Any) -> None:
    found = own.resolve(find(name), {option: text})
    assert found[option] == expected
    assert type(found[option]) is type(expected)
    assert found.keys() == find(name).options().keys()

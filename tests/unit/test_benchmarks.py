import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks import ceilings, data, feeding, harness, machine, plain_resnet, probes, resnet, rounds
from symbreak.config.models import ResnetSpec
from symbreak.data.prepared import Prepared
from symbreak.errors import SymbreakError
from symbreak.models.resnet import build
from symbreak.training.examples import Examples

STEADY = {"gemm_float32": 100.0, "gemm_float64": 50.0, "gemm_bfloat16": 400.0, "copy": 10.0}
PLACE = machine.Place((0,), True, 1)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Ceilings that need no time; the second measurement has the given float64 product."""

    def set_end(end: float) -> None:
        values = iter([STEADY, STEADY | {"gemm_float64": end}])
        monkeypatch.setattr(ceilings, "measure", lambda: next(values))
        monkeypatch.setattr(harness, "pin", lambda cores: PLACE)

    return set_end


def test_rounds_alternate_their_direction() -> None:
    assert rounds.turns(["A", "B", "C"], 3) == ["A", "B", "C", "C", "B", "A", "A", "B", "C"]


def test_every_contender_warms_up_once_and_is_set_up_before_each_turn() -> None:
    log: list[str] = []
    works = {name: lambda name=name: log.append(name) for name in ("A", "B")}
    times = rounds.rounds(works, 2, {"B": lambda: log.append("set up B")})
    assert log == ["A", "set up B", "B", "A", "set up B", "B", "set up B", "B", "A"]
    assert {len(series) for found in times.values() for series in (found.wall, found.cpu)} == {2}


def test_summary_is_least_median_and_median_absolute_deviation() -> None:
    assert rounds.summary([5.0, 1.0, 2.0, 100.0, 3.0]) == rounds.Summary(1.0, 3.0, 2.0)
    assert rounds.Times((4.0, 1.0, 2.0), (1.0, 1.0, 1.0)).median == 2.0


@pytest.mark.parametrize(
    ("end", "expected"), [(100.0, False), (120.0, False), (121.0, True), (83.0, True), (84.0, False)]
)
def test_a_run_is_void_if_a_ceiling_moves_by_more_than_a_fifth(end: float, expected: bool) -> None:
    assert ceilings.void(STEADY, STEADY | {"gemm_float32": end}) is expected


def test_measured_ceilings_are_those_that_have_a_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceilings, "SIDE", 16)
    monkeypatch.setattr(ceilings, "COPIED", 1024)
    monkeypatch.setattr(ceilings, "SECONDS", 0.0)
    found = ceilings.measure()
    assert found.keys() == ceilings.UNITS.keys()
    assert min(found.values()) > 0


def test_pinning_refuses_a_core_that_is_not_there() -> None:
    absent = max(machine.usable()) + 1
    with pytest.raises(SymbreakError, match=rf"not \[{absent}\]; give others with --cores"):
        machine.pin([absent])


def test_a_run_writes_rounds_numbers_fractions_and_machine(
    measured: Callable[[float], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def body(bench: harness.Bench) -> None:
        bench.rounds("work", {"nothing": lambda: None})
        bench.number("ratio", 3.0, at_least=2)
        bench.fraction("fraction", 25.0, "gemm_float64", at_least=0.7)
        bench.note(steps=7)
        bench.attach(curve=[3.5, 2.5])

    measured(55.0)
    out = tmp_path / "out.json"
    harness.run("toy", body, harness.parser("toy").parse_args(["--json", str(out), "--rounds", "3"]))
    text = out.read_text()
    found = json.loads(text)
    assert text == json.dumps(found, sort_keys=True, indent=2) + "\n"
    assert (found["benchmark"], found["void"], found["ratio"], found["steps"]) == ("toy", False, 3.0, 7)
    assert found["curve"] == [3.5, 2.5]
    assert found["fraction"] == pytest.approx(25 / 55)
    assert found["targets"]["ratio"] == {"target": "at least 2", "met": True}
    assert found["targets"]["fraction"]["met"] is False
    assert len(found["times"]["work"]["nothing"]["wall"]["rounds"]) == 3
    assert found["ceilings"]["end"]["gemm_float64"] == 55.0
    assert (found["machine"]["cores"], found["machine"]["threads"]) == ([0], 1)
    assert found["machine"]["versions"].keys() == {"python", "numpy", "torch"}
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("nothing", "steps: 7", "at least 2", "gemm_float64, GFLOP/s"))
    assert "curve" not in shown


def test_a_void_run_says_so_on_the_screen_in_the_file_and_by_its_exit_code(
    measured: Callable[[float], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured(61.0)
    out = tmp_path / "out.json"
    with pytest.raises(SystemExit) as stopped:
        harness.run("toy", lambda bench: None, harness.parser("toy").parse_args(["--json", str(out)]))
    assert stopped.value.code == harness.REPEAT
    assert json.loads(out.read_text())["void"] is True
    assert "void: the ceilings moved by more than 20%" in capsys.readouterr().out


def test_an_error_before_the_timing_ends_the_run_with_its_sentence(
    measured: Callable[[float], None], tmp_path: Path
) -> None:
    def body(bench: harness.Bench) -> None:
        raise SymbreakError("the weights differ")

    measured(50.0)
    with pytest.raises(SystemExit, match="error: the weights differ"):
        harness.run("toy", body, harness.parser("toy").parse_args(["--json", str(tmp_path / "out.json")]))
    assert not list(tmp_path.iterdir())


def test_two_entries_of_one_name_are_refused() -> None:
    bench = harness.Bench(PLACE, STEADY)
    bench.number("steps", 1.0)
    bench.note(steps=1, times=2)
    with pytest.raises(SymbreakError, match=r"\['steps', 'times'\] twice"):
        bench.facts("toy", STEADY)


def test_a_set_without_prepared_file_is_gathered_from_the_mirror(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYMBREAK_DATA_MIRROR", str(mirror))
    found, source = data.load("mnist", tmp_path)
    assert (found.train_images.shape, found.train_labels[:3].tolist()) == ((60_000, 1, 28, 28), [5, 0, 4])
    assert "train-images-idx3-ubyte from" in source
    assert not list(tmp_path.iterdir())


def fed(change: Callable[[Tensor], Tensor] = lambda x: x) -> tuple[dict[str, feeding.Feed], Tensor, Tensor, Tensor]:
    """Contenders on 300 small images, of which symbreak's are changed, and what they are to feed."""
    drawn = np.random.default_rng(0)
    images = torch.from_numpy(drawn.random((300, 1, 2, 2), dtype=np.float32))
    labels, order = torch.arange(300) % 10, torch.from_numpy(drawn.permutation(300))
    own = Examples(change(images)[None], labels[None], lambda batch: batch)
    return feeding.feeds(own, images, labels, order), images, labels, order


def test_all_feeds_give_the_same_batches() -> None:
    contenders, *expected = fed()
    assert contenders.keys() == {"symbreak", "indexing", "dataloader"}
    feeding.assert_equal(contenders, *expected)


def test_a_feed_whose_images_differ_in_one_bit_is_refused() -> None:
    def flip(images: Tensor) -> Tensor:
        changed = images.clone()
        changed.view(torch.int32)[17, 0, 0, 0] ^= 1
        return changed

    contenders, *expected = fed(flip)
    with pytest.raises(SymbreakError, match="of 'symbreak' is not the one expected"):
        feeding.assert_equal(contenders, *expected)


def test_a_feed_with_other_labels_too_few_or_too_many_batches_is_refused() -> None:
    contenders, images, labels, order = fed()
    with pytest.raises(SymbreakError, match="batch 0 of 'symbreak'"):
        feeding.assert_equal(contenders, images, labels.flip(0), order)
    short = feeding.feeds(Examples(images[None], labels[None], lambda batch: batch), images, labels, order[:256])
    with pytest.raises(SymbreakError, match="'symbreak' fed 2 batches, expected 3"):
        feeding.assert_equal(short, images, labels, order)
    with pytest.raises(SymbreakError, match="batch 2 of 'symbreak'"):
        feeding.assert_equal(contenders, images, labels, order[:256])


def test_the_plain_network_computes_what_symbreaks_does_under_the_same_names() -> None:
    model = build(ResnetSpec(family="resnet", widths=(4, 6), blocks=2), (3, 8, 8), 10, torch.float64)
    initial = model.init(3)
    net = plain_resnet.ResNet((4, 6), 2, 10).double()
    plain_resnet.set_values(net, initial)
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((5, 3, 8, 8)))
    state = {name: value[None].clone() for name, value in initial.items()}
    torch.testing.assert_close(net(x), model.forward(state, x[None], train=True)[0], rtol=1e-10, atol=1e-12)
    assert resnet.relative_difference(plain_resnet.values(net), {n: v[0] for n, v in state.items()}) < 1e-12


def test_the_difference_of_networks_is_relative_and_over_all_tensors() -> None:
    reference = {"a": torch.tensor([3.0, 0.0]), "b": torch.tensor([[4.0]])}
    assert resnet.relative_difference(reference, reference) == 0
    moved = reference | {"b": torch.tensor([[4.05]])}
    assert resnet.relative_difference(moved, reference) == pytest.approx(0.01, rel=1e-5)
    with pytest.raises(SymbreakError, match=r"only one of the two networks has \['b'\]"):
        resnet.relative_difference({"a": reference["a"]}, reference)


def toy_set() -> Prepared:
    """A set of small colour images with ten classes."""
    drawn = np.random.default_rng(0)
    images = drawn.integers(0, 256, (1_000, 3, 32, 32), dtype=np.uint8)
    labels = (np.arange(1_000) % 10).astype(np.uint8)
    return Prepared(images, labels, images[:10], labels[:10])


def test_both_sides_train_to_the_same_network_and_a_missing_step_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resnet, "SPEC", ResnetSpec(family="resnet", widths=(4, 6), blocks=1))
    monkeypatch.setattr(resnet, "BATCH", 16)
    monkeypatch.setattr(resnet, "COMPARED_IMAGES", 100)
    found = toy_set()
    assert resnet.assert_equal(found, torch.float64) < 1e-10
    train = plain_resnet.train
    monkeypatch.setattr(plain_resnet, "train", lambda net, optimiser, loader: train(net, optimiser, list(loader)[:-1]))
    with pytest.raises(SymbreakError, match="expected at most 1e-10; nothing was timed"):
        resnet.assert_equal(found, torch.float64)


def test_equivalence_takes_the_last_third_pairs_the_seeds_and_measures_against_their_spread() -> None:
    reference = [[9.0, 9.0, level] for level in (1.0, 2.0, 3.0, 4.0)]
    near = [[0.0, 0.0, level + d] for level, d in zip((1.0, 2.0, 3.0, 4.0), (0.1, -0.1, 0.2, 0.0), strict=True)]
    found = resnet.equivalence(near, reference)
    # t(0.975, 3) = 3.18245; the differences have mean 0.05 and standard error sqrt(1/60)/2
    assert found.mean == pytest.approx(0.05)
    assert found.high - found.mean == pytest.approx(3.18245 * (1 / 60) ** 0.5 / 2, rel=1e-5)
    assert found.spread == pytest.approx((5 / 3) ** 0.5)
    assert found.shown


def test_equivalence_is_not_shown_by_shifted_or_by_scattered_losses() -> None:
    reference = [[level] * 3 for level in (1.0, 2.0, 3.0, 4.0)]
    assert not resnet.equivalence([[curve[0] + 1.5] * 3 for curve in reference], reference).shown
    assert not resnet.equivalence(list(reversed(reference)), reference).shown


def test_every_benchmark_of_a_probe_has_a_name_and_a_number() -> None:
    files = {path.name for path in Path(probes.__file__).parent.glob("probe_*.py")}
    assert {probes.part(name).name for name in probes.NAMES} == files
    assert len(set(probes.NAMES.values())) == len(probes.NAMES)


@pytest.mark.parametrize("name", [*probes.NAMES, *probes.NAMES.values()])
def test_a_benchmark_is_run_by_its_name_or_number_with_its_options(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, argparse.Namespace]] = []
    monkeypatch.setattr(harness, "run", lambda name, body, args: calls.append((name, args)))
    before, out = list(sys.argv), tmp_path / "out.json"
    probes.main([name, "--json", str(out), "--cores", "0,1", "--rounds", "3"])
    ((title, args),) = calls
    word = {number: word for word, number in probes.NAMES.items()}.get(name, name)
    assert (title, args.json, args.cores, args.rounds) == (f"probe_{word}", out, (0, 1), 3)
    assert sys.argv == before


def test_a_benchmark_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        probes.main(["B9"])
    assert stopped.value.code == 2
    assert "invalid choice: 'B9'" in capsys.readouterr().err

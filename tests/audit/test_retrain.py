"""``symbreak audit --retrain``. Oracle: a copy in which "Snakemake" makes the pinned bytes; then one thing differs.

Snakemake is a stub that copies what the working tree has; tests/workflow/test_retrain.py has the true one.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from symbreak.audit import retrain as retraining
from symbreak.audit.finding import Finding
from symbreak.audit.retrain import Request, Retrained, retrain
from symbreak.audit.scratch import link_data
from symbreak.cli import app
from symbreak.errors import SymbreakError
from symbreak.files import sha256, write_json

from .project import commit

CLAIM, OTHER = "results/desk/claims/ssb-random-labels.json", "results/desk/claims/ssb-goldstone.json"
RUN, TABLE = "results/desk/runs/toy/true.safetensors", "results/desk/probes/toy/true/accuracy.parquet"
Edit = Callable[[Path], None]
Stub = Callable[..., Retrained]


@pytest.fixture
def again(whole: Path, monkeypatch: pytest.MonkeyPatch) -> Stub:
    """Retrain with a Snakemake that makes the pinned bytes with the copy's parameters, and then edits them."""

    def run(*claims: str, edit: Edit = lambda _: None, failure: str = "", **options: Any) -> Retrained:
        def compute(copy: Path, targets: list[str], cores: int) -> str:
            shutil.copytree(whole / "results/desk", copy / "results/desk")
            toy = yaml.safe_load((copy / "params.yaml").read_text())["experiments"]["toy"]
            for run in (copy / "results/desk/runs/toy").glob("*.manifest.json"):
                change(run, lambda m: m["params"].update(seeds=toy["seeds"], threads=toy["threads"]))
            edit(copy)
            for path in (copy / "results/desk/claims").glob("*.json"):
                if f"results/desk/claims/{path.name}" not in targets and path.suffixes == [".json"]:
                    path.unlink()
            return failure

        monkeypatch.setattr(retraining, "compute", compute)
        return retrain(whole, Request(claims, cores=1, **options))

    return run


def change(path: Path, how: Callable[[Any], object]) -> None:
    content = json.loads(path.read_text())
    how(content)
    write_json(path, content)


def claim(how: Callable[[Any], object], name: str = CLAIM) -> Edit:
    """Edit a claim file of the copy as if its job had written it so."""

    def edit(copy: Path) -> None:
        change(copy / name, how)
        digest = sha256(copy / name)
        change(copy / name.replace(".json", ".manifest.json"), lambda m: m["outputs"].update({Path(name).name: digest}))

    return edit


def beside(name: str, **entries: Any) -> Edit:
    """Edit a manifest or run file of the copy."""
    return lambda copy: change(copy / name, lambda content: content.update(entries))


def move(part: str, by: float) -> Edit:
    def how(content: Any) -> None:
        block = content["parts"][part]
        for key in ("estimate", "low", "high"):
            block[key] += by
        for unit in block["units"]:
            unit["value"] += by
            unit["count"] = unit["trials"] = None

    return claim(how)


def failed(done: Retrained) -> set[tuple[str, str, str]]:
    return {(f.check, f.file, f.key) for f in done.findings if f.state == "failed"}


def find(done: Retrained, check: str, key: str, file: str = CLAIM) -> Finding:
    return next(f for f in done.findings if (f.check, f.file, f.key) == (check, file, key))


def test_the_same_bytes_by_the_same_machine_pass_to_the_last_bit(again: Stub) -> None:
    done = again()
    assert failed(done) == set()
    assert {f.file for f in done.findings if f.check == "verdict"} == {CLAIM, OTHER}
    said = done.judged["ssb-random-labels"]
    assert said == "same seeds, to the last bit, since both were made alike; equal bytes: " + (
        "2 of 2 runs, 2 of 2 probes, 1 of 1 claims"
    )
    assert {f.file for f in done.findings if f.check == "bits"} >= {RUN, TABLE, CLAIM, OTHER}
    linked = [f for f in done.findings if f.state == "not checked"]
    assert {(f.check, f.file) for f in linked} == {("data", "data/cifar10.npz")}


def test_only_the_named_claims_are_made_and_compared(again: Stub) -> None:
    done = again("ssb-goldstone")
    assert {f.file for f in done.findings if f.check == "verdict"} == {OTHER}
    assert list(done.judged) == ["ssb-goldstone"]


def test_a_last_digit_that_differs_on_the_same_machine_fails_by_name(again: Stub) -> None:
    def nudge(content: Any) -> None:
        content["parts"]["near"]["units"][3]["value"] += 1e-15

    assert failed(again(edit=claim(nudge))) == {("bits", CLAIM, "parts.near.units[3].value")}


def test_other_bytes_of_a_table_or_run_on_the_same_machine_fail(again: Stub) -> None:
    def other(copy: Path) -> None:
        for name, file in ((RUN, "true.steps.parquet"), (TABLE, "accuracy.parquet")):
            stem = str(Path(name).with_suffix(".manifest.json"))
            change(copy / stem, lambda m, file=file: m["outputs"].update({file: "0" * 64}))

    wanted = {("bits", RUN, "sha256.true.steps.parquet"), ("bits", TABLE, "sha256.accuracy.parquet")}
    assert failed(again(edit=other)) == wanted


@pytest.mark.parametrize(
    ("name", "entries", "why"),
    [
        (TABLE.replace(".parquet", ".manifest.json"), {"threads": 4}, "threads: 1 -> 4 (1 of 5 artifacts)"),
        (RUN.replace(".safetensors", ".manifest.json"), {"device": "cuda"}, "device: cpu -> cuda (1 of 5 artifacts)"),
        (CLAIM.replace(".json", ".run.json"), {"host": "elsewhere"}, "host: "),
        (RUN.replace(".safetensors", ".run.json"), {"platform": "Plan 9"}, "platform: "),
    ],
)
def test_another_machine_or_thread_count_is_judged_within_tolerance(
    again: Stub, name: str, entries: dict[str, Any], why: str
) -> None:
    def edit(copy: Path) -> None:
        move("near", 0.4 * 0.02)(copy)
        beside(name, **entries)(copy)

    done = again(edit=edit)
    assert failed(done) == set()
    assert f"within tolerance, since {why}" in done.judged["ssb-random-labels"]
    assert "to the last bit" in done.judged["ssb-goldstone"]
    assert find(done, "number", "parts.near.estimate").margin == pytest.approx(0.6)


def test_a_pin_whose_making_is_not_known_here_is_judged_within_tolerance(again: Stub, whole: Path) -> None:
    (whole / RUN.replace(".safetensors", ".run.json")).unlink()
    change(whole / TABLE.replace(".parquet", ".manifest.json"), lambda m: m["outputs"].update(x="0"))
    said = again().judged["ssb-random-labels"]
    assert "how the pinned bytes were made is not known in this working tree (2 of 5 artifacts)" in said


def test_beyond_its_tolerance_a_number_fails_on_any_machine(again: Stub) -> None:
    def edit(copy: Path) -> None:
        move("near", 1.6 * 0.02)(copy)
        beside(RUN.replace(".safetensors", ".run.json"), host="elsewhere")(copy)

    keys = {key for check, _, key in failed(again(edit=edit)) if check == "number"}
    assert keys == {"parts.near.estimate", "parts.near.low", "parts.near.high"}


def test_another_verdict_other_data_and_an_edited_source_fail(again: Stub) -> None:
    def edit(copy: Path) -> None:
        claim(lambda c: c.update(verdict="refuted"), OTHER)(copy)
        change(copy / RUN.replace(".safetensors", ".manifest.json"), lambda m: m["inputs"]["data"].update(sha256="0"))
        beside(TABLE.replace(".parquet", ".manifest.json"), tainted=True)(copy)
        change(copy / RUN.replace("true.s", "random.s").replace(".safetensors", ".manifest.json"), forget_a_seed)

    def forget_a_seed(manifest: Any) -> None:
        manifest["params"]["seeds"] = manifest["params"]["seeds"][:-1]

    assert failed(again(edit=edit)) == {
        ("verdict", OTHER, "verdict"),
        ("bits", OTHER, "verdict"),
        ("data", RUN, "sha256 of data/cifar10.npz"),
        ("manifest", TABLE, "tainted"),
        ("parameters", RUN.replace("true", "random"), "params.seeds"),
    }


def test_a_claim_that_could_not_be_made_fails_and_the_others_are_judged(again: Stub) -> None:
    done = again(edit=lambda copy: (copy / OTHER).unlink(), failure="rule probe: it broke")
    assert failed(done) == {("verdict", OTHER, "")}
    assert "it broke" in find(done, "verdict", "", OTHER).found
    assert list(done.judged) == ["ssb-random-labels"]


def test_threads_are_asked_of_every_job(again: Stub) -> None:
    done = again(threads=3)
    assert failed(done) == set()
    assert find(done, "parameters", "params", RUN).state == "passed"


def test_fresh_seeds_are_asked_of_every_run_and_pinned_verdicts_confirmed(again: Stub, whole: Path) -> None:
    asked: list[int] = []
    done = again(fresh=True, edit=lambda copy: asked.extend(seeds(copy)))
    assert failed(done) == set()
    drawn = done.circumstances["fresh_seeds"]
    assert asked == [drawn[str(seed)] for seed in seeds(whole)]
    assert find(done, "verdict", "verdict").state == "passed"
    assert find(done, "compatible", "parts.near").margin == 1.0
    assert find(done, "number", "parts.zero.estimate", OTHER).margin == 1.0
    assert done.circumstances["level"] == 1 - 0.05 / 4
    assert not [note for note in done.differences if note.what.startswith(("params", "units", "bytes"))]


def seeds(root: Path) -> list[int]:
    return list(yaml.safe_load((root / "params.yaml").read_text())["experiments"]["toy"]["seeds"])


def test_another_level_by_fresh_seeds_is_incompatible(again: Stub) -> None:
    assert failed(again(fresh=True, edit=move("near", 0.004))) == set()
    done = again(fresh=True, edit=move("near", 0.05))
    assert failed(done) == {("compatible", CLAIM, "parts.near"), ("equivalent", CLAIM, "parts.near")}


@pytest.mark.parametrize(
    ("pinned", "found", "state", "why"),
    [
        ("supported", "supported", "passed", ""),
        ("supported", "refuted", "failed", "contradicted"),
        ("supported", "inconclusive", "failed", "not shown again, and not contradicted"),
        ("supported", "inconclusive (control)", "failed", "not shown again, and not contradicted"),
        ("inconclusive", "supported", "not checked", "nothing to confirm; here 'supported'"),
        ("inconclusive", "inconclusive", "not checked", "nothing to confirm"),
    ],
)
def test_a_verdict_of_fresh_seeds(again: Stub, whole: Path, pinned: str, found: str, state: str, why: str) -> None:
    if pinned != "supported":
        change(whole / "results/pinned/desk/ssb-goldstone.json", lambda pin: pin["claim_file"].update(verdict=pinned))
        commit(whole, "another verdict is pinned")
    finding = find(again(fresh=True, edit=claim(lambda c: c.update(verdict=found), OTHER)), "verdict", "verdict", OTHER)
    assert finding.state == state
    assert why in finding.reason


def test_a_control_that_must_fail_has_nothing_to_be_equivalent_within(again: Stub) -> None:
    keys = {f.key for f in again(fresh=True).findings if f.check == "equivalent"}
    assert keys == {"parts.near", "parts.fit.control"}


def test_a_control_that_is_not_shown_again_fails(again: Stub) -> None:
    done = again(fresh=True, edit=claim(lambda c: c["parts"]["fit"]["control"].update(shown=False)))
    assert failed(done) == {("verdict", CLAIM, "parts.fit.control.shown")}


def test_the_working_tree_is_only_read_and_uncommitted_edits_take_no_part(again: Stub, whole: Path) -> None:
    (whole / "params.yaml").write_text("not: parameters\n")
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in whole.rglob("*") if path.is_file()}
    again(fresh=True, threads=2)
    after = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in whole.rglob("*") if path.is_file()}
    assert before.keys() == after.keys()
    assert [path for path in before if before[path] != after[path]] == []


def test_a_prepared_set_is_linked_only_with_its_pinned_hash_and_manifest(tmp_path: Path) -> None:
    (tmp_path / "root/data").mkdir(parents=True)
    good = {"data/one.npz": b"one", "data/edited.npz": b"two", "data/lost.npz": b"three", "data/old.npz": b"four"}
    for name, content in good.items():
        (tmp_path / "root" / name).write_bytes(content)
    pinned = {name: sha256(tmp_path / "root" / name) for name in good}
    for name in ("one", "edited", "old"):
        digest = pinned[f"data/{name}.npz"] if name != "old" else "0" * 64
        write_json(tmp_path / f"root/data/{name}.manifest.json", {"outputs": {f"{name}.npz": digest}})
    (tmp_path / "root/data/edited.npz").write_bytes(b"2")
    assert link_data(tmp_path / "root", tmp_path / "copy", pinned | {"data/none.npz": "0" * 64}) == ["data/one.npz"]
    assert sorted(path.name for path in (tmp_path / "copy/data").iterdir()) == ["one.manifest.json", "one.npz"]
    assert (tmp_path / "copy/data/one.npz").read_bytes() == b"one"


def test_what_cannot_be_retrained_is_refused_before_anything_runs(again: Stub, whole: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    for options, why in (
        ({"keep": whole / "inside"}, "lies in the working tree"),
        ({"keep": tmp_path / "full"}, "is not empty"),
        ({"revision": "nowhere"}, "There is no revision 'nowhere'"),
        ({"revision": "HEAD~1"}, "Nothing is pinned at scale desk"),
    ):
        with pytest.raises(SymbreakError, match=why):
            again(**options)
    with pytest.raises(SymbreakError, match=r"at scale desk \(did you mean 'ssb-goldstone'"):
        again("ssb-goldston")


def test_a_kept_copy_stays(again: Stub, tmp_path: Path) -> None:
    again("ssb-goldstone", keep=tmp_path / "kept")
    assert (tmp_path / "kept" / OTHER).is_file()


def test_the_command_says_how_it_judged_and_ends_with_1_if_anything_failed(
    again: Stub, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again()
    monkeypatch.chdir(whole)
    done = CliRunner().invoke(app, ["audit", "--retrain", "ssb-goldstone", "--cores", "1"])
    assert done.exit_code == 0
    assert "judged: ssb-goldstone: same seeds, to the last bit" in done.output
    again(edit=claim(lambda c: c.update(verdict="refuted"), OTHER))
    done = CliRunner().invoke(app, ["audit", "--retrain", "--all", "--json"])
    assert done.exit_code == 1
    content = json.loads(done.stdout)
    assert content["counts"]["failed"] == 2
    assert content["made"]["judged"].keys() == {"ssb-random-labels", "ssb-goldstone"}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--retrain"], "needs claims or --all"),
        (["--retrain", "--all", "ssb-goldstone"], "needs claims or --all"),
        (["--all"], "--all belongs to --retrain"),
        (["--fresh-seeds"], "--fresh-seeds belongs to --retrain"),
        (["--pinned", "--retrain", "--all"], "--pinned and --retrain are audits of different things"),
    ],
)
def test_options_that_contradict_each_other_are_refused(whole: Path, arguments: list[str], why: str) -> None:
    done = CliRunner().invoke(app, ["audit", *arguments])
    assert done.exit_code == 2
    assert why in done.output

"""From a clone and ``dvc pull`` on: ``symbreak adopt``, and what Snakemake runs again afterwards.

Every pulled file is given the time stamp of its stage, inputs older than what is made from them. That is the trap: by
time stamps alone Snakemake calls everything done, whatever the parameters say, so what it plans here it plans from the
memory that ``adopt`` gave it.
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from symbreak.files import sha256
from symbreak.plan import Plan

from .conftest import Workspace
from .test_smoke import dependants

EXPERIMENT = "gaussnet_mnist"
RUN = f"results/desk/runs/{EXPERIMENT}/mse_10"
TABLE = f"results/desk/probes/{EXPERIMENT}/mse_10/accuracy"
CLAIM = "results/desk/claims/ssb-goldstone"
STAGES = ("data", "results/desk/runs", "results/desk/probes", "results/desk/claims", "figures")


@pytest.fixture(scope="module")
def pinned(mini_template: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The miniature, recorded, committed and pushed to a remote that is a folder."""
    folder = tmp_path_factory.mktemp("adopt")
    shutil.copytree(mini_template.root, folder / "origin")
    workspace = Workspace(folder / "origin", mini_template.mirror)
    workspace.call("dvc", "remote", "add", "--default", "shared", str(folder / "remote"))
    workspace.call("symbreak", "record")
    workspace.commit("pinned")
    workspace.call("dvc", "push")
    return workspace


@pytest.fixture(scope="module")
def pulled(pinned: Workspace) -> Workspace:
    """A clone with everything pulled and nothing adopted, time stamps in the order of the stages."""
    clone = Workspace(pinned.root.parent / "pulled", pinned.mirror)
    pinned.call("git", "clone", "--quiet", str(pinned.root), str(clone.root))
    clone.call("dvc", "pull")
    for age, stage in enumerate(STAGES):
        for path in (clone.root / stage).rglob("*"):
            os.utime(path, (1.7e9 + age, 1.7e9 + age))
    return clone


@pytest.fixture(scope="module")
def adopted(pulled: Workspace) -> Workspace:
    """The same clone, adopted. Shared: tests that change it copy it."""
    clone = copy(pulled, pulled.root.parent / "adopted")
    clone.call("symbreak", "adopt")
    return clone


@pytest.fixture
def edited(adopted: Workspace, tmp_path: Path) -> Workspace:
    """An adopted clone to edit, without DVC's cache."""
    return copy(adopted, tmp_path / "edited", "cache")


def copy(workspace: Workspace, root: Path, *left_out: str) -> Workspace:
    """Copy a workspace with its time stamps."""
    shutil.copytree(workspace.root, root, symlinks=True, ignore=shutil.ignore_patterns(*left_out))
    return Workspace(root, workspace.mirror)


def halve(workspace: Workspace) -> None:
    """Halve the learning rate of the trained experiment."""
    params = workspace.yaml("params.yaml")
    params["experiments"][EXPERIMENT]["base"]["training"]["optimiser"]["lr"] *= 0.5
    (workspace.root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def append(workspace: Workspace, name: str, text: str) -> None:
    path = workspace.root / name
    path.write_text(path.read_text() + text)


def trained(workspace: Workspace) -> set[str]:
    """All that depends on the trained experiment, and the target."""
    return dependants(Plan.load(workspace.root), EXPERIMENT)


def test_without_adopt_a_changed_learning_rate_is_overlooked(pulled: Workspace, tmp_path: Path) -> None:
    """What adopt is for; if Snakemake learns to remember across clones, it can go."""
    clone = copy(pulled, tmp_path / "clone", ".dvc")
    halve(clone)
    assert clone.planned("figures/all") == set()


def test_without_adopt_a_time_stamp_retrains(pulled: Workspace, tmp_path: Path) -> None:
    """Which files come last out of 'dvc pull' is chance."""
    clone = copy(pulled, tmp_path / "clone", ".dvc")
    os.utime(clone.root / "data/mnist.npz")
    assert clone.planned("figures/all") == trained(clone)


def test_pulled_files_are_neither_links_nor_read_only(pulled: Workspace) -> None:
    """With DVC's hard links they would be both, and Snakemake then refuses to plan."""
    paths = [path for stage in STAGES for path in (pulled.root / stage).rglob("*") if path.is_file()]
    assert len(paths) > 60
    assert {(path.stat().st_nlink, path.stat().st_mode & 0o200) for path in paths} == {(1, 0o200)}


def test_after_adopt_there_is_nothing_to_do(adopted: Workspace) -> None:
    assert adopted.planned("figures/all") == set()


def test_after_adopt_comments_and_time_stamps_rerun_nothing(edited: Workspace) -> None:
    for path in (edited.root / "src/symbreak").rglob("*.py"):
        path.write_text(path.read_text() + "\n# a comment at the end\n")
    for stage in STAGES[:3]:
        for path in (edited.root / stage).rglob("*"):
            os.utime(path)
    assert edited.planned("figures/all") == set()


def test_only_the_profile_at_its_place_lets_snakemake_compare_content(edited: Workspace) -> None:
    """Beside the rules a profile is ignored in silence; and then a time stamp retrains."""
    (edited.root / "profiles").rename(edited.root / "workflow/profiles")
    os.utime(edited.root / "data/mnist.npz")
    assert edited.planned("figures/all") == trained(edited)


def test_after_adopt_a_learning_rate_reruns_exactly_its_dependants(edited: Workspace) -> None:
    halve(edited)
    assert edited.planned("figures/all") == trained(edited)


def test_after_adopt_a_probe_reruns_exactly_its_dependants(edited: Workspace) -> None:
    append(edited, "src/symbreak/probes/accuracy.py", "\nUNUSED = 1\n")
    jobs = {job for job in trained(edited) if not job.startswith("run ") and not job.endswith("probe=learning_curve")}
    assert edited.planned("figures/all") == jobs


def test_after_adopt_a_data_set_reruns_exactly_its_dependants(edited: Workspace) -> None:
    with (edited.root / "data/mnist.npz").open("ab") as stream:
        stream.write(b"\0")
    assert edited.planned("figures/all") == trained(edited)


def test_after_adopt_dvc_and_record_find_the_same_as_was_pinned(adopted: Workspace, tmp_path: Path) -> None:
    clone = copy(adopted, tmp_path / "clone")
    assert "up to date" in clone.call("dvc", "status").stdout
    clone.call("symbreak", "record")
    assert clone.call("git", "status", "--porcelain").stdout == ""


def test_a_rule_written_after_the_pulled_runs_is_refused(edited: Workspace) -> None:
    """Run files, which have the dates, are not in DVC; the pins have them too."""
    claims = edited.yaml("claims.yaml")
    claims["claims"]["gaussnet-mnist"]["parts"]["width_100"]["rule"]["within"] = 0.9
    (edited.root / "claims.yaml").write_text(yaml.safe_dump(claims, sort_keys=False))
    edited.commit("a kinder rule")
    edited.snakemake("figures/all")
    done = edited.call("symbreak", "record", check=False)
    assert done.returncode == 2
    assert "gaussnet-mnist: entry of" in done.stderr


def test_dvc_sees_code_and_no_comment(adopted: Workspace, tmp_path: Path) -> None:
    clone = copy(adopted, tmp_path / "clone")
    append(clone, "src/symbreak/probes/accuracy.py", "\n# a comment\n")
    clone.call("python", "-m", "symbreak.provenance.dvcfile")
    assert clone.call("git", "status", "--porcelain", "code.yaml", "dvc.yaml").stdout == ""
    append(clone, "src/symbreak/probes/accuracy.py", "\nUNUSED = 1\n")
    clone.call("python", "-m", "symbreak.provenance.dvcfile")
    assert json.loads(clone.call("dvc", "status", "--json").stdout) == {
        f"probe@{EXPERIMENT}": [{"changed deps": {"code.yaml": {f"probe.{EXPERIMENT}": "modified"}}}]
    }


def test_dvc_repro_of_an_experiment_trains_only_the_changed_arm(adopted: Workspace, tmp_path: Path) -> None:
    clone = copy(adopted, tmp_path / "clone")
    before = times(clone, STAGES[1])
    params = clone.yaml("params.yaml")
    params["experiments"][EXPERIMENT]["arms"]["mse_10"]["training"] = {"optimiser": {"lr": 0.5}}
    (clone.root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    clone.call("dvc", "repro", f"run@{EXPERIMENT}")
    after = times(clone, STAGES[1])
    changed = {name for name in before if after[name] != before[name]}
    suffixes = (".safetensors", ".steps.parquet", ".epochs.parquet", ".manifest.json")
    assert changed == {f"{RUN}{suffix}" for suffix in suffixes}


def times(workspace: Workspace, *folders: str) -> dict[str, tuple[int, int]]:
    """Time stamp and size of all files, or of those in some folders."""
    paths = [path for folder in folders or (".",) for path in (workspace.root / folder).rglob("*") if path.is_file()]
    return {
        path.relative_to(workspace.root).as_posix(): (path.stat().st_mtime_ns, path.stat().st_size) for path in paths
    }


def manifest(artifact: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Workspace], None]:
    """Change a manifest."""

    def damage(workspace: Workspace) -> None:
        path = workspace.root / f"{artifact}.manifest.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return damage


def remove(name: str) -> Callable[[Workspace], None]:
    return lambda workspace: (workspace.root / name).unlink()


def flip(workspace: Workspace) -> None:
    path = workspace.root / f"{RUN}.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


DAMAGE: dict[str, tuple[Callable[[Workspace], None], str, str]] = {
    "artifact": (remove(f"{CLAIM}.json"), f"{CLAIM}.json or its manifest is missing", "dvc pull"),
    "manifest": (remove(f"{CLAIM}.manifest.json"), f"{CLAIM}.json or its manifest is missing", "dvc pull"),
    "sibling": (remove(f"{RUN}.steps.parquet"), "the content that its manifest has: mse_10.steps", "dvc checkout"),
    "bit": (flip, "the content that its manifest has: mse_10.safetensors", "dvc checkout"),
    "parameter": (halve, f"the parameters of {RUN}.safetensors changed: training.optimiser.lr", "git log dvc.lock"),
    "code": (
        lambda workspace: append(workspace, "src/symbreak/probes/accuracy.py", "\nUNUSED = 1\n"),
        f"code changed since {TABLE}.parquet was made: symbreak.probes.accuracy",
        "git log dvc.lock",
    ),
    "taint": (manifest(RUN, lambda m: m.update(tainted=True)), "changed while it was made", "Delete it"),
    "version": (
        manifest(RUN, lambda m: m["versions"].update(torch="0")),
        f"{RUN}.safetensors was made with other versions of torch",
        "requirements.lock",
    ),
    "input": (
        manifest(TABLE, lambda m: m["inputs"]["run"].update(sha256="0")),
        f"{TABLE}.parquet was made from another version of {RUN}.safetensors",
        "git log dvc.lock",
    ),
    "other input": (
        manifest(TABLE, lambda m: m["inputs"]["run"].update(path="elsewhere.safetensors")),
        f"{TABLE}.parquet was made from other inputs: elsewhere.safetensors, {RUN}.safetensors",
        "git log dvc.lock",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_adopt_refuses_names_what_is_wrong_and_touches_nothing(pulled: Workspace, tmp_path: Path, name: str) -> None:
    damage, reason, mend = DAMAGE[name]
    clone = copy(pulled, tmp_path / "clone", ".dvc", ".git")
    damage(clone)
    before = times(clone)
    done = clone.call("symbreak", "adopt", check=False)
    assert done.returncode == 2
    assert reason in done.stderr
    assert mend in done.stderr
    assert {path: time for path, time in times(clone).items() if "__pycache__" not in path} == before
    assert not (clone.root / ".snakemake").exists()


def test_what_is_missing_or_altered_is_mended_as_the_refusal_says(pulled: Workspace, tmp_path: Path) -> None:
    clone = copy(pulled, tmp_path / "clone")
    names = (f"{RUN}.safetensors", f"{CLAIM}.json")
    whole = {name: sha256(clone.root / name) for name in names}
    flip(clone)
    (clone.root / names[1]).unlink()
    clone.call("dvc", "checkout", "--force")
    assert {name: sha256(clone.root / name) for name in names} == whole


def test_jobs_that_snakemake_plans_all_the_same_are_reported(pulled: Workspace, tmp_path: Path) -> None:
    clone = copy(pulled, tmp_path / "clone", ".dvc")
    append(clone, "profiles/default/profile.yaml", "forcerun: [figure]\n")
    done = clone.call("symbreak", "adopt", check=False)
    assert done.returncode == 2
    assert "yet Snakemake plans jobs" in done.stderr


def test_parameters_edited_while_adopting_are_not_adopted(pulled: Workspace, tmp_path: Path) -> None:
    """The edit comes after the proof and before Snakemake: the memory of a parameter that made nothing is dropped."""
    clone = copy(pulled, tmp_path / "clone", ".dvc")
    program = (
        "from pathlib import Path\n"
        "from symbreak.provenance import adopt\n"
        "call, text = adopt.call, Path('params.yaml').read_text()\n"
        "def edit(root, *command):\n"
        "    Path('params.yaml').write_text(text.replace('epochs: 3', 'epochs: 4'))\n"
        "    return call(root, *command)\n"
        "adopt.call = edit\n"
        "adopt.adopt(Path())\n"
    )
    done = clone.call("python", "-c", program, check=False)
    assert "edited meanwhile, so nothing was adopted" in done.stderr
    assert "jobs have missing provenance" in clone.snakemake("--dry-run", "figures/all")

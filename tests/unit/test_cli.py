"""`symbreak status` and `symbreak explain` in a project made for the test."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from toy_project import CLAIM, PAPER, PARAMS
from typer.testing import CliRunner

from symbreak.cli import app
from symbreak.errors import SymbreakError
from symbreak.figures.run import decided_on
from symbreak.files import sha256, write_json


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    registry = {"papers": {"ssb": PAPER}, "claims": {"ssb-random-labels": CLAIM}}
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump(registry))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def called(*arguments: str) -> tuple[int, str, str]:
    found = CliRunner().invoke(app, arguments)
    return found.exit_code, found.stdout, found.stderr


def test_status_of_a_fresh_clone_says_what_would_compute_the_claim(project: Path) -> None:
    code, out, _ = called("status")
    assert code == 0
    assert "not computed" in out
    assert "snakemake --cores 8 results/desk/claims/ssb-random-labels.json" in out


def test_status_as_json_by_target_lists_the_whole_catalogue(project: Path) -> None:
    code, out, _ = called("status", "--by", "target", "--json")
    assert code == 0
    assert [(r["target"], r["id"], r["verdict"], r["freshness"]) for r in json.loads(out)] == [
        ("C1", "ssb-random-labels", None, "missing"),
        ("C2", None, "not registered", None),
    ]


def test_explain_says_rule_refutation_control_and_files_before_anything_is_computed(project: Path) -> None:
    code, out, _ = called("explain", "ssb-random-labels")
    assert code == 0
    whole = "the whole 99.88 % interval of training accuracy"
    assert f"Supported if {whole} is at least 0.99." in out
    assert f"Refuted if {whole} is below 0.99." in out
    assert "own rule fails there: the whole 99.88 % interval of test accuracy is below 0.99." in out
    for path in ("data/cifar10.npz", "results/desk/runs/toy/cifar10_random.safetensors", "ssb-random-labels.json"):
        assert f"{path}  (not here)" in out


def test_explain_shows_the_numbers_and_hashes_of_what_is_here(project: Path) -> None:
    def interval(low: float | None, high: float | None, **more: Any) -> dict[str, Any]:
        return {"method": "wilson", "estimate": 0.5, "low": low, "high": high, "n": 8, "clusters": 5} | more

    control = interval(None, None, quantity="test accuracy", reason="too few", shown=False)
    part = interval(0.25, 0.75, quantity="training accuracy", verdict="inconclusive (control)", underpowered=True)
    part |= {"control": control, "reason": "too few", "power": 0.41}
    path = project / "results/desk/claims/ssb-random-labels.json"
    write_json(path, {"verdict": "inconclusive (control)", "underpowered": True, "parts": {"fit": part}})
    code, out, _ = called("explain", "ssb-random-labels")
    assert code == 0
    assert "Control: test accuracy: no interval (wilson, n = 8 in 5 clusters; too few): not shown" in out
    assert (
        "training accuracy 0.5 in [0.25, 0.75] (wilson, n = 8 in 5 clusters): inconclusive (control) (underpowered)"
        in out
    )
    assert "Power: 0.41" in out
    assert f"ssb-random-labels.json  sha256 {sha256(path)[:16]}" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["explain", "ssb-random-lables"], "did you mean 'ssb-random-labels'"),
        (["status", "--scale", "smoke"], "params.smoke.yaml: not found"),
    ],
)
def test_mistakes_are_sentences_with_exit_code_2(project: Path, arguments: list[str], words: str) -> None:
    code, out, err = called(*arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err


def test_a_figure_refuses_tables_that_its_verdict_was_not_decided_on(tmp_path: Path) -> None:
    table, evidence = tmp_path / "accuracy.parquet", tmp_path / "ssb-x.json"
    table.write_bytes(b"one")
    inputs = {"plain/accuracy": {"path": str(table), "sha256": sha256(table)}}
    write_json(tmp_path / "ssb-x.manifest.json", {"inputs": inputs})
    assert decided_on(evidence) == {"plain/accuracy": table}
    table.write_bytes(b"two")
    with pytest.raises(SymbreakError, match="decided on other tables"):
        decided_on(evidence)

"""`symbreak sensitivity`: which files it reads, what it refuses, what it prints."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import toy_project as toy
import yaml
from rich.console import Console
from typer.testing import CliRunner

from symbreak.claims.filed import NotFiledError, read_filed
from symbreak.claims.run import DecidedEntry
from symbreak.cli import app
from symbreak.config.load import load
from symbreak.errors import SymbreakError
from symbreak.files import write_json
from symbreak.sensitivity import study
from symbreak.sensitivity_tables import show

SEEDS = [1000, 1001, 1002, 1003, 1004, 1005]
TOY = toy.PARAMS["experiments"]["toy"] | {"seeds": SEEDS}
PARAMS = toy.PARAMS | {"experiments": {"toy": TOY}}
PART = toy.PART | {"interval": "t", "rule": {"equals": 0.9, "within": 0.1}, "power": {"effect": 0.9, "spread": 0.01}}
CLAIM = toy.CLAIM | {"parts": {"fit": PART}}
NAME = "ssb-random-labels"
COMPUTED, PINNED = f"results/desk/claims/{NAME}.json", f"results/pinned/desk/{NAME}.json"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump({"papers": {"ssb": toy.PAPER}, "claims": {NAME: CLAIM}}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def units(centre: float) -> list[dict[str, Any]]:
    rest = {"cluster": None, "count": None, "trials": None, "error": 0.0}
    return [{"unit": f"seed {seed}", "value": centre + seed % 10 / 1000} | rest for seed in SEEDS]


def claim_file(project: Path, centre: float = 0.9, verdict: str = "supported") -> dict[str, Any]:
    entry = DecidedEntry.model_validate(load(project).registry.claims[NAME].decided())
    part = {"level": 1 - 0.05 / 43, "verdict": verdict, "units": units(centre), "control": {"units": units(0.1)}}
    return {"entry_sha256": entry.sha256, "parts": {"fit": part}}


def read(project: Path) -> Any:
    registry = load(project).registry
    return read_filed(project, "desk", NAME, registry.claims[NAME], registry.papers["ssb"])


def called(*arguments: str) -> tuple[int, str, str]:
    found = CliRunner().invoke(app, ["sensitivity", *arguments])
    return found.exit_code, found.stdout, found.stderr


def test_what_is_computed_here_is_read_before_the_pin(project: Path) -> None:
    write_json(project / PINNED, {"claim_file": claim_file(project, 0.5, "refuted")})
    assert (read(project).path, read(project).parts["fit"].verdict) == (PINNED, "refuted")
    write_json(project / COMPUTED, claim_file(project))
    assert (read(project).path, read(project).parts["fit"].verdict) == (COMPUTED, "supported")


def test_a_file_of_another_entry_or_level_is_not_read_but_a_pin_of_this_one_is(project: Path) -> None:
    old, other_level = claim_file(project), claim_file(project)
    old["entry_sha256"] = "0" * 64
    other_level["parts"]["fit"]["level"] = 0.95
    write_json(project / COMPUTED, old)
    write_json(project / PINNED, {"claim_file": other_level})
    with pytest.raises(
        NotFiledError, match=r"claims\.yaml has changed since.*family_size of its paper has changed since"
    ):
        read(project)
    write_json(project / PINNED, {"claim_file": claim_file(project)})
    assert read(project).path == PINNED


def test_a_value_that_json_cannot_hold_comes_back_as_no_number(project: Path) -> None:
    content = claim_file(project, verdict="inconclusive")
    content["parts"]["fit"]["units"][2]["value"] = None
    write_json(project / COMPUTED, content)
    (paper,) = study(load(project).registry, "desk", project, [], None).papers
    assert (paper.targets[0].p, paper.targets[0].verdict) == (1.0, "inconclusive")
    (change,) = paper.parts[0].leave_one_out.changes
    assert (change.name, change.verdict) == ("seed 1002", "supported")


def test_a_unit_or_a_key_that_is_not_there_is_named(project: Path) -> None:
    content = claim_file(project)
    del content["parts"]["fit"]["units"][2]["value"]
    write_json(project / COMPUTED, content)
    with pytest.raises(SymbreakError, match=r"ssb-random-labels\.json: a unit .*value"):
        read(project)
    del content["parts"]["fit"]["control"]
    write_json(project / COMPUTED, content)
    with pytest.raises(SymbreakError, match="expected the key 'control', found level, units, verdict"):
        read(project)


def test_a_verdict_that_its_units_do_not_give_is_refused(project: Path) -> None:
    write_json(project / COMPUTED, claim_file(project, 0.5, "supported"))
    code, _, err = called()
    assert code == 2
    assert "part 'fit' is filed as 'supported', but its units give 'refuted'" in err


def test_the_three_tables_and_what_was_read(project: Path) -> None:
    write_json(project / PINNED, {"claim_file": claim_file(project, 0.95)})
    code, out, _ = called(NAME)
    assert code == 0
    assert "Of 1 tolerances 1 change a verdict when halved, 0 when doubled" in out
    assert "Of 1 parts 0 are decided otherwise without some unit; 0 have so few" in out
    assert "Of 1 statistical targets 0 would have another verdict under Holm" in out
    fit = [line.split() for line in out.splitlines() if line.startswith(NAME)]
    assert fit[0][1:] == ["fit", "rule", "0.1", "inconclusive", "supported", "supported"]
    assert fit[1][1:6] == ["fit", "supported", "0", "of", "6"]
    assert f"Read: 0 claim files computed here, 1 pins.\n  pins: {NAME}\n" in out


def test_the_json_has_the_same_numbers(project: Path) -> None:
    write_json(project / COMPUTED, claim_file(project, 0.95))
    found = json.loads(called("--paper", "ssb", "--json")[1])
    assert (found["scale"], found["read"], found["not_read"]) == ("desk", {NAME: COMPUTED}, {})
    (paper,) = found["papers"]
    assert paper["parts"][0]["tolerances"][0]["half"] == "inconclusive"
    (target,) = paper["targets"]
    assert target["family"] == pytest.approx(43 * target["p"])
    assert target["holm"] == pytest.approx(43 * target["p"])  # the other 42 targets have none


def test_units_without_which_there_is_no_interval_are_named_with_the_reason(project: Path) -> None:
    content, reason = claim_file(project), "inconclusive (4 independent units; the interval 't' needs at least 5)"
    content["parts"]["fit"]["units"].pop()
    write_json(project / COMPUTED, content)
    out = called()[1]
    assert "0 are decided otherwise without some unit; 1 have so few" in out
    assert f"5 of 6   0.902     0.9015 to 0.9025  seed 1000, seed 1001, seed 1002 and 2 more: {reason}" in out
    content["parts"]["fit"]["control"]["units"].pop()
    write_json(project / COMPUTED, content)
    assert f"  any: {reason.replace('inconclusive', 'inconclusive (control)')}" in called()[1]


def test_on_a_terminal_the_tables_fold_to_its_width_and_lose_nothing(project: Path) -> None:
    write_json(project / COMPUTED, claim_file(project))
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    show(study(load(project).registry, "desk", project, [], None).papers, console)
    lines = console.file.getvalue().splitlines()
    tables = [line for line in lines if not line.startswith(("Verdicts", "Holm's"))]
    assert max(map(len, tables)) <= 80
    assert not any("…" in line for line in tables)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ssb-random-label"], f"there is no claim 'ssb-random-label' in claims.yaml (did you mean '{NAME}'?)"),
        (["--paper", "sbs"], "there is no paper 'sbs'; claims.yaml has ssb"),
        ([NAME], "neither computed here nor pinned. Compute it with 'snakemake --cores 8 " + COMPUTED),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(project: Path, arguments: list[str], words: str) -> None:
    code, _, err = called(*arguments)
    assert code == 2
    assert words in err


def test_without_names_what_is_not_there_is_listed_at_the_end(project: Path) -> None:
    code, out, _ = called()
    assert code == 0
    assert f"  neither computed here nor pinned: {NAME}" in out

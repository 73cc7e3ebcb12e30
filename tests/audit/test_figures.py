"""``symbreak audit --figures``. Oracle: pins that follow from their tables by construction; then one thing moves."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from symbreak.audit.figures import audit_figures
from symbreak.audit.figures_compare import drawings, pixels
from symbreak.audit.finding import Finding
from symbreak.cli import app
from symbreak.errors import SymbreakError
from symbreak.files import sha256

from .mutations import OTHER, PIN, at, load, mutate, save
from .project import toys

FIGURE, SHOWN = "figures/desk/ssb-goldstone", "docs/figures/ssb-goldstone.png"
TABLE, TRUE = "results/desk/probes/exact/one/potential.parquet", "results/desk/probes/toy/true/accuracy.parquet"
UNIT = ["claim_file", "parts", "near", "units", 0, "value"]
ESTIMATE = "claim_file.parts.near.estimate"


@pytest.fixture(autouse=True)
def _toys() -> Iterator[None]:
    with toys():
        yield


def state(root: Path, which: str, *claims: str) -> list[Finding]:
    return [f for f in audit_figures(root, claims)[0] if f.state == which]


def repaint(path: Path, row: int, column: int, by: int) -> tuple[str, str]:
    """Change one pixel's red and return its colour before and after."""
    with Image.open(path) as image:
        picture = image.convert("RGBA")
    old = picture.getpixel((column, row))
    assert isinstance(old, tuple)
    new = (old[0] - by, *old[1:])
    picture.putpixel((column, row), new)
    picture.save(path)
    return "#" + bytes(old).hex(), "#" + bytes(new).hex()


def elsewhere(root: Path, name: str = PIN) -> None:
    """Forget which machine decided a claim."""
    (root / f"results/desk/claims/{Path(name).stem}.run.json").unlink()


def test_what_follows_from_its_tables_passes_and_nothing_is_written(whole: Path) -> None:
    before = {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()}
    findings, differences = audit_figures(whole)
    assert {f.state for f in findings} == {"passed"}
    assert differences == []
    assert {f.file for f in findings if f.check == "table"} >= {TABLE, TRUE}
    pictures = {(f.file, f.key) for f in findings if f.check == "figure"}
    assert {(f"{FIGURE}.png", "pixels"), (f"{FIGURE}.svg", "lines"), (SHOWN, "pixels")} <= pictures
    units = {f.key: f.found for f in findings if f.key.endswith("units")}
    assert units["claim_file.parts.fit.units"] == "35 values equal to the last digit"  # 5 units of 7 keys
    assert {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()} == before


def test_a_changed_pixel_is_named_by_row_and_column_with_both_colours(whole: Path) -> None:
    repaint(whole / f"{FIGURE}.png", 9, 70, by=200)
    old, new = repaint(whole / f"{FIGURE}.png", 7, 40, by=1)
    found = {(f.file, f.key): f for f in state(whole, "failed")}
    assert found.keys() == {(f"{FIGURE}.png", "sha256"), (f"{FIGURE}.png", "pixels")}
    finding = found[f"{FIGURE}.png", "pixels"]
    assert (finding.expected, finding.found) == (f"row 7, column 40: {old}", f"row 7, column 40: {new}")
    assert finding.reason.startswith("2 of 25600 pixels differ; most, by 200 of 255, at row 9, column 70: ")


def test_a_changed_line_of_the_svg_is_named(whole: Path) -> None:
    path = whole / f"{FIGURE}.svg"
    path.write_text(path.read_text().replace('<g id="axes_1">', '<g id="axes_2">', 1))
    line = next(i for i, text in enumerate(path.read_text().splitlines(), 1) if "axes_2" in text)
    finding = next(f for f in state(whole, "failed") if f.key == "lines")
    assert finding.expected.startswith(f"line {line}: ")
    assert finding.expected.endswith('<g id="axes_1">')
    assert finding.found.endswith('<g id="axes_2">')


def test_a_missing_table_leaves_its_claim_unchecked_and_no_other(whole: Path) -> None:
    (whole / TRUE).unlink()
    findings = audit_figures(whole)[0]
    unchecked = {(f.check, f.file) for f in findings if f.state == "not checked"}
    assert unchecked == {("table", TRUE), ("evidence", PIN), ("figure", "figures/desk/ssb-random-labels.svg")}
    assert not [f for f in findings if f.state == "failed"]
    assert {f.file for f in findings if f.check == "evidence" and f.state == "passed"} == {OTHER}


def test_no_table_at_all_is_an_error_not_a_pass(clone: Path) -> None:
    with pytest.raises(SymbreakError, match="no pin has its probe tables here"):
        audit_figures(clone)


def test_a_table_that_is_not_the_pinned_one_is_not_used(whole: Path) -> None:
    (whole / TRUE).write_bytes((whole / TRUE.replace("true", "random")).read_bytes())
    assert [(f.check, f.file) for f in state(whole, "failed")] == [("table", TRUE)]
    assert {f.check for f in state(whole, "not checked")} == {"evidence", "figure"}


def test_a_pinned_table_that_no_evidence_can_read_fails(whole: Path) -> None:
    (whole / TRUE).write_bytes(b"no table")
    mutate(whole, ["tables", TRUE, "accuracy.parquet"], sha256(whole / TRUE))
    found = {f.check: f for f in state(whole, "failed")}
    assert found.keys() == {"evidence"}
    assert "ArrowInvalid" in found["evidence"].found
    assert [f.check for f in state(whole, "not checked")] == ["figure"]


def test_on_the_same_machine_a_number_is_equal_to_the_last_digit(whole: Path) -> None:
    mutate(whole, UNIT, at(load(whole), UNIT) * (1 + 1e-15))
    failed = state(whole, "failed", "ssb-random-labels")
    assert [(f.file, f.key, f.reason) for f in failed] == [
        (PIN, "claim_file.parts.near.units[0].value", "same code, versions and machine")
    ]


@pytest.mark.parametrize(("share", "which"), [(1e-10, "passed"), (1e-8, "failed")])
def test_elsewhere_a_number_may_be_rounded_otherwise(whole: Path, share: float, which: str) -> None:
    elsewhere(whole)
    steps = ESTIMATE.split(".")
    mutate(whole, steps, at(load(whole), steps) * (1 + share))
    finding = next(f for f in audit_figures(whole)[0] if f.key == ESTIMATE)
    assert finding.state == which
    assert finding.margin == pytest.approx(1 - share * 0.97022 / (1e-9 * 0.99), abs=0.01)  # the rule's edge is largest
    assert "not known to be the one" in finding.reason


@pytest.mark.parametrize(("by", "which"), [(1, "passed"), (3, "failed")])
def test_elsewhere_a_pixel_may_be_rounded_otherwise(whole: Path, by: int, which: str) -> None:
    elsewhere(whole, OTHER)
    repaint(whole / SHOWN, 7, 40, by)
    finding = next(f for f in audit_figures(whole)[0] if f.file == SHOWN)
    assert (finding.state, finding.margin) == (which, 0.5 if which == "passed" else None)


def test_with_another_matplotlib_a_picture_that_differs_is_not_checked(whole: Path) -> None:
    mutate(whole, ["manifest", "versions", "matplotlib"], "3.0", OTHER)
    repaint(whole / SHOWN, 7, 40, 100)
    findings, differences = audit_figures(whole)
    finding = next(f for f in findings if f.file == SHOWN)
    assert finding.state == "not checked"
    assert "row 7, column 40" in finding.expected
    assert "version of matplotlib 3.0 -> " in finding.reason
    assert [(d.claim, d.what, d.pinned) for d in differences] == [("ssb-goldstone", "version of matplotlib", "3.0")]
    assert {f.state for f in findings if f.file == f"{FIGURE}.png"} == {"passed"}  # equal is equal


@pytest.mark.parametrize(("share", "which"), [(0.4, "passed"), (1.6, "failed")])
def test_with_other_code_a_number_may_move_by_its_tolerance(whole: Path, share: float, which: str) -> None:
    mutate(whole, ["manifest", "code", "end"], "0" * 16)
    steps = ESTIMATE.split(".")
    mutate(whole, steps, at(load(whole), steps) + share * 0.02)
    finding = next(f for f in audit_figures(whole)[0] if f.key == ESTIMATE)
    assert finding.state == which
    assert finding.margin == pytest.approx(1 - share)


def test_a_figure_that_is_not_here_is_known_by_its_hash_or_not_checked(whole: Path) -> None:
    for path in (whole / "figures/desk").iterdir():
        path.unlink()
    assert state(whole, "not checked") == []
    mutate(whole, ["figure", "ssb-goldstone.svg"], "0" * 64, OTHER)
    assert [(f.file, f.state) for f in state(whole, "not checked")] == [(f"{FIGURE}.svg", "not checked")]


def test_claims_are_named_or_refused_and_one_that_is_not_pinned_is_not_checked(whole: Path) -> None:
    assert {Path(f.file).stem for f in audit_figures(whole, ["ssb-goldstone"])[0] if f.check == "evidence"} == {
        "ssb-goldstone"
    }
    with pytest.raises(SymbreakError, match="did you mean 'ssb-goldstone'"):
        audit_figures(whole, ["ssb-golstone"])
    (whole / OTHER).unlink()
    assert [f.file for f in state(whole, "not checked")] == [OTHER]


def test_a_pin_of_another_form_fails_by_its_shape(whole: Path) -> None:
    content = load(whole)
    del content["figure"]
    save(whole, content)
    assert [(f.check, f.key) for f in state(whole, "failed")] == [("shape", "figure")]
    assert [(f.check, f.file) for f in state(whole, "not checked")] == [("evidence", PIN)]


def audit(root: Path, *options: str) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        return CliRunner().invoke(app, ["audit", *options])


def test_the_command_is_green_then_red_and_says_what_it_did_not_reach(whole: Path) -> None:
    done = audit(whole, "--figures", "ssb-goldstone")
    assert done.exit_code == 0
    assert "0 failed, 0 not checked" in done.output
    assert "out of reach: whether the tables follow from the runs" in done.output
    repaint(whole / SHOWN, 7, 40, by=1)
    done = audit(whole, "--figures", "--json")
    assert done.exit_code == 1
    assert [f["file"] for f in json.loads(done.output)["findings"] if f["state"] == "failed"] == [SHOWN]


def test_options_that_do_not_go_together_are_refused(whole: Path) -> None:
    for options in (("--figures", "--pinned"), ("ssb-goldstone",), ("--pinned", "ssb-goldstone")):
        assert audit(whole, *options).exit_code == 2


def picture(path: Path, columns: int, rows: int) -> Path:
    Image.new("RGB", (columns, rows), "white").save(path)
    return path


def test_pictures_of_another_size_and_files_that_are_none(tmp_path: Path) -> None:
    one, other = picture(tmp_path / "a.png", 4, 3), picture(tmp_path / "b.png", 4, 2)
    apart = pixels(one, other)
    assert apart is not None
    assert (apart.expected, apart.found) == ("3 rows of 4 pixels", "2 rows of 4 pixels")
    other.write_bytes(b"none")
    assert pixels(one, other) is not None
    assert pixels(one, one) is None


@pytest.mark.parametrize(
    ("line", "points"),
    [
        ('<path d="M 10.25 2" clip-path="url(#p0123456789)"/>', 0.25),
        ('<path d="M 10 2" clip-path="url(#pabcdefabcd)"/>', 0.0),
        ('<path d="L 10 2" clip-path="url(#p0123456789)"/>', float("inf")),
    ],
)
def test_lines_of_drawings_differ_by_points_ids_or_altogether(tmp_path: Path, line: str, points: float) -> None:
    one, other = tmp_path / "a.svg", tmp_path / "b.svg"
    one.write_text('<svg>\n<path d="M 10 2" clip-path="url(#p0123456789)"/>\n')
    other.write_text(f"<svg>\n{line}\n")
    apart = drawings(one, other)
    assert apart is not None
    assert (apart.size, apart.found) == (points, f"line 2: {line}")
    assert drawings(one, one) is None

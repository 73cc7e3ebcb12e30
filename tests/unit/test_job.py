"""The frame around every job: manifests, taint, and what a failure leaves behind."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from symbreak.files import sha256, write_json
from symbreak.provenance.closure import SOURCE, fingerprint
from symbreak.provenance.job import job

ENTRY = "symbreak.seeding"


def run(artifact: Path, planned: str, inputs: dict[str, Path] | None = None, text: str = "result") -> dict[str, object]:
    with job(
        artifact=artifact,
        kind="probe",
        entry=ENTRY,
        modules=(),
        planned=planned,
        params={"a": 1},
        inputs=inputs or {},
        threads=1,
    ) as record:
        artifact.write_text(text)
        record.note(diverged=[{"seed": 3, "step": 7}])
    manifest: dict[str, object] = json.loads(artifact.with_name("x.manifest.json").read_text())
    return manifest


def test_manifest_says_what_ran_on_what(tmp_path: Path) -> None:
    above = tmp_path / "in.txt"
    above.write_text("input")
    manifest = run(tmp_path / "x.txt", fingerprint(ENTRY), {"data": above})
    assert manifest["tainted"] is False
    assert manifest["params"] == {"a": 1}
    assert manifest["outputs"] == {"x.txt": sha256(tmp_path / "x.txt")}
    assert manifest["inputs"] == {"data": {"path": above.as_posix(), "sha256": sha256(above)}}
    assert manifest["diverged"] == [{"seed": 3, "step": 7}]
    assert manifest["command"][:3] == ["python", "-m", ENTRY]  # type: ignore[index]
    assert (tmp_path / "x.run.json").is_file()


def test_manifest_is_the_same_for_the_same_job(tmp_path: Path) -> None:
    first = run(tmp_path / "x.txt", fingerprint(ENTRY))
    assert run(tmp_path / "x.txt", fingerprint(ENTRY)) == first


def test_code_that_is_not_what_was_planned_taints(tmp_path: Path) -> None:
    assert run(tmp_path / "x.txt", "0" * 16)["tainted"] is True


def test_a_source_edited_while_it_runs_taints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prints = iter([fingerprint(ENTRY), "edited-in-the-middle"])
    monkeypatch.setattr("symbreak.provenance.job.fingerprint", lambda entry, modules: next(prints))
    assert run(tmp_path / "x.txt", fingerprint(ENTRY))["tainted"] is True


def test_taint_is_inherited(tmp_path: Path) -> None:
    (tmp_path / "up").mkdir()
    above = tmp_path / "up" / "x.txt"
    run(above, "0" * 16)
    assert run(tmp_path / "x.txt", fingerprint(ENTRY), {"run": above})["tainted"] is True


def test_a_failed_body_records_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="boom"),
        job(
            artifact=tmp_path / "x.txt",
            kind="probe",
            entry=ENTRY,
            modules=(),
            planned="",
            params={},
            inputs={},
            threads=1,
        ),
    ):
        raise RuntimeError("boom")
    assert list(tmp_path.iterdir()) == []


def test_json_is_never_half_written(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1})
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "a.json", {"b": float("nan")})
    assert json.loads((tmp_path / "a.json").read_text()) == {"b": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_the_package_is_where_the_fingerprint_looks() -> None:
    assert (SOURCE / "symbreak" / "seeding.py").is_file()


@pytest.mark.parametrize(("error", "traceback"), [("SymbreakError", False), ("ValueError", True)])
def test_an_error_that_a_user_can_mend_ends_in_its_sentence(tmp_path: Path, error: str, traceback: bool) -> None:
    program = (
        "from pathlib import Path\nfrom symbreak.errors import SymbreakError\nfrom symbreak.provenance.job import job\n"
        f"with job(artifact=Path('x.txt'), kind='data', entry={ENTRY!r}, modules=(), planned='', params={{}}, "
        f"inputs={{}}, threads=1):\n    raise {error}('no mirror; name one')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no mirror; name one" in done.stderr
    assert ("Traceback" in done.stderr) is traceback

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from symbreak.progress import reporter as module
from symbreak.progress.reporter import reporter
from symbreak.progress.trainings import Training, running, span


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_a_training_is_seen_while_it_runs_and_not_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    monkeypatch.setenv("SYMBREAK_PROGRESS", str(tmp_path))
    with reporter("labels/wide", 100) as update:
        clock[0] += 5
        update(25, epoch=0.5, epochs=2, loss=0.75)
        assert running(tmp_path) == [Training("labels/wide", epoch=0.5, epochs=2, loss=0.75, left=15.0)]
    assert list(tmp_path.iterdir()) == []


def test_it_writes_at_most_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    monkeypatch.setenv("SYMBREAK_PROGRESS", str(tmp_path))
    seen = []
    with reporter("a", 100) as update:
        for step in range(1, 11):
            clock[0] += 0.25
            update(step, epoch=step / 10, epochs=10, loss=float(step))
            seen.append(running(tmp_path)[0].loss)
    assert sorted(set(seen)) == [1.0, 5.0, 9.0]


def test_a_raising_training_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYMBREAK_PROGRESS", str(tmp_path))
    with pytest.raises(RuntimeError, match="broken"), reporter("a", 10) as update:
        update(1, epoch=0, epochs=1, loss=float("nan"))
        raise RuntimeError("broken")
    assert list(tmp_path.iterdir()) == []


def test_without_a_watcher_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SYMBREAK_PROGRESS", raising=False)
    monkeypatch.chdir(tmp_path)
    with reporter("a", 10) as update:
        update(1, epoch=0, epochs=1, loss=1.0)
        assert list(tmp_path.iterdir()) == []


def test_files_of_dead_processes_are_ignored(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    state = {"epoch": 1, "epochs": 2, "loss": 1.0, "left": None}
    for pid, label in ((dead.pid, "dead"), (os.getpid(), "alive")):
        (tmp_path / f"{pid}.json").write_text(json.dumps({"label": label, **state}))
    assert [training.label for training in running(tmp_path)] == ["alive"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (4325, "1 h 12 min")]
)
def test_spans_read_as_a_person_says_them(seconds: float, text: str) -> None:
    assert span(seconds) == text

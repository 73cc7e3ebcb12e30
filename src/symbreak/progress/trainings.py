"""The trainings that run now, read from the files that ``symbreak.progress.reporter`` writes."""

import json
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Training:
    """One training; ``left`` is its remaining time in seconds, None before its first step."""

    label: str
    epoch: float
    epochs: float
    loss: float
    left: float | None


def running(folder: Path) -> list[Training]:
    """Return the trainings of living processes that report to ``folder``, by label."""
    found = []
    for path in folder.glob("[0-9]*.json"):
        if not psutil.pid_exists(int(path.stem)):
            continue
        try:
            found.append(Training(**json.loads(path.read_text())))
        except FileNotFoundError:  # it ended between the listing and the reading
            continue
    return sorted(found, key=lambda training: training.label)


def span(seconds: float) -> str:
    """Return a duration as a person says it: ``42 s``, ``3 min 05 s``, ``1 h 12 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"

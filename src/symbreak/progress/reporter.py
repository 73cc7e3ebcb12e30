"""A running training says how far it is, in a small file that ``symbreak.progress.watch`` reads."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from symbreak.files import atomic

FOLDER = "SYMBREAK_PROGRESS"
SECONDS_BETWEEN_WRITES = 1.0


class Update(Protocol):
    """Takes the state of a training after ``step`` of its ``total`` steps; cheap enough to call at every step."""

    def __call__(self, step: int, *, epoch: float, epochs: float, loss: float) -> None:
        """Note that ``step`` steps, or ``epoch`` of ``epochs`` epochs, are done and what the loss is."""


@contextmanager
def reporter(label: str, total: int) -> Iterator[Update]:
    """Report a training to whoever watches; without a watcher (no ``SYMBREAK_PROGRESS``) do nothing.

    Args:
        label: What a person calls the training, for instance ``random_labels/wide``.
        total: Its number of steps.

    Yields:
        The function to call with each step; it writes ``<pid>.json`` at most once a second.
    """
    folder = os.environ.get(FOLDER)
    if not folder:
        yield _ignore
        return
    path = Path(folder) / f"{os.getpid()}.json"
    start = time.monotonic()
    written: float | None = None

    def update(step: int, *, epoch: float, epochs: float, loss: float) -> None:
        nonlocal written
        now = time.monotonic()
        if written is not None and now - written < SECONDS_BETWEEN_WRITES:
            return
        written = now
        left = (now - start) / step * (total - step) if step else None
        state = {"label": label, "epoch": epoch, "epochs": epochs, "loss": loss, "left": left}
        with atomic(path) as temporary:
            temporary.write_text(json.dumps(state))

    try:
        yield update
    finally:
        path.unlink(missing_ok=True)


def _ignore(step: int, *, epoch: float, epochs: float, loss: float) -> None:
    pass

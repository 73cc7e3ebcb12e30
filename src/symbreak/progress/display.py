"""What a person sees while jobs run: a live table on a terminal, plain lines in a log."""

import os
import time
from collections import Counter
from typing import Protocol, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from symbreak.progress.tally import Tally
from symbreak.progress.trainings import Training, span


class Display(Protocol):
    """Shows the state; called several times a second, it decides itself when there is something to print."""

    def show(self, tally: Tally, trainings: list[Training]) -> None:
        """Show how far the jobs and the running trainings are."""

    def close(self) -> None:
        """Leave the screen to whoever prints next."""


def choose(stream: TextIO, every: float) -> Display:
    """Return a live display if ``stream`` is a terminal that can redraw, else plain lines each ``every`` seconds."""
    if stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown"):
        return Terminal(stream)
    return Plain(stream, every)


def headline(tally: Tally, seconds: float) -> str:
    """Return one line on the jobs after ``seconds`` of running."""
    if tally.total is None:
        return f"{span(seconds)}: planning, asking what there is to do ..."
    active = Counter(tally.active.values())
    rules = ", ".join(rule if count == 1 else f"{count} x {rule}" for rule, count in sorted(active.items()))
    return f"{span(seconds)}: {tally.done} of {tally.total} jobs done" + (f", running: {rules}" if rules else "")


def sentence(training: Training) -> str:
    """Return one line on a running training."""
    left = "time left not known yet" if training.left is None else f"{span(training.left)} left"
    return f"  {training.label}: epoch {training.epoch:.1f} of {training.epochs:g}, loss {training.loss:.4g}, {left}"


class Plain:
    """Lines for a log: at once, when the plan is known, and every ``every`` seconds."""

    def __init__(self, stream: TextIO, every: float) -> None:
        self._stream, self._every = stream, every
        self._start = time.monotonic()
        self._said: float | None = None
        self._planned = False

    def show(self, tally: Tally, trainings: list[Training]) -> None:
        """Print the state if it is time to."""
        now = time.monotonic()
        news = (tally.total is not None) != self._planned
        if not news and self._said is not None and now - self._said < self._every:
            return
        self._said, self._planned = now, tally.total is not None
        print(headline(tally, now - self._start), *map(sentence, trainings), sep="\n", file=self._stream, flush=True)

    def close(self) -> None:
        """Nothing to leave behind: lines stay."""


class Terminal:
    """A bar for the jobs and a row for each training, redrawn in place."""

    def __init__(self, stream: TextIO) -> None:
        self._start = time.monotonic()
        self._live = Live(console=Console(file=stream), auto_refresh=False)
        self._live.start()

    def show(self, tally: Tally, trainings: list[Training]) -> None:
        """Draw the state."""
        line = Text(headline(tally, time.monotonic() - self._start), overflow="ellipsis", no_wrap=True)
        self._live.update(Group(line, _bar(tally), *([_table(trainings)] if trainings else [])), refresh=True)

    def close(self) -> None:
        """Leave the last picture on the screen and give the cursor back."""
        self._live.stop()


def _bar(tally: Tally) -> Table:
    bar = ProgressBar(tally.total or 1, tally.done, width=60, complete_style="green", finished_style="green")
    row = Table.grid()  # a bar by itself does not end its line
    row.add_row(bar)
    return row


def _table(trainings: list[Training]) -> Table:
    table = Table("training", "epoch", "loss", "left", box=None, pad_edge=False)
    for training in trainings:
        left = "" if training.left is None else span(training.left)
        table.add_row(training.label, f"{training.epoch:.1f} of {training.epochs:g}", f"{training.loss:.4g}", left)
    return table

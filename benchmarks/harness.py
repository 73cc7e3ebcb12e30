"""The frame of every benchmark: place, ceilings, rounds, the table, the JSON file and the void rule.

A benchmark is a function of a ``Bench``, run from the command line::

    def body(bench: Bench) -> None:
        assert_equal(...)                                   # raise SymbreakError before anything is timed
        times = bench.rounds("an epoch", {"loop": loop, "ours": ours}, setups={"ours": reset})
        bench.number("loop_over_ours", times["loop"].median / times["ours"].median, at_least=13)
        bench.fraction("fraction_of_ceiling", gflop / times["ours"].median, "gemm_float32", at_least=0.7)
        bench.note(steps=79, data="data/mnist.npz")         # printed and written
        bench.attach(curves=[[2.3, 2.1], [2.2, 2.0]])       # written only

    if __name__ == "__main__":
        args = parser(__doc__).parse_args()                 # --json FILE, --cores 0 or 0,1, --rounds 7; add your own
        run("ensemble", body, args)

``bench.place.threads`` is the number of threads, ``bench.start`` the ceilings at the start (``gemm_float32``,
``gemm_float64``, ``gemm_bfloat16`` in GFLOP/s, ``copy`` in GB/s). ``Times`` has ``wall`` and ``cpu`` (seconds, one a
round) and ``median`` (of ``wall``). What is given to ``number``, ``fraction``, ``note`` and ``attach`` becomes
top-level keys of the JSON file.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import ceilings
from benchmarks.machine import Place, pin
from benchmarks.rounds import ROUNDS, Times, rounds, summary
from symbreak.errors import SymbreakError
from symbreak.files import write_json

REPEAT = 75  # sysexits' EX_TEMPFAIL: nothing is wrong with the command, repeat it
MILLI = 1e3


@dataclass(frozen=True)
class Number:
    """A result; ``of`` names the ceiling that it is still to be divided by, the bounds are what was aimed at."""

    value: float
    of: str | None = None
    at_least: float | None = None
    at_most: float | None = None

    @property
    def target(self) -> str:
        """The bounds in words, empty without any."""
        bounds = (("at least", self.at_least), ("at most", self.at_most))
        return ", ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)

    @property
    def met(self) -> bool:
        """Whether the value is within its bounds."""
        above = self.at_least is None or self.value >= self.at_least
        return above and (self.at_most is None or self.value <= self.at_most)


class Bench:
    """One benchmark under way: what it has timed and found.

    Attributes:
        place: Cores and threads.
        start: The ceilings before anything was timed.
        count: Rounds.
    """

    def __init__(self, place: Place, start: ceilings.Ceilings, count: int = ROUNDS) -> None:
        self.place, self.start, self.count = place, start, count
        self._times: dict[str, dict[str, Times]] = {}
        self._numbers: dict[str, Number] = {}
        self._notes: dict[str, Any] = {}
        self._attached: dict[str, Any] = {}

    def rounds(
        self,
        title: str,
        contenders: Mapping[str, Callable[[], object]],
        setups: Mapping[str, Callable[[], object]] | None = None,
    ) -> dict[str, Times]:
        """Time contenders (name -> work of a round) in turn, each after its untimed setup, and keep all rounds."""
        self._times[title] = rounds(contenders, self.count, setups)
        return self._times[title]

    def number(self, name: str, value: float, *, at_least: float | None = None, at_most: float | None = None) -> None:
        """Keep a result and what it was aimed at."""
        self._numbers[name] = Number(float(value), None, at_least, at_most)

    def fraction(self, name: str, value: float, of: str, *, at_least: float | None = None) -> None:
        """Keep a speed, to be divided by the ceiling ``of``: the larger of those at the start and at the end."""
        self._numbers[name] = Number(float(value), of, at_least)

    def note(self, **facts: Any) -> None:
        """Keep facts (JSON values) that are no results."""
        self._notes.update(facts)

    def attach(self, **facts: Any) -> None:
        """Keep facts (JSON values) that are too long to be printed."""
        self._attached.update(facts)

    def numbers(self, end: ceilings.Ceilings) -> dict[str, Number]:
        """Return the results, given the ceilings at the end."""
        return {name: self._finished(number, end) for name, number in self._numbers.items()}

    def _finished(self, number: Number, end: ceilings.Ceilings) -> Number:
        if number.of is None:
            return number
        ceiling = max(self.start[number.of], end[number.of])
        return Number(number.value / ceiling, number.of, number.at_least, number.at_most)

    def facts(self, name: str, end: ceilings.Ceilings) -> dict[str, Any]:
        """Return everything as JSON values, results and notes at the top level.

        Raises:
            SymbreakError: If a result or a note has the name of another entry.
        """
        numbers = self.numbers(end)
        frame = {
            "benchmark": name,
            "void": ceilings.void(self.start, end),
            "machine": self.place.facts(),
            "ceilings": {"start": dict(self.start), "end": dict(end), "units": ceilings.UNITS},
            "targets": {key: {"target": n.target, "met": n.met} for key, n in numbers.items() if n.target},
            "times": {title: {c: t.facts() for c, t in times.items()} for title, times in self._times.items()},
        }
        values = {key: number.value for key, number in numbers.items()}
        names = Counter([*frame, *values, *self._notes, *self._attached])
        if twice := sorted(key for key, count in names.items() if count > 1):
            raise SymbreakError(f"the results of benchmark '{name}' have the names {twice} twice; rename one of each")
        return frame | values | self._notes | self._attached

    def show(self, end: ceilings.Ceilings, console: Console) -> None:
        """Print times, ceilings and results."""
        console.print(self.place.sentence())
        for title, times in self._times.items():
            console.print(_times_table(title, times))
        console.print(_ceilings_table(self.start, end))
        console.print(_numbers_table(self.numbers(end)))
        for name, value in self._notes.items():
            console.print(f"{name}: {value}")


def parser(about: str | None) -> argparse.ArgumentParser:
    """Return the command line that all benchmarks share."""
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured here")
    made.add_argument("--cores", type=_cores, metavar="0,1", help="cores to run on (default: the first usable one)")
    made.add_argument("--rounds", type=int, default=ROUNDS, help=f"rounds (default: {ROUNDS})")
    return made


def run(name: str, body: Callable[[Bench], None], args: argparse.Namespace) -> None:
    """Pin the process, run ``body`` between two measurements of the ceilings, print and write what it found.

    A run whose ceilings differ by more than ``ceilings.TOLERANCE`` prints ``void``, says so in the file and exits with
    ``REPEAT``; an error that a user can mend exits with its sentence.
    """
    console = Console(width=None if sys.stdout.isatty() else 120)
    try:
        bench = Bench(pin(args.cores), ceilings.measure(), args.rounds)
        body(bench)
        end = ceilings.measure()
        facts = bench.facts(name, end)
    except SymbreakError as error:
        sys.exit(f"error: {error}")
    bench.show(end, console)
    if args.json is not None:
        write_json(args.json, facts)
    if facts["void"]:
        console.print(f"void: the ceilings moved by more than {ceilings.TOLERANCE:.0%} during the run; repeat it")
        sys.exit(REPEAT)


def _cores(text: str) -> tuple[int, ...]:
    return tuple(int(core) for core in text.split(","))


def _times_table(title: str, times: Mapping[str, Times]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in ("contender", "wall ms: min", "median", "MAD", "CPU ms: min", "median", "MAD"):
        table.add_column(column, justify="left" if column == "contender" else "right")
    for name, found in times.items():
        figures = [figure for series in (found.wall, found.cpu) for figure in vars(summary(series)).values()]
        table.add_row(name, *(f"{MILLI * figure:.2f}" for figure in figures))
    return table


def _ceilings_table(start: ceilings.Ceilings, end: ceilings.Ceilings) -> Table:
    table = Table("ceiling", "start", "end", "difference", title="ceilings of this run", title_justify="left")
    moved = ceilings.differences(start, end)
    for name, unit in ceilings.UNITS.items():
        table.add_row(f"{name}, {unit}", f"{start[name]:.1f}", f"{end[name]:.1f}", f"{moved[name]:.1%}")
    return table


def _numbers_table(numbers: Mapping[str, Number]) -> Table:
    table = Table("result", "value", "target", "met", title="results", title_justify="left")
    for name, number in numbers.items():
        table.add_row(
            name, f"{number.value:.4g}", number.target, ("yes" if number.met else "no") if number.target else ""
        )
    return table

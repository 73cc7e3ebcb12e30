"""Contenders timed in turn, and the figures of their times."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

ROUNDS = 7  # at least (performance.md, section 2)


@dataclass(frozen=True)
class Summary:
    """Least, median and median absolute deviation from the median, in seconds."""

    min: float
    median: float
    mad: float


def summary(values: Sequence[float]) -> Summary:
    """Return the figures of some times."""
    median = statistics.median(values)
    return Summary(min(values), median, statistics.median(abs(value - median) for value in values))


@dataclass(frozen=True)
class Times:
    """Seconds of one contender in every round: by the clock, and of CPU (all threads of this process)."""

    wall: tuple[float, ...]
    cpu: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median of the wall times."""
        return statistics.median(self.wall)

    def facts(self) -> dict[str, Any]:
        """Return all rounds and their figures as JSON values."""
        series = {"wall": self.wall, "cpu": self.cpu}
        return {name: {"rounds": list(values), **asdict(summary(values))} for name, values in series.items()}


def turns(names: Sequence[str], count: int) -> list[str]:
    """Return who runs when: A, B, C, C, B, A, A, B, ... for ``count`` rounds, so that a drift meets all alike."""
    forward, backward = list(names), list(reversed(names))
    return [name for number in range(count) for name in (backward if number % 2 else forward)]


def rounds(
    contenders: Mapping[str, Callable[[], object]],
    count: int = ROUNDS,
    setups: Mapping[str, Callable[[], object]] | None = None,
) -> dict[str, Times]:
    """Time the contenders in turn, after each has run once untimed.

    Args:
        contenders: Name -> work of one round.
        count: Rounds.
        setups: Name -> what is done, untimed, before each of its turns.
    """
    prepare = setups or {}
    wall: dict[str, list[float]] = {name: [] for name in contenders}
    cpu: dict[str, list[float]] = {name: [] for name in contenders}
    for name in contenders:
        _turn(contenders[name], prepare.get(name))
    for name in turns(list(contenders), count):
        seconds, busy = _turn(contenders[name], prepare.get(name))
        wall[name].append(seconds)
        cpu[name].append(busy)
    return {name: Times(tuple(wall[name]), tuple(cpu[name])) for name in contenders}


def _turn(work: Callable[[], object], setup: Callable[[], object] | None) -> tuple[float, float]:
    if setup is not None:
        setup()
    gc.collect()  # nobody pays for another's garbage
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu

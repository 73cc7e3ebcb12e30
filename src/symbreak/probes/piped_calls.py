"""Which networks of an arm a probe measures together, by what the probe needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from symbreak.errors import SymbreakError
from symbreak.probes.piped_networks import Member, Networks
from symbreak.probes.piped_options import OfEnsemble, OfModel, OfPair, OfTrajectory, Piped

Axis = Literal["replica", "time", "corner"]


@dataclass(frozen=True)
class Call:
    """The networks of one call of ``measure``.

    ``axis`` says what they are: ``replica`` (one step), ``time`` (moments of one replica) or ``corner`` (of a plane, or
    the ends of a line).
    """

    members: tuple[Member, ...]
    axis: Axis

    @property
    def steps(self) -> list[int]:
        """The step of every network."""
        return [step for _, step in self.members]


def calls(options: Piped, networks: Networks, count: int) -> list[Call]:
    """Return all calls of a probe for an arm of ``count`` replicas.

    A probe of a model takes all replicas of a step at once, or, where each has its own examples, one after the other.

    Raises:
        SymbreakError: If a step is not stored, a replica is not there, the moments of a trajectory are not evenly
            spaced, or replicas that are to be compared have not the same examples.
    """
    match options:
        case OfModel(along="training", step=tuple(steps)):
            found = _trainings([networks.step(s) for s in steps], count)
        case OfModel(step=step):
            together = networks.examples_shared
            groups = [list(range(count))] if together else [[r] for r in range(count)]
            found = [_of_step(group, s) for s in _steps(step, networks) for group in groups]
        case OfEnsemble(step=step):
            _comparable(options, networks)
            found = [_of_step(range(count), s) for s in _steps(step, networks)]
        case OfPair(replicas=()):
            ends = options.step if isinstance(options.step, tuple) else (0, -1)
            found = _trainings([networks.step(s) for s in ends], count, "corner")
        case OfPair(replicas=lines):
            _comparable(options, networks)
            found = _lines(lines, networks.step(options.step if isinstance(options.step, int) else -1), count)
        case OfTrajectory(step=chosen):
            moments = list(networks.steps) if chosen is None else [networks.step(s) for s in chosen]
            found = _trainings(_evenly(moments), count)
        case _:
            raise TypeError(f"no calls for {type(options).__name__}")
    return found


def _of_step(group: Sequence[int], step: int) -> Call:
    return Call(tuple((r, step) for r in group), "replica")


def _trainings(steps: Sequence[int], count: int, axis: Axis = "time") -> list[Call]:
    if len(set(steps)) < len(steps):
        raise SymbreakError(f"'step' comes to {list(steps)}, one of them twice; name different stored steps")
    return [Call(tuple((r, step) for step in steps), axis) for r in range(count)]


def _lines(lines: Sequence[Sequence[int]], step: int, count: int) -> list[Call]:
    if outside := sorted({r for line in lines for r in line if r >= count}):
        raise SymbreakError(f"'replicas' names the positions {outside}, but the arm has {count}: 0 to {count - 1}")
    return [Call(tuple((r, step) for r in line), "corner") for line in lines]


def _steps(step: int | Sequence[int], networks: Networks) -> list[int]:
    wanted = [step] if isinstance(step, int) else list(step)
    return list(dict.fromkeys(networks.step(s) for s in wanted))


def _evenly(moments: list[int]) -> list[int]:
    gaps = np.diff(moments)
    if len(moments) < 2 or gaps[0] <= 0 or len(set(gaps.tolist())) > 1:
        raise SymbreakError(
            f"a trajectory is of two or more evenly spaced steps, ascending, found {moments}: name some of the stored "
            f"ones as 'step', or store others by 'training.checkpoints'"
        )
    return moments


def _comparable(options: Piped, networks: Networks) -> None:
    if not networks.examples_shared:
        remedy = "say 'data: test', or " if options.data == "train" else ""
        raise SymbreakError(
            f"replicas are compared on the same examples, and here each has its own '{options.data}' images or labels; "
            f"{remedy}share them by 'subset' and 'labels_per' of the arm's data"
        )

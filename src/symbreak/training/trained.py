"""What training gives, and how an unfinished record of it becomes tensors and JSON and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from symbreak.models.model import State
from symbreak.training.evaluation import Score
from symbreak.training.plan import Plan
from symbreak.training.replicas import Replica


@dataclass(frozen=True)
class Epoch:
    """Scores at the end of an epoch (0: before training); ``train`` is None where it was not evaluated."""

    epoch: int
    step: int
    train: Score | None
    test: Score


@dataclass(frozen=True)
class Trained:
    """What training a group of R replicas for T steps gives.

    ``losses`` float64 ``[T, R]`` (NaN after a replica has stopped), ``checkpoints`` step -> state ``[R, ...]`` on the
    CPU, ``stopped_at`` the step at which each replica diverged or None, ``observed`` name -> ``[T+1 or T, R, U]``.
    """

    replicas: tuple[Replica, ...]
    plan: Plan
    losses: Tensor
    epochs: list[Epoch]
    checkpoints: dict[int, State]
    stopped_at: list[int | None]
    observed: dict[str, Tensor]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each replica."""
        return tuple(replica.seed for replica in self.replicas)


def nested(tensors: Mapping[str, Tensor], prefix: str) -> State:
    """Return the tensors whose name starts with ``prefix/``, named without it."""
    return {n.removeprefix(f"{prefix}/"): value for n, value in tensors.items() if n.startswith(f"{prefix}/")}


def epochs_to_tensors(epochs: Sequence[Epoch]) -> tuple[State, list[dict[str, Any]]]:
    """Return the scores as tensors (losses may be infinite, which JSON cannot say) and the rest as JSON values."""
    tensors: State = {}
    for number, epoch in enumerate(epochs):
        for part, score in (("train", epoch.train), ("test", epoch.test)):
            if score is not None:
                tensors |= {f"{number}/{part}_loss": score.loss, f"{number}/{part}_correct": score.correct}
    counts = [(e, e.train and e.train.count, e.test.count) for e in epochs]
    return tensors, [{"epoch": e.epoch, "step": e.step, "train": train, "test": test} for e, train, test in counts]


def epochs_of_tensors(tensors: State, facts: Sequence[dict[str, Any]]) -> list[Epoch]:
    """Undo ``epochs_to_tensors``."""

    def score(number: int, part: str) -> Score | None:
        count = facts[number][part]
        if count is None:
            return None
        return Score(tensors[f"{number}/{part}_loss"], tensors[f"{number}/{part}_correct"], count)

    found = []
    for number, fact in enumerate(facts):
        test = score(number, "test")
        assert test is not None  # every epoch is tested
        found.append(Epoch(fact["epoch"], fact["step"], score(number, "train"), test))
    return found

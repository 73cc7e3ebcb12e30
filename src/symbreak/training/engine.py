"""Training of an arm: its seeds in groups, each group one ensemble."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from symbreak.config.specs import TrainingSpec
from symbreak.models.model import Model, State
from symbreak.progress.reporter import reporter
from symbreak.training.ensemble import Ensemble
from symbreak.training.evaluation import Score, evaluate
from symbreak.training.examples import Examples
from symbreak.training.losses import LOSSES
from symbreak.training.observing import observed, observers
from symbreak.training.plan import Plan, plan


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

    seeds: tuple[int, ...]
    plan: Plan
    losses: Tensor
    epochs: list[Epoch]
    checkpoints: dict[int, State]
    stopped_at: list[int | None]
    observed: dict[str, Tensor]


def train(
    spec: TrainingSpec,
    model: Model,
    seeds: Sequence[int],
    train_set: Examples,
    test_set: Examples,
    *,
    device: torch.device,
    label: str,
) -> list[Trained]:
    """Train one replica a seed, ``spec.group`` at a time (or as many as the model allows).

    Args:
        spec: How to train.
        model: The model, without its numbers.
        seeds: A seed a replica; its initialisation and own data order depend on nothing else.
        train_set: Training examples on ``device``; their axes K and L are 1 or one a seed.
        test_set: Test examples, likewise.
        device: Where to compute.
        label: What a progress display calls the run.

    Returns:
        The trained groups, in the order of ``seeds``.
    """
    lengths = plan(spec, train_set.count)
    size = min(spec.group, model.max_group or spec.group)
    starts = range(0, len(seeds), size)
    trained: list[Trained] = []
    with reporter(label, lengths.steps * len(starts)) as update:

        def report(step: int, loss: float) -> None:
            done = len(trained) * lengths.steps + step
            epoch = done / lengths.per_epoch / len(starts)
            update(done, epoch=epoch, epochs=lengths.epochs, loss=loss)

        for start in starts:
            chosen = slice(start, min(start + size, len(seeds)))
            sets = train_set.of(chosen), test_set.of(chosen)
            trained.append(_Group(lengths, model, tuple(seeds[chosen]), *sets, device, report).train())
    return trained


class _Group:
    """One ensemble on its way through the epochs."""

    def __init__(
        self,
        lengths: Plan,
        model: Model,
        seeds: tuple[int, ...],
        train_set: Examples,
        test_set: Examples,
        device: torch.device,
        report: Callable[[int, float], None],
    ) -> None:
        spec = lengths.spec
        self.plan, self.seeds, self.device, self.report = lengths, seeds, device, report
        self.train_set, self.test_set = train_set, test_set
        self.ensemble = Ensemble(model, seeds, LOSSES[spec.loss], spec.optimiser, device)
        self.observers = observers(model, spec)
        self.losses = torch.full((lengths.steps, len(seeds)), torch.nan, dtype=torch.float64, device=device)
        self.epochs: list[Epoch] = []
        self.checkpoints: dict[int, State] = {}

    def train(self) -> Trained:
        for observer in self.observers:
            observer.start(self.ensemble.view())
        self._end_epoch(0)
        for epoch in range(1, self.plan.epochs + 1):
            order = self.plan.order(self.seeds, epoch).to(self.device)
            for number, index in enumerate(self.plan.batches(order, epoch), start=self.plan.step_after(epoch - 1)):
                self._step(number, index)
            self._end_epoch(epoch)
        stopped_at, found = self.ensemble.stopped_at, observed(self.observers)
        return Trained(self.seeds, self.plan, self.losses.cpu(), self.epochs, self.checkpoints, stopped_at, found)

    def _step(self, number: int, index: Tensor) -> None:
        before = self.ensemble.copy() if self.observers else {}
        if not self.ensemble.all_stopped:
            x, labels = self.train_set.batch(index)
            self.losses[number] = self.ensemble.step(x, labels, float(self.plan.rates[number]))
            self.report(number + 1, float(self.losses[number].mean()))
        for observer in self.observers:
            observer.step(before, self.ensemble.view())
        if number + 1 in self.plan.spec.checkpoints:
            self._keep(number + 1)

    def _keep(self, step: int) -> None:
        self.checkpoints[step] = {name: value.cpu() for name, value in self.ensemble.copy().items()}

    def _end_epoch(self, epoch: int) -> None:
        step, last, spec = self.plan.step_after(epoch), epoch == self.plan.epochs, self.plan.spec
        if epoch == 0 or last:
            self._keep(step)
        wanted = last or spec.evaluate_train == "every"
        train = self._evaluate(self.train_set) if wanted else None
        self.epochs.append(Epoch(epoch, step, train, self._evaluate(self.test_set)))

    def _evaluate(self, examples: Examples) -> Score:
        return evaluate(self.ensemble.model, self.ensemble.view(), self.ensemble.loss, examples)

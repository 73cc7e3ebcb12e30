"""Training of an arm: its replicas in groups, each group one ensemble."""

import hashlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from symbreak.config.specs import TrainingSpec
from symbreak.errors import SymbreakError
from symbreak.models.model import Model, State
from symbreak.progress.reporter import reporter
from symbreak.training.blank import without_blank
from symbreak.training.checkpoint import Folder, Keeper, Snapshot
from symbreak.training.ensemble import Ensemble
from symbreak.training.evaluation import Score, evaluate
from symbreak.training.examples import Examples
from symbreak.training.observing import observed, observers
from symbreak.training.plan import Plan, plan
from symbreak.training.replicas import Replica, groups, replicas
from symbreak.training.trained import Epoch, Trained, epochs_of_tensors, epochs_to_tensors, nested


def train(
    spec: TrainingSpec,
    model: Model,
    seeds: Sequence[int],
    train_set: Examples,
    test_set: Examples,
    *,
    device: torch.device,
    label: str,
    keep: Folder | None = None,
) -> list[Trained]:
    """Train the replicas of an arm, ``spec.group`` at a time (or as many as the model allows).

    Args:
        spec: How to train.
        model: The model, without its numbers.
        seeds: The arm's seeds; a replica's initialisation and own data order depend on nothing else.
        train_set: Training examples on ``device``; their axes K and L are 1 or one a seed.
        test_set: Test examples, likewise.
        device: Where to compute.
        label: What a progress display calls the run.
        keep: Where unfinished training is kept, and resumed from; None: nowhere.

    Returns:
        The trained groups, in the order of ``replicas(spec, seeds)``.

    Raises:
        SymbreakError: If ``spec.inputs`` is ``nonzero`` and the network or its examples need all inputs.
    """
    lengths = plan(spec, train_set.count)
    task = without_blank(model, spec, train_set, test_set)
    parts = groups(replicas(spec, seeds), min(spec.group, model.max_group or spec.group))
    trained: list[Trained] = []
    with reporter(label, lengths.steps * len(parts)) as update:

        def report(step: int, loss: float) -> None:
            done = len(trained) * lengths.steps + step
            epoch = done / lengths.per_epoch / len(parts)
            update(done, epoch=epoch, epochs=lengths.epochs, loss=loss)

        for number, part in enumerate(parts):
            rows = [replica.number for replica in part]
            group = _Group(lengths, task.model, part, task.train.of(rows), task.test.of(rows), device, report)
            trained.append(task.whole(group.train(keep.of(number) if keep else None)))
    return trained


class _Group:
    """One ensemble on its way through the steps."""

    def __init__(
        self,
        lengths: Plan,
        model: Model,
        part: tuple[Replica, ...],
        train_set: Examples,
        test_set: Examples,
        device: torch.device,
        report: Callable[[int, float], None],
    ) -> None:
        spec = lengths.spec
        self.plan, self.replicas, self.device, self.report = lengths, part, device, report
        self.train_set, self.test_set = train_set, test_set
        self.ensemble = Ensemble(model, [replica.seed for replica in part], spec, device)
        self.observers = observers(model, spec)
        self.losses = torch.full((lengths.steps, len(part)), torch.nan, dtype=torch.float64, device=device)
        self.epochs: list[Epoch] = []
        self.checkpoints: dict[int, State] = {}

    def train(self, keeper: Keeper | None) -> Trained:
        """Train from the start or from the keeper's last snapshot to the end."""
        if not (keeper and self._resume(keeper)):
            for observer in self.observers:
                observer.start(self.ensemble.state)
            self._end_epoch(0)
        done = self.ensemble.steps
        for epoch in range(1, self.plan.epochs + 1):
            if done < self.plan.step_after(epoch):
                self._train_epoch(epoch, keeper)
        if keeper and done < self.plan.steps:
            keeper.keep(self._snapshot())
        stopped_at, found = self.ensemble.stopped_at, observed(self.observers)
        return Trained(self.replicas, self.plan, self.losses.cpu(), self.epochs, self.checkpoints, stopped_at, found)

    def _train_epoch(self, epoch: int, keeper: Keeper | None) -> None:
        order = self.plan.order(self.replicas, epoch).to(self.device)
        for number, index in enumerate(self.plan.batches(order, epoch), start=self.plan.step_after(epoch - 1)):
            if number < self.ensemble.steps:
                continue
            self._step(number, index)
            if self.ensemble.steps == self.plan.step_after(epoch):
                self._end_epoch(epoch)
            if keeper and keeper.due():
                keeper.keep(self._snapshot())

    def _step(self, number: int, index: Tensor) -> None:
        x, labels = self.train_set.batch(index)
        self.losses[number] = self.ensemble.step(x, labels, float(self.plan.rates[number]), self.observers)
        self.report(number + 1, float(self.losses[number].mean()))
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
        return evaluate(self.ensemble.model, self.ensemble.state, self.plan.spec.loss, examples)

    def _snapshot(self) -> Snapshot:
        """Everything that the rest of training and record depend on; random numbers follow from seeds and step."""
        scores, epochs = epochs_to_tensors(self.epochs)
        parts: dict[str, State] = {
            "memory": self.ensemble.memory(),
            "epochs": scores,
            "history": {"losses": self.losses},
        }
        parts |= {f"observers/{n}": observer.state() for n, observer in enumerate(self.observers)}
        parts |= {f"checkpoints/{step}": state for step, state in self.checkpoints.items()}
        tensors = {f"{part}/{name}": value for part, found in parts.items() for name, value in found.items()}
        facts = {
            "replicas": [[r.number, r.seed, r.order_seed] for r in self.replicas],
            "order": self._order_digest(),
            "steps": self.ensemble.steps,
            "stopped_at": self.ensemble.stopped_at,
            "epochs": epochs,
            "checkpoints": sorted(self.checkpoints),
        }
        return Snapshot(tensors, facts)

    def _resume(self, keeper: Keeper) -> bool:
        """Take up the keeper's last snapshot; False if there is none.

        Raises:
            SymbreakError: If seeds no longer give the data order of the snapshot.
        """
        snapshot = keeper.last()
        if snapshot is None:
            return False
        tensors, facts = snapshot.tensors, snapshot.facts
        if facts["order"] != self._order_digest():
            raise SymbreakError(f"the seeds give another data order than in {keeper.path}; remove it to train anew")
        self.ensemble.remember(nested(tensors, "memory"), facts["steps"], facts["stopped_at"])
        self.losses.copy_(tensors["history/losses"])
        self.epochs = epochs_of_tensors(nested(tensors, "epochs"), facts["epochs"])
        self.checkpoints = {step: nested(tensors, f"checkpoints/{step}") for step in facts["checkpoints"]}
        for number, observer in enumerate(self.observers):
            observer.restore(nested(tensors, f"observers/{number}"))
        return True

    def _order_digest(self) -> str:
        """Identify the data order by that of the first epoch."""
        return hashlib.sha256(self.plan.order(self.replicas, 1).numpy().tobytes()).hexdigest()

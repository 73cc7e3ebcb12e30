"""How many steps and epochs a run has, and in which order it sees its examples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from symbreak.config.specs import TrainingSpec
from symbreak.errors import SymbreakError
from symbreak.seeding import derive
from symbreak.training.replicas import Replica
from symbreak.training.schedules import learning_rates


@dataclass(frozen=True)
class Plan:
    """Length of a run on ``examples`` examples: ``steps`` updates at ``rates`` ``[steps]``, ``per_epoch`` a pass."""

    spec: TrainingSpec
    examples: int
    per_epoch: int
    steps: int
    rates: NDArray[np.float64]

    @property
    def epochs(self) -> int:
        """Epochs, the last of which may be cut short by ``steps``."""
        return -(-self.steps // self.per_epoch)

    def step_after(self, epoch: int) -> int:
        """Return the number of updates that were made when ``epoch`` epochs are over."""
        return min(epoch * self.per_epoch, self.steps)

    @property
    def batch(self) -> int:
        """Examples an update (the last of an epoch may have fewer)."""
        return self.spec.batch or self.examples

    def order(self, group: Sequence[Replica], epoch: int) -> Tensor:
        """Return the order of the examples in an epoch (from 1), int64 ``[R, N]`` or, if shared, ``[1, N]``.

        A batch of the whole set has no order.
        """
        if self.batch >= self.examples:
            return torch.arange(self.examples).unsqueeze(0)
        shared = group[0].order_seed
        rows = [r.seed for r in group] if shared is None else [shared]
        return torch.from_numpy(np.stack([permutation(seed, epoch, self.examples) for seed in rows]))

    def batches(self, order: Tensor, epoch: int) -> list[Tensor]:
        """Cut an epoch's order into the batches of its steps, each ``[R or 1, B]``."""
        count = self.step_after(epoch) - self.step_after(epoch - 1)
        return list(order.split(self.batch, dim=1)[:count])


def permutation(seed: int, epoch: int, examples: int) -> NDArray[np.int64]:
    """Return the data order of a seed in an epoch (from 1): the stream ``("order", epoch)``."""
    return np.random.default_rng(derive(seed, "order", str(epoch))).permutation(examples)


def plan(spec: TrainingSpec, examples: int) -> Plan:
    """Work out a run's lengths.

    Raises:
        SymbreakError: If no batch can be filled, or a checkpoint lies behind the end.
    """
    batch = spec.batch or examples
    per_epoch = examples // batch if spec.drop_last else -(-examples // batch)
    if per_epoch == 0:
        raise SymbreakError(f"'drop_last' leaves no batch of {batch} in {examples} examples; make 'batch' smaller")
    steps = spec.steps if spec.epochs is None else spec.epochs * per_epoch
    assert steps is not None  # TrainingSpec demands exactly one of the two
    made = Plan(spec, examples, per_epoch, steps, learning_rates(spec.optimiser.lr, spec.schedule, steps, per_epoch))
    late = [step for step in spec.checkpoints if not 0 <= step <= made.steps]
    if late:
        raise SymbreakError(f"'checkpoints' {late} are not among the run's steps 0 to {made.steps}; remove them")
    return made

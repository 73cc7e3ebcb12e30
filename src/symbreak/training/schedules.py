"""The learning rate of every step."""

import numpy as np
from numpy.typing import NDArray

from symbreak.config.specs import ScheduleSpec
from symbreak.errors import SymbreakError


def learning_rates(lr: float, spec: ScheduleSpec, steps: int, steps_per_epoch: int) -> NDArray[np.float64]:
    """Return the learning rates ``[steps]``.

    ``exponential`` and ``step`` change between epochs. ``cosine``: with W warm-up steps, ``lr (t+1)/W`` for t < W
    and then ``lr/2 (1 + cos(pi (t-W)/(steps-W)))``, t from 0, which would reach zero one step after the last.

    Raises:
        SymbreakError: If the warm-up is not shorter than the run.
    """
    step = np.arange(steps)
    epoch = step // steps_per_epoch
    match spec.kind:
        case "cosine":
            return lr * _cosine(step, spec.warmup * steps_per_epoch)
        case "exponential" if spec.factor is not None:
            return lr * np.power(spec.factor, epoch, dtype=np.float64)
        case "step" if spec.factor is not None:
            drops = np.searchsorted(sorted(spec.at), epoch, side="right")
            return lr * np.power(spec.factor, drops, dtype=np.float64)
        case _:
            return np.full(steps, lr)


def _cosine(step: NDArray[np.int64], warmup: int) -> NDArray[np.float64]:
    if warmup >= len(step):
        raise SymbreakError(f"'warmup' takes {warmup} steps, but the run has only {len(step)}; make it shorter")
    angle = np.pi * (step - warmup) / (len(step) - warmup)
    return np.where(step < warmup, (step + 1) / max(warmup, 1), (1 + np.cos(angle)) / 2)

"""The learning rate of every step."""

import numpy as np
from numpy.typing import NDArray

from symbreak.config.specs import ScheduleSpec
from symbreak.errors import SymbreakError


def learning_rates(lr: float, spec: ScheduleSpec, steps: int, steps_per_epoch: int) -> NDArray[np.float64]:
    """Return the learning rates ``[steps]``.

    ``exponential`` and ``step`` change between epochs. ``cosine``: ``lr`` in the W warm-up steps and then
    ``lr/2 (1 + cos(pi (t-W)/(steps-W)))``, t from 0, which would reach zero one step after the last. With every kind
    the first W rates are multiplied by ``(t+1)/W`` (linear warm-up, Goyal et al. 2017, arXiv:1706.02677, sec. 2.2).

    Raises:
        SymbreakError: If the warm-up is not shorter than the run.
    """
    step, warmup = np.arange(steps), spec.warmup * steps_per_epoch
    if warmup >= steps:
        raise SymbreakError(f"'warmup' takes {warmup} steps, but the run has only {steps}; make it shorter")
    shape = _shape(spec, step // steps_per_epoch, np.pi * np.maximum(step - warmup, 0) / (steps - warmup))
    return lr * np.where(step < warmup, shape * ((step + 1) / max(warmup, 1)), shape)


def _shape(spec: ScheduleSpec, epoch: NDArray[np.int64], angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rates in units of ``lr`` but for the warm-up; ``angle`` goes from 0, at its end, to pi."""
    match spec.kind:
        case "cosine":
            return (1 + np.cos(angle)) / 2
        case "exponential" if spec.factor is not None:
            return np.power(spec.factor, epoch, dtype=np.float64)
        case "step" if spec.factor is not None:
            return np.power(spec.factor, np.searchsorted(sorted(spec.at), epoch, side="right"), dtype=np.float64)
        case _:
            return np.ones(len(epoch))

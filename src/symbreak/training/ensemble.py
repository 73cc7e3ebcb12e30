"""Replicas that are trained together, and what happens to one that diverges."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from symbreak.config.specs import TrainingSpec
from symbreak.models.gradients import Dense, Derivatives, Gradient
from symbreak.models.model import Model, State
from symbreak.training.differentiate import differentiator
from symbreak.training.graphs import Graphed
from symbreak.training.losses import LOSSES
from symbreak.training.noise import StepNoise
from symbreak.training.norms import total
from symbreak.training.observing import Observer
from symbreak.training.updates import update

TAME = 1e18  # derivatives, losses and buffers up to this are far from the largest float32, 3e38


class Ensemble:
    """Replicas along the leading axis of every entry of ``state``.

    Attributes:
        state: Parameters and buffers, ``[R, ...]``.
        steps: Updates made so far.
        stopped_at: For each replica that diverged the step (from 1) at which it did, else None.
    """

    def __init__(self, model: Model, seeds: Sequence[int], spec: TrainingSpec, device: torch.device) -> None:
        self.model, self.spec, self.device = model, spec, device
        self.loss = LOSSES[spec.loss]
        self._seeds = tuple(seeds)
        initial = [model.init(seed) for seed in seeds]
        self.state: State = {name: torch.stack([r[name] for r in initial]).to(device) for name in initial[0]}
        self._parameters = {n: v for n, v in self.state.items() if n not in model.buffers}
        self._buffers = {n: v for n, v in self.state.items() if n in model.buffers}
        folded = model.stack is not None
        self._differentiate = differentiator(model, spec)
        if folded and device.type == "cuda" and spec.batch is not None:  # a graph keeps a copy of its batch
            self._differentiate = Graphed(self._differentiate)
        self._compiled = folded and device.type == "cpu"
        self._update = (
            None if spec.optimiser.name == "flow" else update(spec.optimiser, self._parameters, folded=folded)
        )
        self.steps = 0
        self.stopped_at: list[int | None] = [None] * len(seeds)
        self._tame_so_far = True
        self._stopped = torch.zeros(len(seeds), dtype=torch.bool, device=device)
        self._all_run = True

    def copy(self) -> State:
        """Return a copy of the state that later steps leave alone."""
        return {name: value.clone() for name, value in self.state.items()}

    def memory(self) -> State:
        """Return all tensors that the next step depends on: ``state/<name>`` and ``optimiser/<name>``, not copies."""
        remembered = self._update.memory() if self._update else {}
        return {f"state/{n}": v for n, v in self.state.items()} | {f"optimiser/{n}": v for n, v in remembered.items()}

    def remember(self, memory: State, steps: int, stopped_at: Sequence[int | None]) -> None:
        """Take up ``memory`` of an ensemble of the same model, seeds and training, after ``steps`` updates."""
        for name, value in self.state.items():
            value.copy_(memory[f"state/{name}"])
        prefix = "optimiser/"
        if self._update:
            self._update.remember({n.removeprefix(prefix): v for n, v in memory.items() if n.startswith(prefix)})
        self._differentiate.changed(self.state)
        self.steps, self.stopped_at = steps, list(stopped_at)
        self._stopped = torch.tensor([step is not None for step in stopped_at], device=self.device)
        self._all_run = not any(stopped_at)

    def step(self, x: Tensor, labels: Tensor, rate: float, observers: Sequence[Observer] = ()) -> Tensor:
        """Update every replica once and return the losses before the update, ``[R]``, NaN where it had stopped earlier.

        A replica whose loss, or whose state after the update, is not finite keeps the state that it had before
        the step and is marked in ``stopped_at``; the arithmetic of the others does not depend on it.

        Args:
            x: Images ``[R or 1, B, C, H, W]``.
            labels: ``[R or 1, B]``.
            rate: Learning rate.
            observers: Who sees the state before and after the step, and the gradients.
        """
        self.steps += 1
        stopped, noise = self._stopped, StepNoise(self._seeds, self.steps, self.device)
        before = self.copy() if observers and any(observer.needs_before for observer in observers) else {}
        buffers = {name: value.clone() for name, value in self._buffers.items()}  # the forward pass changes them
        derivatives = self._differentiate(self.state, x, labels, noise)
        losses, gradients, _ = derivatives
        if self._update and self._tame(derivatives, rate):
            self._update.step(gradients, rate)
        else:
            self._step_guarded(losses, gradients, rate, buffers, x, labels)
        self._differentiate.changed(self.state)
        for observer in observers:
            observer.step(before, Dense(gradients, x.dtype), self.state)
        return losses.masked_fill(stopped, math.nan)  # a copy: the next step may overwrite the losses

    def _tame(self, found: Derivatives, rate: float) -> bool:
        """Whether all replicas run and, derivatives and buffers being moderate, this step cannot overflow."""
        decays = rate * self.spec.optimiser.weight_decay < 2  # else decay alone makes weights grow
        if not (self._tame_so_far and self._all_run and decays):
            return False
        left = list(self._buffers.values())
        if found.size is None:
            left += [found.losses, *(factor for gradient in found.gradients.values() for factor in gradient.factors())]
        # a gradient has at most two factors, so that its norm is at most the square of the sum of all norms
        size = (found.size or 0.0) + total(left, compiled=self._compiled)
        bound = size * size * max(rate, 1.0)
        self._tame_so_far = bound < TAME  # what an optimiser remembers of a wild step may overflow in a tame one
        return self._tame_so_far

    def _step_guarded(
        self, losses: Tensor, gradients: Mapping[str, Gradient], rate: float, buffers: State, x: Tensor, labels: Tensor
    ) -> None:
        before = {name: value.clone() for name, value in self._parameters.items()} | buffers
        if self._update:
            self._update.step(gradients, rate)
        else:
            self._flow(x, labels, rate, buffers)
        finite = torch.stack([self.state[name].isfinite().flatten(1).all(1) for name in before]).all(0)
        self._stopped = self._stopped | ~losses.isfinite() | ~finite
        for name, old in before.items():
            self.state[name][self._stopped] = old[self._stopped]
        for r in self._stopped.nonzero().flatten().tolist():
            self.stopped_at[r] = self.stopped_at[r] or self.steps
            self._all_run = False

    @torch.no_grad()
    def _flow(self, x: Tensor, labels: Tensor, time: float, buffers: State) -> None:
        from symbreak.training.flow import flow_step  # its integrators take a third of a second to import

        for name, old in buffers.items():  # the flow lets them see the batch itself, once
            self.state[name].copy_(old)
        options = self.spec.optimiser
        flow_step(
            self.model,
            self.state,
            x,
            labels,
            self.loss,
            time=time,
            rtol=options.rtol,
            weight_decay=options.weight_decay,
        )

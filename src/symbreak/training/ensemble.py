"""Replicas that are trained together, and what happens to one that diverges."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from symbreak.config.specs import OptimiserSpec
from symbreak.models.model import Model, State
from symbreak.training import optimisers

TAME = 1e18  # derivatives, losses and buffers up to this are far from the largest float32, 3e38


class Ensemble:
    """Replicas along the leading axis of every entry of ``state``.

    Attributes:
        state: Parameters and buffers, ``[R, ...]``.
        steps: Updates made so far.
        stopped_at: For each replica that diverged the step (from 1) at which it did, else None.
    """

    def __init__(
        self,
        model: Model,
        seeds: Sequence[int],
        loss: Callable[[Tensor, Tensor], Tensor],
        optimiser: OptimiserSpec,
        device: torch.device,
    ) -> None:
        self.model, self.loss = model, loss
        replicas = [model.init(seed) for seed in seeds]
        self.state: State = {name: torch.stack([r[name] for r in replicas]).to(device) for name in replicas[0]}
        self.parameters = [v.requires_grad_() for name, v in self.state.items() if name not in model.buffers]
        self.buffers = [self.state[name] for name in self.state if name in model.buffers]
        self.optimiser = optimisers.build(optimiser, self.parameters)
        self.steps = 0
        self.stopped_at: list[int | None] = [None] * len(seeds)
        self._stopped = torch.zeros(len(seeds), dtype=torch.bool, device=device)

    @property
    def all_stopped(self) -> bool:
        """Whether every replica has diverged."""
        return all(step is not None for step in self.stopped_at)

    def view(self) -> State:
        """Return the state without its graph; the tensors are the ensemble's own."""
        return {name: value.detach() for name, value in self.state.items()}

    def copy(self) -> State:
        """Return a copy of the state that later steps leave alone."""
        return {name: value.detach().clone() for name, value in self.state.items()}

    def step(self, x: Tensor, labels: Tensor, rate: float) -> Tensor:
        """Update every replica once and return the losses before the update, ``[R]``, NaN where it had stopped earlier.

        A replica whose loss, or whose state after the update, is not finite keeps the state that it had before
        the step and is marked in ``stopped_at``; the arithmetic of the others does not depend on it.
        """
        self.steps += 1
        stopped, buffers = self._stopped, [buffer.clone() for buffer in self.buffers]  # the forward pass changes them
        losses = self.loss(self.model.forward(self.state, x, train=True), labels).mean(1)
        self.optimiser.zero_grad()
        losses.sum().backward()
        losses = losses.detach()
        self.optimiser.param_groups[0]["lr"] = rate
        if self._tame(losses, rate):
            self.optimiser.step()
        else:
            self._step_guarded(losses, buffers)
        return losses.masked_fill(stopped, math.nan)

    def _tame(self, losses: Tensor, rate: float) -> bool:
        """Whether all replicas run and, derivatives and buffers being moderate, this step cannot have overflowed."""
        if any(self.stopped_at):
            return False
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm([*gradients, *self.buffers])
        return float(norm + losses.abs().sum()) * max(rate, 1.0) < TAME

    def _step_guarded(self, losses: Tensor, buffers: list[Tensor]) -> None:
        before = [p.detach().clone() for p in self.parameters]
        self.optimiser.step()
        after = [*(p.detach() for p in self.parameters), *self.buffers]
        finite = torch.stack([value.isfinite().flatten(1).all(1) for value in after]).all(0)
        self._stopped = self._stopped | ~losses.isfinite() | ~finite
        for value, old in zip(after, before + buffers, strict=True):
            value[self._stopped] = old[self._stopped]
        for r in self._stopped.nonzero().flatten().tolist():
            self.stopped_at[r] = self.stopped_at[r] or self.steps

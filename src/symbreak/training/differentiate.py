"""Losses of an ensemble's replicas and their gradients, by hand where that pays and by autograd elsewhere."""

from contextlib import AbstractContextManager
from typing import Protocol

import torch
from torch import Tensor

from symbreak.config.specs import TrainingSpec
from symbreak.models.backward import Pass
from symbreak.models.gradients import Derivatives, Whole
from symbreak.models.model import Model, Noise, State
from symbreak.models.stack import Stack
from symbreak.training.fused import Fused, applies
from symbreak.training.losses import GRADIENTS, LOSSES


class Differentiator(Protocol):
    """Differentiates the losses of an ensemble.

    No entry of a state requires a gradient. What is returned may be overwritten by the next call.
    The entries of a state may change in place between two calls, but not be replaced.
    """

    def __call__(self, state: State, x: Tensor, labels: Tensor, noise: Noise) -> Derivatives:
        """Differentiate at ``state`` for images ``[R or 1, B, C, H, W]`` and labels ``[R or 1, B]``."""

    def changed(self, state: State) -> None:
        """Take notice that the parameters have changed."""


def differentiator(model: Model, spec: TrainingSpec) -> Differentiator:
    """Return the fastest differentiator for a model."""
    if model.stack is not None:
        return Analytic(model.stack, spec)
    return Autograd(model, spec)


WORTH_ROUNDING = 1024  # weights a layer and replica from which a product in bfloat16 is faster than one in float32


class Analytic:
    """Gradients of fully connected layers, as factors.

    With ``autocast`` the products of all but small layers are taken in bfloat16, of copies of the weights that are
    rounded once a step.
    """

    def __init__(self, stack: Stack, spec: TrainingSpec) -> None:
        self._stack, self._loss = stack, spec.loss
        self._narrow = spec.autocast == "bfloat16"
        self._rounded: State = {}
        self._seen: State | None = None  # by the compiled loop
        self._fused: Fused | None = None

    def __call__(self, state: State, x: Tensor, labels: Tensor, noise: Noise) -> Derivatives:
        """Differentiate; see ``Differentiator``."""
        if self._narrow and not self._rounded:
            large = [name for name, _ in self._stack.names if state[name][0].numel() >= WORTH_ROUNDING]
            self._rounded = {name: state[name].bfloat16() for name in large}
        weights = state | self._rounded if self._narrow else state
        if self._seen is not state:
            self._seen = state
            self._fused = Fused(self._stack, state, self._loss) if applies(self._stack, state) else None
        if self._fused:
            return self._fused(weights, x, labels)
        way = Pass(self._stack, state, weights)
        losses, delta = GRADIENTS[self._loss](way.forward(x), labels)
        return Derivatives(losses.mean(1), way.backward(delta))

    def changed(self, state: State) -> None:
        """Round the weights anew."""
        for name, value in self._rounded.items():
            value.copy_(state[name])


class Autograd:
    """Gradients of any model by autograd: as the replicas share no parameter, those of the sum of their losses."""

    def __init__(self, model: Model, spec: TrainingSpec) -> None:
        self._model, self._loss = model, LOSSES[spec.loss]
        self._narrow = spec.autocast == "bfloat16"

    def __call__(self, state: State, x: Tensor, labels: Tensor, noise: Noise) -> Derivatives:
        """Differentiate; see ``Differentiator``."""
        parameters = {n: v.detach().requires_grad_() for n, v in state.items() if n not in self._model.buffers}
        with torch.enable_grad():
            with self._precision(x.device.type):
                outputs = self._model.forward(state | parameters, x, train=True, noise=noise)
            losses = self._loss(outputs.to(x.dtype), labels).mean(1)
            found = torch.autograd.grad(losses.sum(), list(parameters.values()))
        return Derivatives(losses.detach(), {n: Whole(value) for n, value in zip(parameters, found, strict=True)})

    def changed(self, state: State) -> None:
        """Do nothing: the parameters are read at every step."""

    def _precision(self, device: str) -> AbstractContextManager[object]:
        return torch.autocast(device, torch.bfloat16, enabled=self._narrow)

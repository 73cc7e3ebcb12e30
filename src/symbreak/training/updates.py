"""From gradients to updates: the optimisers of an ensemble, with what they remember."""

from collections.abc import Mapping
from typing import Protocol

import torch

from symbreak.config.specs import OptimiserSpec
from symbreak.models.gradients import Gradient
from symbreak.models.model import State
from symbreak.training import optimisers
from symbreak.training.trained import nested


class Update(Protocol):
    """Moves parameters; ``memory`` is all that the next step depends on besides them."""

    def step(self, gradients: Mapping[str, Gradient], rate: float) -> None:
        """Update every parameter in place."""

    def memory(self) -> State:
        """Return the optimiser's tensors by name; they are its own, not copies."""

    def remember(self, memory: State) -> None:
        """Take up ``memory`` in place of one's own."""


class HeavyBall:
    """SGD, ``v <- beta v + (1 - dampening)(g + k q); q <- q - rate v``, with the last matrix product folded into it.

    The first ``v`` is ``g + k q`` (PyTorch's convention); without momentum ``v`` is never stored.
    """

    def __init__(self, spec: OptimiserSpec, parameters: State) -> None:
        self._spec, self._parameters = spec, parameters
        self._velocity: State = {}

    def step(self, gradients: Mapping[str, Gradient], rate: float) -> None:
        """Update every parameter in place; see ``Update``."""
        if not self._spec.momentum:
            for name, q in self._parameters.items():
                gradients[name].add_to(q, keep=1 - rate * self._spec.weight_decay, scale=-rate)
            return
        keep, scale = (self._spec.momentum, 1 - self._spec.dampening) if self._velocity else (0.0, 1.0)
        for name, q in self._parameters.items():
            v = self._velocity.setdefault(name, torch.empty_like(q))
            gradients[name].add_to(v, keep=keep, scale=scale)
            if self._spec.weight_decay:
                v.add_(q, alpha=scale * self._spec.weight_decay)
            q.add_(v, alpha=-rate)

    def memory(self) -> State:
        """Return the velocities."""
        return dict(self._velocity)

    def remember(self, memory: State) -> None:
        """Take up velocities."""
        self._velocity = {name: value.to(self._parameters[name].device, copy=True) for name, value in memory.items()}


class Torch:
    """One of torch's optimisers, which work element by element and so replica by replica."""

    def __init__(self, spec: OptimiserSpec, parameters: State) -> None:
        self._parameters = parameters
        self._optimiser = optimisers.build(spec, parameters.values())

    def step(self, gradients: Mapping[str, Gradient], rate: float) -> None:
        """Update every parameter in place; see ``Update``."""
        for name, q in self._parameters.items():
            q.grad = gradients[name].dense().to(q.dtype).contiguous()  # fused kernels take other strides for granted
        self._optimiser.param_groups[0]["lr"] = rate
        self._optimiser.step()
        self._optimiser.zero_grad()

    def memory(self) -> State:
        """Return the optimiser's state as ``<parameter>/<key>``."""
        state = self._optimiser.state
        return {f"{n}/{key}": value for n, q in self._parameters.items() for key, value in state[q].items()}

    def remember(self, memory: State) -> None:
        """Take up an optimiser's state."""
        own = {name: value.clone() for name, value in memory.items()}
        state = {number: nested(own, name) for number, name in enumerate(self._parameters)}
        # torch knows which values go to the device: a fused optimiser's count of steps does, another's does not
        self._optimiser.load_state_dict(self._optimiser.state_dict() | {"state": state})


def update(spec: OptimiserSpec, parameters: State, *, folded: bool) -> Update:
    """Return the optimiser of an ensemble.

    Args:
        spec: Which.
        parameters: What it moves, in place.
        folded: Whether gradients come as factors, so that SGD saves a pass over the parameters by folding.
    """
    return HeavyBall(spec, parameters) if folded and spec.name == "sgd" else Torch(spec, parameters)

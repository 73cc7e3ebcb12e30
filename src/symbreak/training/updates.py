"""From gradients to updates: the optimisers of an ensemble, with what they remember."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor

from symbreak.config.specs import OptimiserSpec
from symbreak.models.gradients import Gradient, add, flat
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
        self._arrays = {name: flat(q) for name, q in parameters.items() if compilable(q)}
        self._velocity: State = {}

    def step(self, gradients: Mapping[str, Gradient], rate: float) -> None:
        """Update every parameter in place; see ``Update``."""
        if not self._spec.momentum:
            add(gradients, self._parameters, self._arrays, keep=1 - rate * self._spec.weight_decay, scale=-rate)
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


class Adam:
    """Adam in one compiled pass over a parameter, for contiguous parameters of small networks on a CPU."""

    def __init__(self, spec: OptimiserSpec, parameters: State) -> None:
        self._spec, self._parameters, self._steps = spec, parameters, 0
        self._means = {name: torch.zeros_like(q) for name, q in parameters.items()}
        self._squares = {name: torch.zeros_like(q) for name, q in parameters.items()}

    def step(self, gradients: Mapping[str, Gradient], rate: float) -> None:
        """Update every parameter in place; see ``Update``."""
        self._steps += 1
        (keep, keep_square), spec = self._spec.betas, self._spec
        corrected, scale = rate / (1 - keep**self._steps), (1 - keep_square**self._steps) ** -0.5
        numbers = (keep, keep_square, spec.weight_decay, corrected, scale, spec.eps)
        for name, q in self._parameters.items():
            dense = gradients[name].dense().to(q.dtype)
            arrays = [flat(value) for value in (q, dense.contiguous(), self._means[name], self._squares[name])]
            _adam()(*arrays, *map(arrays[0].dtype.type, numbers))

    def memory(self) -> State:
        """Return ``<parameter>/<key>``: means, squares and the number of steps; nothing before the first."""
        if not self._steps:
            return {}
        kept = {"mean": self._means, "square": self._squares}
        found = {f"{name}/{key}": values[name] for key, values in kept.items() for name in self._parameters}
        return found | {f"{name}/steps": torch.tensor(float(self._steps)) for name in self._parameters}

    def remember(self, memory: State) -> None:
        """Take up means, squares and the number of steps."""
        self._steps = 0
        for name in self._parameters:
            mean, square = self._means[name].zero_(), self._squares[name].zero_()
            if memory:
                mean.copy_(memory[f"{name}/mean"])
                square.copy_(memory[f"{name}/square"])
                self._steps = int(memory[f"{name}/steps"])


@cache
def _adam() -> Any:
    from symbreak.models.kernels.adam import adam  # numba takes a second to import

    return adam


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
        folded: Whether gradients come as factors, so that SGD saves a pass over the parameters by folding; the networks
            are then small enough for Adam to be compiled on a CPU, where torch's has half a millisecond to do a step.
    """
    if folded and spec.name == "sgd":
        return HeavyBall(spec, parameters)
    compiled = folded and spec.name == "adam" and all(map(compilable, parameters.values()))
    return Adam(spec, parameters) if compiled else Torch(spec, parameters)


def compilable(value: Tensor) -> bool:
    """Whether compiled loops can have a tensor's memory."""
    return value.device.type == "cpu" and value.is_contiguous()

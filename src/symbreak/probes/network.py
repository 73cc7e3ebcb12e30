"""A network as probes see it: a pure function of parameters and inputs, with one or several sets of parameters."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from symbreak.errors import SymbreakError
from symbreak.models.model import Model
from symbreak.models.stack import Stack

State = dict[str, Tensor]


@dataclass(frozen=True)
class Data:
    """Inputs ``x`` ``[N, ...]`` in the network's type and labels ``y`` int64 ``[N]``."""

    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class Network:
    """R sets of parameters of one architecture: replicas, or moments of a training.

    Attributes:
        parameters: Name -> ``[R, ...]``; what is differentiated.
        buffers: Name -> ``[R, ...]``; BatchNorm's running statistics.
        call: (one set of parameters and buffers, without the axis R; inputs ``[N, ...]``) -> outputs ``[N, C]``, in
        eval mode,
            changing nothing. Works under ``torch.func``'s transforms.
        stack: The same network as fully connected layers, if it is one of ours that has them: a fast path, never
        another answer.
        module: The user's module, else None; for probes that must know what the network is made of.
        model: The model of ours, else None; likewise.
    """

    parameters: State
    buffers: State
    call: Callable[[State, Tensor], Tensor]
    stack: Stack | None = None
    module: nn.Module | None = None
    model: Model | None = None

    @property
    def count(self) -> int:
        """The number R of sets of parameters."""
        return len(next(iter(self.parameters.values())))

    @property
    def size(self) -> int:
        """The number P of parameters of one set."""
        return sum(value[0].numel() for value in self.parameters.values())

    def one(self, r: int) -> State:
        """Return the parameters of set ``r``, without the axis R."""
        return {name: value[r] for name, value in self.parameters.items()}

    def held(self, r: int) -> State:
        """Return the buffers of set ``r``, without the axis R."""
        return {name: value[r] for name, value in self.buffers.items()}

    @torch.no_grad()
    def outputs(self, x: Tensor) -> Tensor:
        """Return the outputs of all sets, ``[R, N, C]``."""
        return torch.stack([self.call(self.one(r) | self.held(r), x) for r in range(self.count)])


def of_module(module: nn.Module, weights: Sequence[State] = ()) -> Network:
    """Make a network of a user's module, in eval mode.

    Args:
        module: Any module that maps ``[N, ...]`` to ``[N, C]``.
        weights: State dictionaries, in order of time or replica; none: the module as it is built.

    Raises:
        SymbreakError: If a state dictionary does not fit the module, or two of its parameters are one tensor.
    """
    names = [name for name, _ in module.named_parameters(remove_duplicate=False)]
    if tied := sorted(set(names) - {name for name, _ in module.named_parameters()}):
        raise SymbreakError(
            f"parameters {tied} are other names of one tensor; probes cannot tell how they vary; untie them"
        )
    module = module.eval()
    own = {name: value.detach() for name, value in module.state_dict().items()}
    states = [_fitting(state, own, number) for number, state in enumerate(weights)] or [own]
    trained = {name for name, _ in module.named_parameters()}
    stacked = {name: torch.stack([state[name] for state in states]) for name in own}
    parameters = {name: value for name, value in stacked.items() if name in trained}

    def call(state: State, x: Tensor) -> Tensor:
        found: Tensor = functional_call(module, state, (x,))
        return found

    return Network(parameters, {n: v for n, v in stacked.items() if n not in trained}, call, module=module)


def of_model(model: Model, state: State) -> Network:
    """Make a network of one of symbreak's models; ``state`` ``[R, ...]``."""

    def call(one: State, x: Tensor) -> Tensor:
        return model.forward({name: value[None] for name, value in one.items()}, x[None], train=False)[0]

    parameters = {name: value for name, value in state.items() if name not in model.buffers}
    buffers = {name: value for name, value in state.items() if name in model.buffers}
    return Network(parameters, buffers, call, stack=model.stack, model=model)


def _fitting(state: State, own: State, number: int) -> State:
    missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    shapes = [n for n in own.keys() & state.keys() if own[n].shape != state[n].shape]
    if missing or unknown or shapes:
        raise SymbreakError(
            f"weights {number} do not fit the model: missing {missing}, unknown {unknown}, "
            f"other shapes {sorted(shapes)}; give the state_dict of the same architecture"
        )
    return {name: value.to(own[name].dtype) for name, value in state.items()}

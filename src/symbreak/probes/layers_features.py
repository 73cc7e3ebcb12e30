"""The feature maps of a network layer by layer, and the terms of its residual blocks."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.func import functional_call

from symbreak.errors import SymbreakError
from symbreak.models.dense import flatten, linear
from symbreak.models.resnet import Resnet
from symbreak.models.stack import Stack
from symbreak.probes.blocks import chain
from symbreak.probes.blocks_part import Block, Step
from symbreak.probes.network import Network, State


@dataclass(frozen=True)
class Features:
    """In order of depth: ``maps`` ``[n, ...]`` of every layer; of residual blocks, where they can be told apart, the
    ``branches`` and the ``shortcuts``."""

    maps: list[Tensor]
    branches: list[Tensor] = field(default_factory=list)
    shortcuts: list[Tensor] = field(default_factory=list)


@dataclass(frozen=True)
class Names:
    """Submodules of a user's module: its residual blocks, and those whose outputs are the feature maps."""

    blocks: Sequence[str] = ()
    layers: Sequence[str] = ()


@torch.no_grad()
def features_of(network: Network, r: int, x: Tensor, names: Names) -> Features:
    """Return what set ``r`` makes of the inputs ``[n, ...]``.

    Of a user's module: outputs of the named ``layers``, else of the ``blocks``, else nothing. Of our ResNets: of
    all blocks; of our fully connected networks: the hidden activations.

    Raises:
        SymbreakError: If a submodule is unknown or does not give one tensor a pass, or blocks are not residual.
    """
    terms = _terms(network, r, x, names.blocks) if names.blocks or isinstance(network.model, Resnet) else Features([])
    if names.layers:
        if network.module is None:
            raise SymbreakError("'features' names submodules of your own module; leave it out for symbreak's models")
        maps = _outputs(network.module, network.one(r) | network.held(r), x, names.layers)
        return Features(maps, terms.branches, terms.shortcuts)
    if network.stack is not None:
        return Features(_activations(network.stack, network.one(r), x))
    return terms


def _terms(network: Network, r: int, x: Tensor, names: Sequence[str]) -> Features:
    links, found = chain(network, r, names, x), Features([])

    def recorded(block: Block) -> Step:
        def step(h: Tensor) -> Tensor:
            terms = block.terms(h) if block.residual else None
            if terms is not None:
                found.shortcuts.append(terms[0])
                found.branches.append(terms[1])
            output = block.full(h)
            found.maps.append(output.clone())  # what comes next may change it in place
            return output

        return step

    links.run(x, {place: recorded(block) for place, block in enumerate(links.blocks)})
    return found if len(found.branches) == len(found.maps) else Features(found.maps)


def _activations(stack: Stack, state: State, x: Tensor) -> list[Tensor]:
    h, maps = flatten(x[None]), []
    for layer, (weight, bias) in enumerate(stack.names[:-1]):
        z = linear(state[weight][None], state[bias][None] if bias in state else None, h)
        h = stack.activation.value(z - stack.shift(h) if layer == 0 and stack.shift is not None else z)
        maps.append(h[0].T)
    return maps


def _outputs(module: nn.Module, state: State, x: Tensor, names: Sequence[str]) -> list[Tensor]:
    known, found = dict(module.named_modules()), dict[str, list[Tensor]]()
    if unknown := [name for name in names if not name or name not in known]:
        raise SymbreakError(f"the model has no submodules {unknown}; choose from {', '.join(filter(None, known))}")
    with ExitStack() as hooks:
        for name in names:
            hooks.callback(known[name].register_forward_hook(_kept(found.setdefault(name, []))).remove)
        functional_call(module, state, (x,))
    for name, outputs in found.items():
        if len(outputs) != 1 or not isinstance(outputs[0], Tensor) or len(outputs[0]) != len(x):
            raise SymbreakError(f"submodule '{name}' must give one tensor [N, ...] a pass; name another one")
    return [outputs[0] for outputs in found.values()]


def _kept(into: list[Tensor]) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def hook(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
        into.append(output.clone() if isinstance(output, Tensor) else output)  # a ReLU in place may come next

    return hook

"""The residual blocks of a network: what each adds to its shortcut, and the network with some of them changed.

A block maps h to after(S(h) + T(h)): the shortcut's term S (h itself, or its projection), the branch's term T, and
``after`` the identity or a ReLU. Of our ResNets both terms are known (``blocks_resnet``); of a user's module, whose
blocks are named, S(h) = h is verified numerically and T(h) is what the block adds to it (``blocks_module``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from symbreak.errors import SymbreakError
from symbreak.models.resnet import Resnet
from symbreak.probes.blocks_module import ModuleChain
from symbreak.probes.blocks_part import Block, Chain, Step
from symbreak.probes.blocks_resnet import ResnetChain
from symbreak.probes.network import Network

VERIFIED = 8  # inputs on which a user's blocks are verified


def chain(network: Network, r: int, names: Sequence[str], x: Tensor) -> Chain:
    """Return the residual blocks of set ``r`` of a network.

    Args:
        network: One of our ResNets, or a user's module.
        r: Which set of parameters.
        names: Submodules of a user's module that are its residual blocks, in the order of their use; of ours none.
        x: Inputs ``[N, ...]``; the first few serve to verify a user's blocks.

    Raises:
        SymbreakError: If there are no blocks, or they are not residual.
    """
    state = network.one(r) | network.held(r)
    if network.module is not None:
        if not names:
            raise SymbreakError("name the residual blocks, submodules that map h to h + F(h), by the option 'blocks'")
        return ModuleChain(network.module, state, names, x[:VERIFIED])
    if not isinstance(network.model, Resnet):
        raise SymbreakError("this model has no residual blocks; probe a ResNet, or a module whose blocks you name")
    if names:
        raise SymbreakError(f"a ResNet's blocks are known; leave out the option 'blocks' ({', '.join(names)})")
    return ResnetChain(network.model, state)


@dataclass(frozen=True)
class Trace:
    """The outputs ``[B, C]`` of a chain, and every block's input and output."""

    found: Tensor
    inputs: list[Tensor]
    outputs: list[Tensor]


def trace(links: Chain, x: Tensor) -> Trace:
    """Run a chain as it is, and keep what enters and leaves its blocks."""
    inputs: list[Tensor] = []
    outputs: list[Tensor] = []

    def recorded(block: Block) -> Step:
        def step(h: Tensor) -> Tensor:
            found = block.full(h)
            inputs.append(h)
            outputs.append(found.clone())  # what comes next may change it in place
            return found

        return step

    found = links.run(x, {place: recorded(block) for place, block in enumerate(links.blocks)})
    return Trace(found, inputs, outputs)

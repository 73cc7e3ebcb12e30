"""Continuous transformations of parameters that leave a network's outputs unchanged to first order.

The directions in parameter space along which the outputs at all inputs stand still are the null space of the Jacobian
``J`` of the outputs, stacked over inputs: P - rank J of them (Marcotte, Gribonval and Peyre, arXiv:2307.00144, count
conservation laws by the rank of the same gradients). A family of linear generators A moves two adjacent layers as
``W -> exp(tA) W``, ``b -> exp(tA) b``, ``V -> V exp(-tA)`` (Fok, An and Wang, arXiv:1710.06096, section 2.2), hence the
outputs by

    J(A theta) = sum_ab A_ab M_ab,   M = J_W W^T + J_b b^T - V^T J_V,

one matrix ``M`` a row for all of gl(h); its diagonal is that of scalings, its antisymmetric part that of so(h).
For the cross-entropy a shift common to all outputs counts as no change.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import jacrev, vmap

from symbreak.probes.network import Network, State
from symbreak.probes.symmetry_rank import Rows

CHUNK = 1 << 25  # bytes of a Jacobian at a time
POINTWISE = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh, nn.Sigmoid,
    nn.Softplus, nn.Softsign, nn.Softshrink, nn.Hardshrink, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.LogSigmoid,
    nn.Tanhshrink, nn.Threshold,
)  # fmt: skip
TRANSPARENT = (nn.Flatten, nn.Identity, nn.Dropout)

Layer = tuple[str, str | None]
Parts = tuple[Tensor, ...]


@dataclass(frozen=True)
class Move:
    """The generators of one family on one pair of layers (for ``shift`` the last layer is both)."""

    family: str
    first: Layer
    second: Layer

    def parts(self, jacobian: State, theta: State) -> Parts:
        """Return terms ``[B, C, K]`` that add up to the change of outputs along each of the K generators.

        Args:
            jacobian: Name -> ``[B, C, *parameter]``.
            theta: The parameters.
        """
        return FAMILIES[self.family](jacobian, theta, self.first, self.second)

    def width(self, theta: State) -> int:
        """Return the number K of generators."""
        unit = {name: torch.zeros(1, 1, *value.shape, dtype=value.dtype) for name, value in theta.items()}
        return self.parts(unit, theta)[0].shape[2]


def moves(family: str, chain: Sequence[Layer]) -> list[Move]:
    """Return a family's moves of a chain of layers, from the input on."""
    places = [(chain[-1], chain[-1])] if family == "shift" else pairwise(chain)
    return [Move(family, first, second) for first, second in places]


def layers(network: Network) -> list[Layer] | None:
    """Return names of weight and bias of each fully connected layer, or None if the network is not made so.

    Known are ``Network.stack`` and ``nn.Sequential``s of ``Linear``, non-linearities without parameters and layers that
    do nothing in eval mode.
    """
    if network.stack is not None:
        return [(w, b if b in network.parameters else None) for w, b in network.stack.names]
    if not isinstance(network.module, nn.Sequential):
        return None
    found: list[Layer] = []
    for name, part in network.module.named_modules():
        if isinstance(part, nn.Linear):
            found.append((f"{name}.weight", None if part.bias is None else f"{name}.bias"))
        elif not isinstance(part, (nn.Sequential, *POINTWISE, *TRANSPARENT)):
            return None
    known = {n for layer in found for n in layer if n is not None}
    return found if known == set(network.parameters) else None


def _general(jacobian: State, theta: State, first: Layer, second: Layer) -> Parts:
    weight, bias = first
    into = torch.einsum("ncad,bd->ncab", jacobian[weight], theta[weight])
    if bias is not None:
        into = into + jacobian[bias][..., :, None] * theta[bias]
    return into, -torch.einsum("oa,ncob->ncab", theta[second[0]], jacobian[second[0]])


def _linear(jacobian: State, theta: State, first: Layer, second: Layer) -> Parts:
    return tuple(part.flatten(2) for part in _general(jacobian, theta, first, second))


def _scaling(jacobian: State, theta: State, first: Layer, second: Layer) -> Parts:
    (weight, bias), out = first, second[0]
    into = (jacobian[weight] * theta[weight]).sum(-1)
    if bias is not None:
        into = into + jacobian[bias] * theta[bias]
    return into, -(jacobian[out] * theta[out]).sum(-2)


def _rotation(jacobian: State, theta: State, first: Layer, second: Layer) -> Parts:
    width = theta[first[0]].shape[0]
    row, column = torch.triu_indices(width, width, offset=1)
    return tuple((part - part.mT)[..., row, column] for part in _general(jacobian, theta, first, second))


def _translation(jacobian: State, theta: State, first: Layer, second: Layer) -> Parts:
    """``b -> b + t e``, ``c -> c - t V e``: a shift of hidden units that the next bias takes back."""
    if first[1] is None or second[1] is None:
        return (next(iter(jacobian.values())).flatten(2)[..., :0],)
    return jacobian[first[1]], -torch.einsum("oa,nco->nca", theta[second[0]], jacobian[second[1]])


def _shift(jacobian: State, theta: State, first: Layer, second: Layer) -> Parts:
    """The same change of every output's weights and bias."""
    weight, bias = second
    shift = jacobian[weight].sum(-2)
    return (shift,) if bias is None else (torch.cat([shift, jacobian[bias].sum(-1, keepdim=True)], -1),)


FAMILIES: dict[str, Callable[[State, State, Layer, Layer], Parts]] = {
    "scaling": _scaling,
    "rotation": _rotation,
    "linear": _linear,
    "translation": _translation,
    "shift": _shift,
}


class Jacobian:
    """Rows of the Jacobian of a network's outputs, float64, in chunks of inputs of at most ``CHUNK`` bytes.

    Args:
        network: In float64.
        r: Which of its sets of parameters.
        outputs: The number C of its outputs.
        modulo_shift: Count a shift common to all outputs as no change.

    Attributes:
        theta: The set of parameters.
        informative: How many independent rows an input can contribute.
    """

    def __init__(self, network: Network, r: int, outputs: int, modulo_shift: bool) -> None:
        self.theta = network.one(r)
        held = network.held(r)

        def one(theta: State, x: Tensor) -> Tensor:
            return network.call(theta | held, x[None])[0]

        self._one = one
        self._modulo_shift, self._size = modulo_shift, network.size
        self._chunk = max(1, CHUNK // (8 * outputs * network.size))
        self.informative = outputs - modulo_shift

    def rows(self, parts: Callable[[State], Parts]) -> Rows:
        """Return what ``null_space`` asks for: of each input, the sum of the parts ``[B, C, K]`` as rows."""

        def of(x: Tensor) -> tuple[Tensor, float]:
            found = [self._folded(parts(self._each(part))) for part in x.split(self._chunk)]
            return torch.cat([rows for rows, _ in found]), sum(squares for _, squares in found)

        return of

    def whole(self, jacobian: State) -> Parts:
        """Return the Jacobian itself as one part, ``[B, C, P]``."""
        return (torch.cat([jacobian[name].flatten(2) for name in self.theta], -1),)

    def along(self, moved: Sequence[Move]) -> Callable[[State], Parts]:
        """Return the parts of families on pairs of layers, generators side by side."""

        def parts(jacobian: State) -> Parts:
            every = [move.parts(jacobian, self.theta) for move in moved]
            terms = max(len(each) for each in every)
            padded = [(*each, *[torch.zeros_like(each[0])] * (terms - len(each))) for each in every]
            return tuple(torch.cat(each, -1) for each in zip(*padded, strict=True))

        return parts

    def vectors(self, moved: Sequence[Move]) -> Tensor:
        """Return the directions ``A theta`` of generators, ``[P, K]``: the parts for the identity as Jacobian."""
        unit = torch.eye(self._size, dtype=torch.float64).split([v.numel() for v in self.theta.values()], 1)
        jacobian = {
            name: block.reshape(1, self._size, *value.shape)
            for (name, value), block in zip(self.theta.items(), unit, strict=True)
        }
        return torch.stack(self.along(moved)(jacobian)).sum(0)[0]

    def _each(self, x: Tensor) -> State:
        """The Jacobian of each input's outputs, ``[B, C, ...]``: at once, or one by one."""
        try:
            return cast(State, vmap(jacrev(self._one), in_dims=(None, 0))(self.theta, x))
        except RuntimeError:  # vmap does not know every operation; what is wrong with the network is raised again here
            singly = jacrev(self._one, chunk_size=1)  # without vmap
            found = [singly(self.theta, row) for row in x]
            return {name: torch.stack([each[name] for each in found]) for name in self.theta}

    def _folded(self, parts: Parts) -> tuple[Tensor, float]:
        rows = torch.stack(parts).sum(0)
        if self._modulo_shift:
            rows = rows - rows.mean(1, keepdim=True)
        return rows.flatten(0, 1), float(sum(part.square().sum() for part in parts))

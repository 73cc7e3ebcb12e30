"""Products of the Hessian of a network's mean loss with blocks of vectors: unit of the loss, per squared parameter.

H v = d/dt grad L(theta + t v) at t = 0, forward over reverse (Pearlmutter 1994, Neural Computation 6, 147); L is the
mean loss over all samples, whatever the parts in which they are gone through.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Protocol

import torch
from torch import Tensor
from torch.func import grad, jvp, vmap

from symbreak.errors import SymbreakError
from symbreak.probes.hessian_inputs import fold
from symbreak.probes.hessian_stack import StackProducts, supports
from symbreak.probes.network import Data, Network, State
from symbreak.training.losses import LOSSES

SAMPLES = 256  # that a network without a written-out product sees at once
UNITS = 64  # columns of a dense Hessian that are computed at once
VECTORS = 8  # that it is differentiated along at once: with SAMPLES the bound of what is kept in memory
ROWS = 1024  # rows of the first layer's matrix product, at which replicas are no longer put together


class Products(Protocol):
    """H v for blocks of vectors, of R networks at once.

    Attributes:
        count: R.
        size: The length n of a vector.
        zeros: Exact zero modes that are left out; n + zeros = P.
        like: A tensor of the type and device of vectors.
    """

    count: int
    size: int
    zeros: int
    like: Tensor

    def __call__(self, v: Tensor) -> Tensor:
        """Return H v, ``[R, k, n]``, for vectors ``[R, k, n]``."""

    def gradients(self) -> Tensor:
        """Return the part of the gradient that comes from each class in the data, ``[R, C, n]``."""

    def named(self, v: Tensor) -> State:
        """Return vectors ``[R, k, n]`` as directions of the parameters, name -> ``[R, k, ...]``; lengths are kept."""

    def coarse(self) -> "Products | None":
        """Return the same products to about 1 in 300, if they are several times as fast."""


class CallProducts:
    """H v of any network, by ``jvp(grad)`` under ``vmap``; see ``Products``."""

    zeros = 0

    def __init__(self, network: Network, data: Data, loss: str) -> None:
        _warm()
        self._network, self._data, self._loss = network, data, LOSSES[loss]
        self.count, self.size, self.like = network.count, network.size, next(iter(network.parameters.values()))

    def __call__(self, v: Tensor) -> Tensor:
        """Return H v; see ``Products``."""
        return torch.stack([self._one(r, v[r]) for r in range(self.count)])

    def named(self, v: Tensor) -> State:
        """Return vectors as directions; see ``Products``."""
        shapes = {name: value.shape[1:] for name, value in self._network.parameters.items()}
        parts = v.split([shape.numel() for shape in shapes.values()], -1)
        return {n: part.reshape(*v.shape[:-1], *shapes[n]) for n, part in zip(shapes, parts, strict=True)}

    def coarse(self) -> None:
        """Return None: nothing is known of the network's own rounding; see ``Products``."""

    def gradients(self) -> Tensor:
        """Return the part of each class; see ``Products``."""
        found = [[self._gradient_of(r, label) for label in self._data.y.unique()] for r in range(self.count)]
        return torch.stack([torch.stack(parts) for parts in found])

    def _gradient_of(self, r: int, label: Tensor) -> Tensor:
        rows, total = self._data.y == label, self.like.new_zeros(self.size)
        for gradient in self._gradients(r, Data(self._data.x[rows], self._data.y[rows])):
            found = gradient(self._network.one(r))
            total += torch.cat([found[name].reshape(-1) for name in self._network.parameters])
        return total

    def _gradients(self, r: int, data: Data) -> Iterator[Callable[[State], State]]:
        """Gradients of the parts of the mean loss that come from a few samples each."""
        held, count = self._network.held(r), len(self._data.y)
        for x, y in zip(data.x.split(SAMPLES), data.y.split(SAMPLES), strict=True):

            def loss(state: State, x: Tensor = x, y: Tensor = y) -> Tensor:
                outputs = self._network.call(state | held, x)
                return self._loss(outputs.unsqueeze(0), y.unsqueeze(0)).sum() / count

            yield grad(loss)

    def _one(self, r: int, v: Tensor) -> Tensor:
        at, directions, total = self._network.one(r), self.named(v), torch.zeros_like(v)
        for gradient in self._gradients(r, self._data):
            moved = vmap(partial(_along, gradient, at), chunk_size=VECTORS)(directions)
            total += torch.cat([moved[name].reshape(len(v), -1) for name in directions], 1)
        return total


@dataclass(frozen=True)
class Task:
    """A network, the data and the loss whose mean is differentiated twice."""

    network: Network
    data: Data
    loss: str

    def groups(self, vectors: int) -> Iterator[Products]:
        """Yield products of as many replicas at once as it pays with blocks of so many vectors."""
        data, stack = self.data, self.network.stack
        if stack is None or not supports(stack):
            for part in self._parts(1):
                yield CallProducts(part, data, self.loss)
            return
        weight, bias = stack.names[0]
        folded = fold(data.x.flatten(1), bias=bias in self.network.parameters)
        for part in self._parts(max(1, ROWS // (self.network.parameters[weight].shape[1] * vectors))):
            yield StackProducts(stack, part.parameters, folded, data, self.loss)

    def _parts(self, together: int) -> Iterator[Network]:
        """The networks, so many at once."""
        for first in range(0, self.network.count, together):
            yield _part(self.network, slice(first, first + together))


def double(task: Task) -> Task:
    """Return the task in float64."""
    network, data = task.network, task.data
    made = replace(network, parameters=_doubled(network.parameters), buffers=_doubled(network.buffers))
    return replace(task, network=made, data=Data(data.x.double() if data.x.is_floating_point() else data.x, data.y))


def dense(products: Products) -> Tensor:
    """Return the Hessians ``[R, n, n]`` from products with blocks of unit vectors.

    Raises:
        SymbreakError: If the loss is so curved that its second derivatives are not finite.
    """
    n, block = products.size, UNITS
    found = products.like.new_empty(products.count, n, n)
    for first in range(0, n, block):
        rows = min(block, n - first)
        unit = products.like.new_zeros(products.count, rows, n)
        unit[:, range(rows), range(first, first + rows)] = 1
        found[:, first : first + rows] = products(unit)
    if not bool(torch.isfinite(found).all()):
        raise SymbreakError(
            "the Hessian is not finite: expected finite second derivatives; give trained or smaller weights"
        )
    return found.add_(found.transpose(1, 2).clone()).div_(2)


@cache
def _warm() -> None:
    """Differentiate something forward: the first time PyTorch warns of a function of its own that it deprecates."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
        zero = torch.zeros(())
        jvp(torch.sin, (zero,), (zero,))


def _along(gradient: Callable[[State], State], at: State, direction: State) -> State:
    found: State = jvp(gradient, (at,), (direction,))[1]
    return found


def _part(network: Network, rows: slice) -> Network:
    parameters = {name: value[rows] for name, value in network.parameters.items()}
    return replace(network, parameters=parameters, buffers={n: value[rows] for n, value in network.buffers.items()})


def _doubled(state: State) -> State:
    return {name: value.double() if value.is_floating_point() else value for name, value in state.items()}

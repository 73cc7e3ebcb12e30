"""Loss gradients of many samples or minibatches ("items"), a chunk at a time, written out where the network allows it.

An item is a minibatch of consecutive samples; with one sample each, items are samples.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.func import grad, vmap

from symbreak.models.backward import Pass
from symbreak.models.dense import linear
from symbreak.models.gradients import Outer
from symbreak.probes.network import Data, Network, State
from symbreak.training.losses import GRADIENTS, LOSSES

MEMORY = 2**26  # bytes that the gradients, or factors and activations, of a chunk may take; one item may take more
SAMPLES = 1024  # of a chunk in a network whose activations are not known


@dataclass(frozen=True)
class Factored:
    """A weight's gradients of n samples as products ``delta[r, :, i] x[r, :, i]^T``.

    ``delta`` is ``[R, out, n]``, ``x`` ``[R or 1, in, n]``.
    """

    delta: Tensor
    x: Tensor

    def total(self, before: Tensor | None = None) -> Tensor:
        """Return ``before`` (overwritten) plus the sum over samples, ``[R, out, in]``."""
        return _product(self.delta, self.x, before)

    def squares(self, before: Tensor | None = None) -> Tensor:
        """Return the same of squares: as ``(d x)^2 = d^2 x^2``, one product too."""
        return _product(self.delta.square(), self.x.square(), before)

    def lengths(self) -> Tensor:
        """Return every sample's squared Euclidean norm, ``[R, n]`` in float64."""
        return self.delta.double().square().sum(1) * self.x.double().square().sum(1)

    def along(self, direction: Tensor) -> Tensor:
        """Return every sample's inner product with ``direction`` ``[R, out, in]``, ``[R, n]`` in float64."""
        return (self.delta * linear(direction, None, self.x)).sum(1).double()


@dataclass(frozen=True)
class Dense:
    """Gradients of n items as they are, ``value`` ``[R, n, ...]``; methods as above."""

    value: Tensor

    def total(self, before: Tensor | None = None) -> Tensor:
        """Return ``before`` (overwritten) plus the sum over items, ``[R, ...]`` in float64."""
        return _added(self.value.sum(1), before)

    def squares(self, before: Tensor | None = None) -> Tensor:
        """Return the same of squares."""
        return _added(self.value.square().sum(1), before)

    def lengths(self) -> Tensor:
        """Return every item's squared Euclidean norm, ``[R, n]`` in float64."""
        norms: Tensor = torch.linalg.vector_norm(self._rows(), dim=2, dtype=torch.float64)
        return norms.square()

    def along(self, direction: Tensor) -> Tensor:
        """Return every item's inner product with ``direction`` ``[R, ...]``, ``[R, n]`` in float64."""
        return torch.bmm(self._rows(), direction.reshape(len(direction), -1, 1)).squeeze(2).double()

    def _rows(self) -> Tensor:
        return self.value.reshape(*self.value.shape[:2], -1)  # a scalar parameter has no further axis to flatten


def _product(delta: Tensor, x: Tensor, before: Tensor | None) -> Tensor:
    outer = Outer(delta, x)
    if before is None:
        return outer.dense()
    outer.add_to(before, keep=1, scale=1)
    return before


def _added(found: Tensor, before: Tensor | None) -> Tensor:
    return found.double() if before is None else before.add_(found)


Items = Factored | Dense
Chunks = Iterator[dict[str, Items]]


def parts(network: Network) -> list[Network]:
    """Return the network in parts whose sets of parameters are differentiated at once: all, or one by one.

    One by one where autograd does it: batching convolutions over weights is slower than a loop.
    """
    if network.stack is not None:
        return [network]
    return [_only(network, r) for r in range(network.count)]


def chunks(part: Network, data: Data, loss: str, batch: int) -> Chunks:
    """Yield the gradients of consecutive items at the sets of parameters of one part, by parameter.

    Args:
        part: One of ``parts``.
        data: N samples; those after the last whole item are left out.
        loss: Key of ``LOSSES``; an item's loss is the mean over its samples.
        batch: Samples of an item.
    """
    make = _generic if part.stack is None else _written_out
    size = _chunk(part, data.x, batch) * batch
    whole = len(data.x) - len(data.x) % batch
    for start in range(0, whole, size):
        rows = slice(start, min(start + size, whole))
        yield make(part, Data(data.x[rows], data.y[rows]), loss, batch)


def _only(network: Network, r: int) -> Network:
    parameters, buffers = (
        {name: value[r : r + 1] for name, value in state.items()} for state in (network.parameters, network.buffers)
    )
    return replace(network, parameters=parameters, buffers=buffers)


def _chunk(part: Network, x: Tensor, batch: int) -> int:
    """The number of items of a chunk."""
    if part.stack is None:
        number = min(MEMORY // (part.size * x.element_size()), SAMPLES // batch)
    else:
        # of a layer's unit: its output, its gradient and that before the slope; of an input: itself and its square
        units = sum(part.parameters[name].shape[1] for name, _ in part.stack.names)
        sample = 3 * part.count * units + 2 * x[0].numel()
        number = MEMORY // (x.element_size() * (batch * sample + (part.count * part.size if batch > 1 else 0)))
    return max(1, number)


@torch.no_grad()
def _written_out(part: Network, data: Data, loss: str, batch: int) -> dict[str, Items]:
    """Gradients of a stack: the factors are those of the pass back."""
    assert part.stack is not None
    way = Pass(part.stack, part.parameters, part.parameters)
    _, delta = GRADIENTS[loss](way.forward(data.x.flatten(1)[None]), data.y[None])
    factors = way.backward(delta.mul_(len(data.x) / batch))  # undoes the mean over the chunk
    found: dict[str, Items] = {}
    for name, bias in part.stack.names:
        factor = factors[name]
        assert isinstance(factor, Outer)
        found[name] = Factored(factor.delta, factor.x) if batch == 1 else _multiplied(factor, batch)
        if bias in part.parameters:
            delta = factor.delta if batch == 1 else factor.delta.unflatten(2, (-1, batch)).sum(3)
            found[bias] = Dense(delta.transpose(1, 2))
    return found


def _multiplied(factor: Outer, batch: int) -> Dense:
    """Every item's product, ``[R, n, out, in]``."""
    delta, x = (part.unflatten(2, (-1, batch)).transpose(1, 2) for part in (factor.delta, factor.x))
    return Dense(torch.matmul(delta, x.transpose(2, 3)))


def _generic(part: Network, data: Data, loss: str, batch: int) -> dict[str, Items]:
    """Gradients of any network's only set of parameters."""
    held = part.held(0)

    def value(parameters: State, x: Tensor, y: Tensor) -> Tensor:
        return LOSSES[loss](part.call(parameters | held, x)[None], y[None]).mean()

    x, y = (rows.unflatten(0, (-1, batch)) for rows in (data.x, data.y))
    found = _each(grad(value), part.one(0), x, y)
    return {name: Dense(gradients.detach()[None]) for name, gradients in found.items()}


def _each(gradient: Callable[..., State], parameters: State, x: Tensor, y: Tensor) -> State:
    """Gradients of each item, ``[n, ...]``: at once, or one by one."""
    try:
        return vmap(gradient, in_dims=(None, 0, 0))(parameters, x, y)
    except RuntimeError:  # vmap does not know every operation; what grad refuses is raised here
        one_by_one = [gradient(parameters, *item) for item in zip(x, y, strict=True)]
        return {name: torch.stack([found[name] for found in one_by_one]) for name in parameters}

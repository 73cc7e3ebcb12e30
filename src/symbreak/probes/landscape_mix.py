"""Samples' losses and hits at affine mixtures of a network's sets of parameters, theta_v = sum_k c_vk theta_k.

The first layer's pre-activation is linear in the parameters, W_v x + b_v = sum_k c_vk (W_k x + b_k): of a network that
is a ``Stack``, K matrix products serve all mixtures. Any other is evaluated mixture by mixture.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from symbreak.errors import SymbreakError
from symbreak.models.dense import flatten, linear
from symbreak.models.stack import Stack
from symbreak.probes.network import Data, Network, State
from symbreak.probes.scores import score
from symbreak.training.losses import Loss

Array = NDArray[np.float64]
SAMPLES = 1000  # of a chunk, which bounds what a network holds at once
CACHED = 2**18  # numbers of a layer that are under way at once, so that they stay in the cache (1 MB in float32)


@torch.no_grad()
def mixtures(network: Network, coefficients: Array, data: Data, loss: Loss) -> tuple[Array, NDArray[np.bool_]]:
    """Return the losses float64 and the hits of every sample at every mixture, ``[V, N]``.

    A mixture whose coefficients are one 1 and zeros is that set of parameters, bit by bit. Memory: the result (9 bytes
    a sample and mixture), the mixed parameters one by one, and what ``SAMPLES`` samples need in the network.

    Args:
        network: K sets of parameters; buffers are mixed like them.
        coefficients: ``[V, K]``, every row with sum 1.
        data: Inputs and labels.
        loss: Of single samples.

    Raises:
        SymbreakError: If a row's sum is not 1, or a loss is not finite.
    """
    if not np.allclose(coefficients.sum(1), 1, rtol=0, atol=1e-9):
        raise SymbreakError("the coefficients of a mixture must have the sum 1; divide them by it")
    losses = np.empty((len(coefficients), len(data.x)))
    hits = np.empty(losses.shape, dtype=np.bool_)
    found = _generic(network, coefficients, data, loss)
    if network.stack is not None:
        found = _stacked(network.stack, network.parameters, coefficients, data, loss)
    for rows, columns, part, hit in found:
        losses[rows, columns], hits[rows, columns] = part.double().cpu().numpy(), hit.cpu().numpy()
    return losses, hits


Part = tuple[slice, slice, Tensor, Tensor]


def _generic(network: Network, coefficients: Array, data: Data, loss: Loss) -> Iterator[Part]:
    for v, row in enumerate(coefficients):
        state = {n: _mixed(p, row[None])[0] for n, p in (network.parameters | network.buffers).items()}
        for columns in _chunks(len(data.x), SAMPLES):
            outputs = network.call(state, data.x[columns])[None]
            yield slice(v, v + 1), columns, *score(outputs, data.y[columns], loss)


def _stacked(stack: Stack, parameters: State, coefficients: Array, data: Data, loss: Loss) -> Iterator[Part]:
    later = {n: p for n, p in parameters.items() if n not in stack.names[0]}
    width = max(parameters[weight].shape[1] for weight, _ in stack.names)
    samples = min(SAMPLES, len(data.x))
    for columns in _chunks(len(data.x), samples):
        first = _first(stack, parameters, data.x[columns])
        for rows in _chunks(len(coefficients), max(1, CACHED // (width * samples))):
            z = _mixed(first, coefficients[rows])
            state = {name: _mixed(value, coefficients[rows]) for name, value in later.items()}
            yield rows, columns, *score(_rest(stack, state, z).transpose(1, 2), data.y[columns], loss)


def _first(stack: Stack, parameters: State, x: Tensor) -> Tensor:
    """The first layer's pre-activations of all sets, ``[K, H, B]``; as rows sum to 1, each may have the whole shift."""
    inputs, (weight, bias) = flatten(x[None]), stack.names[0]
    z = linear(parameters[weight], parameters.get(bias), inputs)
    return z if stack.shift is None else z - stack.shift(inputs)


def _rest(stack: Stack, state: State, z: Tensor) -> Tensor:
    """The outputs ``[G, C, B]`` for the first layer's pre-activations ``[G, H, B]``, which are overwritten."""
    for weight, bias in stack.names[1:]:
        z = linear(state[weight], state.get(bias), stack.activation.value_(z))
    return z


def _mixed(value: Tensor, coefficients: Array) -> Tensor:
    """Mixtures ``[G, ...]`` of ``value`` ``[K, ...]``; of counters, which cannot be mixed, the first set's."""
    if not value.is_floating_point():
        return value[:1].expand(len(coefficients), *value.shape[1:])
    factors = torch.as_tensor(coefficients, dtype=value.dtype, device=value.device)
    return torch.mm(factors, value.reshape(len(value), -1)).view(len(coefficients), *value.shape[1:])


def _chunks(count: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]

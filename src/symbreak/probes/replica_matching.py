"""Neurons of replicas matched: the distance of two networks minimised over the order of their hidden units.

The cost of putting unit j of one network in the place of unit i of the other is the sum of |difference|^p over the
incoming weights, the bias and the outgoing weights; the best order of a layer is a linear assignment. With one hidden
layer that is the minimum over all orders. With more, layers are taken in turn until none improves (the weight matching
of Ainsworth, Hayase and Srinivasa, arXiv:2209.04836, section 3.2, begun at the given order): a local minimum, an upper
bound of the least distance.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from torch import nn

from symbreak.probes.network import Network

Array = NDArray[np.float64]
Order = NDArray[np.intp]
Layer = tuple[Array, Array]  # weight [out, in], bias [out or 0]
GAIN = 1e-12  # relative; a smaller one is rounding, and going after it need not end
ELEMENTWISE = (
    nn.Identity,
    nn.Flatten,
    nn.Dropout,
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Softplus,
    nn.Softsign,
    nn.Hardtanh,
    nn.Sigmoid,
    nn.Tanh,
)  # which treat all units alike, so that units may change places


@dataclass(frozen=True)
class Layers:
    """Fully connected layers, from the input on: ``weights[l]`` ``[R, out, in]``, ``biases[l]`` ``[R, out or 0]``."""

    weights: list[Array]
    biases: list[Array]

    def of(self, replica: int) -> list[Layer]:
        """Return weight and bias of every layer of one replica."""
        return [(weight[replica], bias[replica]) for weight, bias in zip(self.weights, self.biases, strict=True)]


def layers(network: Network) -> Layers | None:
    """Return a network's fully connected layers, or None if it is not made of them and elementwise functions alone.

    Networks with a stack and ``nn.Sequential`` modules (nested ones too) are seen through.
    """
    names = network.stack.names if network.stack is not None else tuple(_of_module(network.module))
    if not names or any(weight not in network.parameters for weight, _ in names):
        return None
    held = {name for pair in names for name in pair} & network.parameters.keys()
    values = {name: network.parameters[name].double().numpy(force=True) for name in held}
    weights = [values[weight] for weight, _ in names]
    chained = all(first.shape[1] == second.shape[2] for first, second in pairwise(weights))
    if held != network.parameters.keys() or not chained:
        return None
    return Layers(weights, [values.get(bias, weights[0][:, 0, :0]) for _, bias in names])


def matched(found: Layers, p: float = 1.0) -> Array:
    """Return ``((1/P) min sum |a_i - b_i|^p)^(1/p)`` over the order of hidden units, for all pairs, ``[R, R]``."""
    count = len(found.weights[0])
    result = np.zeros((count, count))
    for first, second in combinations(range(count), 2):
        result[first, second] = result[second, first] = distance(found.of(first), found.of(second), p)
    return result


def distance(first: list[Layer], second: list[Layer], p: float) -> float:
    """Return the matched distance of two networks."""
    orders: list[Order] = [np.arange(second[0][0].shape[1])] + [np.arange(len(weight)) for weight, _ in second]
    improved = True
    while improved:
        gains = [_improve(first, second, orders, layer, p) for layer in range(1, len(first))]
        improved = any(gains) and len(gains) > 1  # one layer's best order is found at once
    total = 0.0
    for (weight, bias), (other, other_bias), (inputs, outputs) in zip(first, second, pairwise(orders), strict=True):
        total += float((np.abs(weight - other[np.ix_(outputs, inputs)]) ** p).sum())
        total += float((np.abs(bias - (other_bias[outputs] if bias.size else other_bias)) ** p).sum())
    size = sum(weight.size + bias.size for weight, bias in first)
    return float((total / size) ** (1 / p))


def _improve(first: list[Layer], second: list[Layer], orders: list[Order], level: int, p: float) -> bool:
    """Reorder the second network's units at a level (0: the inputs), the other levels held; tell whether it helped."""
    inputs, outputs = orders[level - 1], orders[level + 1]
    (incoming, bias), (outgoing, _) = second[level - 1], second[level]
    cost = _power_distances(
        _units(*first[level - 1], first[level][0]), _units(incoming[:, inputs], bias, outgoing[outputs]), p
    )
    rows, best = linear_sum_assignment(cost)
    if cost[rows, best].sum() >= (1 - GAIN) * cost[rows, orders[level]].sum():
        return False
    orders[level] = best
    return True


def _units(incoming: Array, bias: Array, outgoing: Array) -> Array:
    """All numbers of each unit, ``[units, numbers]``."""
    return np.hstack([incoming, bias.reshape(len(incoming), -1), outgoing.T])


def _power_distances(first: Array, second: Array, p: float) -> Array:
    if p == 1:
        return cdist(first, second, "cityblock")
    return cdist(first, second, "sqeuclidean") if p == 2 else cdist(first, second, "minkowski", p=p) ** p


def _of_module(module: nn.Module | None, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Names of weight and bias of each linear layer of an ``nn.Sequential``; a name that is none for anything else."""
    if type(module) is not nn.Sequential:
        yield "", ""
        return
    for name, child in module._modules.items():  # named_children would leave out a module's second place
        if type(child) is nn.Sequential:
            yield from _of_module(child, f"{prefix}{name}.")
        elif type(child) is nn.Linear:
            yield f"{prefix}{name}.weight", f"{prefix}{name}.bias"
        elif type(child) not in ELEMENTWISE:
            yield "", ""

"""What makes units in a traced graph: linear layers, and the gains of norms; and what shifts all outputs at once."""

from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from symbreak.probes.symmetry_sets import Members
from symbreak.probes.traced_graph import BATCH_NORMS, operation
from symbreak.probes.traced_units import PRODUCTS, Parameters, View, claim


@dataclass(frozen=True)
class Producer:
    """A node whose output has units: its ``labels`` broadcast to the output, and ``incoming`` what scales each unit.

    ``weight``: the weights as the operation sees them; ``axis``: that of the units in them, None if not all units see
    the same inputs.
    """

    node: Node
    labels: Tensor
    incoming: Members
    weight: View
    axis: int | None = None

    @property
    def layer(self) -> str:
        """The layer's name, by its weights."""
        return self.weight.name.removesuffix(".weight")


def producer(node: Node, parameters: Parameters) -> Producer | None:
    """Return what units a node makes, None if it makes none.

    Raises:
        Broken: If units share a parameter.
    """
    name, args = operation(node), node.args
    if name in PRODUCTS:
        return _product(node, parameters)
    if name == "convolution":
        return _convolution(node, parameters)
    if name in BATCH_NORMS or name == "native_group_norm":
        return _gain(node, parameters, _channels(node), args[1], args[2])
    if name == "native_layer_norm":
        shape: Any = args[1]
        return _gain(node, parameters, torch.arange(prod(shape)).view(shape), args[2], args[3])
    if name in ("mul", "addcmul"):
        return _factor(node, parameters)
    return None


def _product(node: Node, parameters: Parameters) -> Producer | None:
    added, (first, second) = node.args[:-2], node.args[-2:]
    one, two = parameters.of(first), parameters.of(second)
    if (one is None) == (two is None):
        return None
    view, axis = (two, -1) if two else (one, -2)
    assert view is not None
    shape = view.places.shape
    labels = torch.arange(prod(shape) // shape[-3 - axis]).view(
        *shape[:-2], *((1, shape[-1]) if two else (shape[-2], 1))
    )
    incoming: Members = {}
    _claim(incoming, parameters, view, labels)
    if any(not _claim(incoming, parameters, parameters.of(bias), labels) for bias in added):
        return None
    return Producer(node, labels, incoming, view, axis)


def _convolution(node: Node, parameters: Parameters) -> Producer | None:
    view, bias = parameters.of(node.args[1]), parameters.of(node.args[2])
    if view is None or node.args[6] or (bias is None) != (node.args[2] is None):
        return None
    units, incoming = torch.arange(len(view.places)), Members()
    _claim(incoming, parameters, view, units.view(-1, *[1] * (view.places.ndim - 1)))
    if bias is not None:
        _claim(incoming, parameters, bias, units)
    axis = 0 if node.args[8] == 1 else None  # filters of several groups see different inputs
    return Producer(node, units.view(-1, *[1] * (view.places.ndim - 2)), incoming, view, axis)


def _channels(node: Node) -> Tensor:
    value = node.meta["val"][0]
    return torch.arange(value.shape[1]).view(-1, *[1] * (value.ndim - 2))


def _gain(node: Node, parameters: Parameters, labels: Tensor, gain: Any, bias: Any) -> Producer | None:
    view, incoming = parameters.of(gain), Members()
    if view is None or (bias is not None and parameters.of(bias) is None):
        return None
    for seen in (view, parameters.of(bias)):
        _claim(incoming, parameters, seen, labels.view(seen.places.shape) if seen else labels)
    return Producer(node, labels, incoming, view)


def _factor(node: Node, parameters: Parameters) -> Producer | None:
    *added, first, second = node.args
    one, two = parameters.of(first), parameters.of(second)
    view, incoming = one or two, Members()
    if view is None or (one is not None and two is not None):
        return None
    _claim(incoming, parameters, view, view.places)
    for bias in added:
        seen = parameters.of(bias)
        if seen is None:
            return None
        _claim(incoming, parameters, seen, view.places)
    return Producer(node, view.places, incoming, view)


def _claim(incoming: Members, parameters: Parameters, view: View | None, labels: Tensor) -> bool:
    """Claim a parameter; False if it is none."""
    if view is not None:
        claim(incoming, view, labels, parameters.sizes[view.name])
    return view is not None

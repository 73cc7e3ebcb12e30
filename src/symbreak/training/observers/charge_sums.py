"""What Noether charges are made of: sums over the parameters into and out of each unit, now and of the last update.

Of layer ``l``, weights ``[R, out, in]`` and biases ``[R, out]`` (zero if it has none), all float64:

* ``incoming.<l>`` ``[2, R, out]``: ``|w_in|^2`` of each unit with its bias, and the same of the increments;
* ``outgoing.<l - 1>`` ``[2, R, in]``: ``|w_out|^2`` of each unit of the layer before, and of the increments;
* ``shift.<l>`` ``[R, in + 1]``: the weights summed over units, one an input, and last the sum of the biases.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

State = dict[str, Tensor]


class Layer(NamedTuple):
    """A layer's parameters as they were seen last, and where its sums go; an empty tensor for a sum not wanted."""

    weight: Tensor
    bias: Tensor
    incoming: Tensor
    outgoing: Tensor
    shift: Tensor


class ChargeSums:
    """Follows a network's parameters, of which it keeps a copy.

    Args:
        state: ``layers.<i>.weight`` ``[R, out, in]`` and, if there are biases, ``layers.<i>.bias`` ``[R, out]``.
        depth: Number of layers.
    """

    def __init__(self, state: Mapping[str, Tensor], depth: int) -> None:
        self._layers = [_layer(state, layer, depth) for layer in range(depth)]
        self._no_biases = {n: layer.bias for n, layer in enumerate(self._layers) if _bias(n) not in state}
        self._sums = _named(self._layers)
        on_cpu = state[_weight(0)].device.type == "cpu"
        self._follow = _compiled(self._layers) if on_cpu else _plain(self._layers)

    def update(self, state: Mapping[str, Tensor]) -> State:
        """Return the sums of ``state`` and of its increments since it was last seen, overwritten by the next call."""
        for number in range(len(self._layers)):
            bias = self._no_biases.get(number)
            self._follow(number, state[_weight(number)], state[_bias(number)] if bias is None else bias)
        return self._sums


def charges_and_increments(rows: State) -> tuple[State, State]:
    """Take a record of what ``update`` returned apart, ``[T + 1, ...]`` by name; its first row moved nothing.

    Returns:
        ``incoming.<l>``, ``outgoing.<l>``, ``shift.<l>`` and ``bias.<l>`` (``[T + 1, R, 1]``) of the states, and
        ``incoming.<l>`` and ``outgoing.<l>`` of the updates, ``[T, R, n]``.
    """
    charges: State = {}
    increments: State = {}
    for name, row in rows.items():
        if name.startswith("shift."):
            charges[name], charges[name.replace("shift", "bias")] = row[..., :-1], row[..., -1:]
        else:
            charges[name], increments[name] = row[:, 0], row[1:, 1]
    return charges, increments


Follow = Callable[[int, Tensor, Tensor], None]


def _compiled(layers: list[Layer]) -> Follow:
    """One pass over the weights, for the CPU."""
    from symbreak.training.observers import charge_kernel  # numba takes its time to load, and a GPU does without

    places = [tuple(part.numpy() for part in layer) for layer in layers]

    def follow(number: int, weight: Tensor, bias: Tensor) -> None:
        now = (value.detach().contiguous().numpy() for value in (weight, bias))
        charge_kernel.follow(*now, *places[number])

    return follow


def _plain(layers: list[Layer]) -> Follow:
    """The same in torch's words, for any device."""

    def follow(number: int, weight: Tensor, bias: Tensor) -> None:
        layer = layers[number]
        values = torch.stack([weight.double(), weight.double() - layer.weight.double()])
        biases = torch.stack([bias.double(), bias.double() - layer.bias.double()])
        squares = values.square()
        layer.incoming.copy_(squares.sum(3) + biases.square())
        if layer.outgoing.numel():
            layer.outgoing.copy_(squares.sum(2))
        if layer.shift.numel():
            layer.shift.copy_(torch.cat([values[0].sum(1), biases[0].sum(1, keepdim=True)], 1))
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)

    return follow


def _named(layers: list[Layer]) -> State:
    found: State = {}
    for number, layer in enumerate(layers):
        found[f"incoming.{number}"] = layer.incoming
        if layer.outgoing.numel():
            found[f"outgoing.{number - 1}"] = layer.outgoing
        if layer.shift.numel():
            found[f"shift.{number}"] = layer.shift
    return found


def _layer(state: Mapping[str, Tensor], number: int, depth: int) -> Layer:
    weight = state[_weight(number)]
    replicas, units, inputs = weight.shape
    bias = state.get(_bias(number), weight.new_zeros(replicas, units))
    # Only the last two layers carry a translation charge or its control.
    shifts = inputs + 1 if number >= depth - 2 else 0
    sums = ((2, replicas, units), (2, replicas, inputs if number else 0), (replicas, shifts))
    empty = (torch.zeros(shape, dtype=torch.float64, device=weight.device) for shape in sums)
    return Layer(_own(weight), _own(bias), *empty)


def _own(value: Tensor) -> Tensor:
    return value.detach().clone(memory_format=torch.contiguous_format)


def _weight(number: int) -> str:
    return f"layers.{number}.weight"


def _bias(number: int) -> str:
    return f"layers.{number}.bias"

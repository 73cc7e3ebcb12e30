"""What Noether charges are made of: sums over the parameters into and out of each unit, now and of the last update.

Of layer ``l``, weights ``[R, out, in]`` and biases ``[R, out]`` (zero if it has none), all float64:

* ``incoming.<l>`` ``[2, R, out]``: ``|w_in|^2`` of each unit with its bias, and the same of the increments;
* ``outgoing.<l - 1>`` ``[2, R, in]``: ``|w_out|^2`` of each unit of the layer before, and of the increments;
* ``shift.<l>`` ``[R, in + 1]``: the weights summed over units, one an input, and last the sum of the biases.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from symbreak.training.observers.rows import Packed, pack

State = dict[str, Tensor]
Array = NDArray[Any]


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
        self._sums = pack(_shapes(state, depth), state[_weight(0)].device)
        self._layers = [_layer(state, layer, self._sums.named) for layer in range(depth)]
        self._no_biases = {n: layer.bias for n, layer in enumerate(self._layers) if _bias(n) not in state}
        on_cpu = state[_weight(0)].device.type == "cpu"
        self._follow = _compiled(self._layers) if on_cpu else _plain(self._layers)

    def update(self, state: Mapping[str, Tensor]) -> Packed:
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
    now = [(Memory(), Memory()) for _ in layers]

    def follow(number: int, weight: Tensor, bias: Tensor) -> None:
        of_weight, of_bias = now[number]
        charge_kernel.follow(of_weight(weight), of_bias(bias), *places[number])

    return follow


class Memory:
    """The array of a tensor that, as a rule, is the one of the last call with other values, at the same place.

    To ask torch for it takes as long, between two large products, as all sums of a small layer.
    """

    def __init__(self) -> None:
        self._tensor: Tensor | None = None
        self._at = 0
        self._array = np.empty(0)

    def __call__(self, value: Tensor) -> Array:
        """Return the values, C-contiguous: the tensor's own memory if that is, else a copy."""
        if not value.is_contiguous():
            self._tensor = None
            return value.detach().contiguous().numpy()
        if value is not self._tensor or value.data_ptr() != self._at or value.shape != self._array.shape:
            self._array, self._tensor, self._at = value.detach().numpy(), value, value.data_ptr()
        return self._array


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


def _shapes(state: Mapping[str, Tensor], depth: int) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for number in range(depth):
        replicas, units, inputs = state[_weight(number)].shape
        found[f"incoming.{number}"] = (2, replicas, units)
        if number:
            found[f"outgoing.{number - 1}"] = (2, replicas, inputs)
        if number >= depth - 2:  # only the last two layers carry a translation charge or its control
            found[f"shift.{number}"] = (replicas, inputs + 1)
    return found


def _layer(state: Mapping[str, Tensor], number: int, sums: State) -> Layer:
    weight = state[_weight(number)]
    replicas, units, _ = weight.shape
    bias = state.get(_bias(number), weight.new_zeros(replicas, units))
    outgoing = sums.get(f"outgoing.{number - 1}", _nothing(weight, 2, replicas, 0))
    shift = sums.get(f"shift.{number}", _nothing(weight, replicas, 0))
    return Layer(_own(weight), _own(bias), sums[f"incoming.{number}"], outgoing, shift)


def _nothing(like: Tensor, *shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.float64, device=like.device)


def _own(value: Tensor) -> Tensor:
    return value.detach().clone(memory_format=torch.contiguous_format)


def _weight(number: int) -> str:
    return f"layers.{number}.weight"


def _bias(number: int) -> str:
    return f"layers.{number}.bias"

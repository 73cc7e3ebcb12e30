"""The activations of a network's hidden layers, for every sample at once, and how large they can be."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from symbreak.errors import SymbreakError
from symbreak.models.activations import ACTIVATIONS, Activation
from symbreak.models.dense import linear
from symbreak.models.stack import Stack
from symbreak.probes.network import Network

MOST_BYTES = 2**31  # the activations of one set of weights, and what is made of one layer of them
BATCH = 512  # samples that go through a module at once
Bounds = tuple[float, float]


@dataclass(frozen=True)
class Layer:
    """A layer whose activations are measured: its name, its width, and what bounds its activations, if anything."""

    name: str
    width: int
    bounds: Bounds | None


@dataclass(frozen=True)
class Layers:
    """The measured layers in order of execution, and (set of weights) -> their activations, each ``[N, width]``."""

    found: tuple[Layer, ...]
    activations: Callable[[int], list[Tensor]]


def hidden_layers(network: Network, x: Tensor, names: Sequence[str] = ()) -> Layers:
    """Find what is to be measured: a stack's hidden layers, or a module's leaves by forward hooks.

    Args:
        network: A network with a stack or a module.
        x: Inputs ``[N, ...]``.
        names: Leaf modules, or a stack's layers ``layers.<l>``; none: all hidden layers of a stack, of a module
            every call of a module that is an activation function (``torch.nn.ReLU`` ...), which a network that ends in
            one has as its last.

    Raises:
        SymbreakError: If the network has neither stack nor module or no such layers, or their activations need more
            than ``MOST_BYTES``.
    """
    if network.stack is not None:
        layers = _of_stack(network, network.stack, x, names)
    elif network.module is not None:
        layers = _of_module(network, network.module, x, names)
    else:
        raise SymbreakError(
            "information needs the activations of hidden layers, and this network has neither a stack of layers nor "
            "a torch module; give the network as a torch.nn.Module"
        )
    _check_memory(layers.found, len(x), x.element_size())
    return layers


def _of_stack(network: Network, stack: Stack, x: Tensor, names: Sequence[str]) -> Layers:
    hidden = [weight.removesuffix(".weight") for weight, _ in stack.names[:-1]]
    chosen = _chosen(hidden, names, "hidden layers")
    bounds = _stack_bounds(stack.activation)
    widths = (network.parameters[f"{name}.weight"].shape[1] for name in chosen)
    found = tuple(Layer(name, width, bounds) for name, width in zip(chosen, widths, strict=True))
    at = [hidden.index(name) for name in chosen]

    def activations(r: int) -> list[Tensor]:
        every = _through(stack, network, x, r)
        return [every[layer] for layer in at]

    return Layers(found, activations)


@torch.no_grad()
def _through(stack: Stack, network: Network, x: Tensor, r: int) -> list[Tensor]:
    """Return the hidden layers' activations, each ``[N, width]`` with the samples contiguous."""
    h, found = x.flatten(1).T.unsqueeze(0), []
    for layer, (name, bias) in enumerate(stack.names[:-1]):
        b = network.parameters[bias][r : r + 1] if bias in network.parameters else None
        z = linear(network.parameters[name][r : r + 1], b, h)
        if layer == 0 and stack.shift is not None:
            z = z - stack.shift(h)
        h = stack.activation.value(z)
        found.append(h[0].T)
    return found


def _of_module(network: Network, module: nn.Module, x: Tensor, names: Sequence[str]) -> Layers:
    leaves = {name: leaf for name, leaf in module.named_modules() if next(leaf.children(), None) is None}
    functions = [name for name, leaf in leaves.items() if type(leaf).__module__ == nn.ReLU.__module__]
    if not names and not functions:
        raise SymbreakError(
            f"the network has no activation modules (torch.nn.ReLU ...) whose outputs could be read; name leaf modules "
            f"in the option 'layers', of {sorted(leaves)}"
        )
    chosen = {name: leaves[name] for name in (_chosen(list(leaves), names, "leaf modules") if names else functions)}
    first = _recorded(network, chosen, x[:1], 0)
    if not first:
        raise SymbreakError(f"the modules {sorted(chosen)} are not called; name others in the option 'layers'")
    found = tuple(Layer(name, value.shape[1], _module_bounds(chosen[name])) for name, value in first)

    def activations(r: int) -> list[Tensor]:
        filled = [
            x.new_empty((len(x), layer.width), dtype=value.dtype)
            for layer, (_, value) in zip(found, first, strict=True)
        ]
        for start in range(0, len(x), BATCH):
            part = _recorded(network, chosen, x[start : start + BATCH], r)
            for whole, (_, value) in zip(filled, part, strict=True):
                whole[start : start + BATCH] = value
        return filled

    return Layers(found, activations)


@torch.no_grad()
def _recorded(network: Network, modules: dict[str, nn.Module], x: Tensor, r: int) -> list[tuple[str, Tensor]]:
    """Return name and output ``[N, width]`` of every call of the modules, in order."""
    with _recording(modules, len(x)) as calls:
        network.call(network.one(r) | network.held(r), x)
    return calls


@contextmanager
def _recording(modules: dict[str, nn.Module], samples: int) -> Iterator[list[tuple[str, Tensor]]]:
    calls: list[tuple[str, Tensor]] = []

    def hook(name: str) -> Callable[[nn.Module, object, object], None]:
        def record(module: nn.Module, inputs: object, output: object) -> None:
            if not isinstance(output, Tensor) or output.ndim < 2 or len(output) != samples:
                raise SymbreakError(
                    f"the output of module '{name}' is not one tensor [N, ...] of N = {samples} samples; name other "
                    f"leaf modules in the option 'layers'"
                )
            calls.append((name, output.flatten(1).clone()))  # what follows may write in its place

        return record

    handles = [module.register_forward_hook(hook(name)) for name, module in modules.items()]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _chosen(known: list[str], names: Sequence[str], kind: str) -> list[str]:
    unknown = sorted(set(names) - set(known))
    if unknown or not known:
        raise SymbreakError(f"the network has no {kind} {unknown or ''}; it has {sorted(known)}")
    return [name for name in known if not names or name in names]


def _check_memory(layers: Sequence[Layer], samples: int, itemsize: int) -> None:
    widths = [layer.width for layer in layers]
    needed = samples * (itemsize * sum(widths) + 3 * 8 * max(widths))
    if needed > MOST_BYTES:
        raise SymbreakError(
            f"the activations of {samples} samples need {needed / 2**30:.1f} GiB, expected at most "
            f"{MOST_BYTES / 2**30:.1f}; use fewer samples, or fewer layers by the option 'layers'"
        )


def _stack_bounds(activation: Activation) -> Bounds | None:
    known = {"tanh": (-1.0, 1.0), "erf": (-1.0, 1.0), "sigmoid": (0.0, 1.0)}
    return next((bounds for name, bounds in known.items() if ACTIVATIONS[name] is activation), None)


def _module_bounds(module: nn.Module) -> Bounds | None:
    if isinstance(module, nn.Hardtanh):  # and ReLU6
        return float(module.min_val), float(module.max_val)
    if isinstance(module, nn.Tanh | nn.Softsign):
        return -1.0, 1.0
    if isinstance(module, nn.Sigmoid | nn.Hardsigmoid | nn.Softmax):
        return 0.0, 1.0
    return None

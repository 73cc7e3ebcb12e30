"""Which numbers of a traced graph belong to which unit of a layer, and where a unit's scale ends.

Every activation carries a label a number, the unit that it is proportional to. Labels go through the graph as the
numbers do: a view is taken of the labels, a positively homogeneous function keeps them. A path ends well in a
norm (``Flow.merged``) or in the weights of the next linear layer (``Flow.outgoing``), and badly (``Broken``) anywhere
else, in a sum with another activation for instance.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.fx import Node

from symbreak.probes.symmetry_sets import Members
from symbreak.probes.traced_graph import BATCH_NORMS, Traced, operation

COPIES = frozenset({"alias", "clone", "detach", "contiguous", "_to_copy"})
RESHAPES = frozenset({"view", "_unsafe_view", "reshape"})
VIEWS = COPIES | RESHAPES | {"permute", "t", "transpose", "expand", "squeeze", "unsqueeze", "select", "slice"}
HOMOGENEOUS = frozenset({"relu", "leaky_relu", "rrelu_with_noise", "_prelu_kernel", "abs", "neg"})
POOLS = frozenset(
    {"max_pool2d_with_indices", "max_pool3d_with_indices", "avg_pool2d", "avg_pool3d"}
    | {"_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_max_pool2d", "adaptive_max_pool3d"}
)
SHAPES = frozenset({"new_zeros", "new_ones", "new_empty", "new_full", "zeros_like", "ones_like", "empty_like"})
PRODUCTS = frozenset({"mm", "bmm", "addmm", "baddbmm"})
NORMS = BATCH_NORMS | {"native_layer_norm", "native_group_norm"}
BREAKING = frozenset(
    {"add", "sub", "addcmul", "mul", "div", "convolution", "output", "pow", "clamp", "threshold"}
    | {"tanh", "sigmoid", "erf", "exp", "log", "sin", "cos", "gelu", "silu", "elu", "mish", "softplus"}
    | {"hardtanh", "hardswish", "hardsigmoid", "_softmax", "_log_softmax"}
    | PRODUCTS
)


class View(NamedTuple):
    """A parameter as an operation sees it: ``places`` says which of its numbers stands where."""

    name: str
    places: Tensor


class Broken(Exception):
    """A unit's scale does not end well; ``str`` is the operation at which it does not."""


class Parameters:
    """The parameters' views in a graph, and how many operations use each parameter."""

    def __init__(self, traced: Traced) -> None:
        self._views: dict[Node, View] = {}
        self.uses: dict[str, int] = dict.fromkeys(traced.named.values(), 0)
        self.sizes: dict[str, int] = {}
        for node, name in traced.named.items():
            value = node.meta["val"]
            self._views[node] = View(name, torch.arange(value.numel()).view(value.shape))
            self.sizes[name] = value.numel()
        for node in traced.module.graph.nodes:
            self._follow(node)

    def of(self, node: Any) -> View | None:
        """Return what a node is a view of, or None."""
        return self._views.get(node) if isinstance(node, Node) else None

    def _follow(self, node: Node) -> None:
        if operation(node) in VIEWS and (seen := self.of(node.args[0])):
            self._views[node] = View(seen.name, viewed(node, seen.places))
            return
        for source in node.all_input_nodes:
            if seen := self.of(source):
                self.uses[seen.name] += 1


def claim(members: Members, view: View | None, labels: Tensor, size: int) -> None:
    """Give a parameter's numbers their unit.

    Raises:
        Broken: If it is no parameter, or one of its numbers would have two units.
    """
    if view is None:
        raise Broken("an operand that is no parameter")
    index, wanted = torch.broadcast_tensors(view.places, labels)
    vector = members.setdefault(view.name, torch.full((size,), -1))
    vector[index.reshape(-1)] = wanted.reshape(-1)
    if not torch.equal(vector[index], wanted):
        raise Broken("a parameter that several units share")


class Flow:
    """The way of one producer's units through the graph.

    Attributes:
        incoming: What scales with the units.
        outgoing: What must scale inversely.
        merged: Labels ``[groups, k]``; those in a row are normalised together and can only scale together.
    """

    def __init__(self, parameters: Parameters, start: Node, labels: Tensor, incoming: Members) -> None:
        self._parameters = parameters
        self._labels: dict[Node, Tensor] = {start: labels.expand(shape_of(start))}
        self.incoming, self.outgoing = incoming, Members()
        self.merged: list[Tensor] = []

    def run(self, nodes: list[Node]) -> None:
        """Follow the units through ``nodes``, those after the start in order.

        Raises:
            Broken: A path does not end well.
        """
        for node in nodes:
            if any(source in self._labels for source in node.all_input_nodes):
                self._through(node)

    def _through(self, node: Node) -> None:
        name = operation(node)
        if name in VIEWS:
            self._keep(node, viewed(node, self._of(node.args[0])))
        elif name == "getitem":
            self._item(node)
        elif name in HOMOGENEOUS:
            self._keep(node, self._of(node.args[0]))
        elif name in POOLS:
            self._keep(node, uniform(self._of(node.args[0]), 2).expand(shape_of(node)))
        elif name in ("mean", "sum"):
            self._keep(node, reduced(node, self._of(node.args[0])))
        elif name in NORMS:
            self.merged.append(normalised(node, self._of(node.args[0])))
        elif name in SHAPES:
            return  # what only takes the shape does not scale
        elif handler := self._handlers.get(name):
            handler(self, node)
        else:
            raise Broken(name)

    def _keep(self, node: Node, labels: Tensor) -> None:
        self._labels[node] = labels

    def _of(self, node: Any) -> Tensor:
        """The labels of an operand that must have some."""
        if node not in self._labels:
            raise Broken("an operand that does not scale")
        return self._labels[node]

    def _item(self, node: Node) -> None:
        if node.args[1] != 0:
            raise Broken("a second output")
        self._keep(node, self._of(node.args[0]))

    def _labelled(self, *operands: Any) -> list[bool]:
        return [isinstance(operand, Node) and operand in self._labels for operand in operands]

    def _add(self, node: Node) -> None:
        self._sum(node, node.args[0], node.args[1])

    def _sum(self, node: Node, first: Any, second: Any) -> None:
        one, two = self._labelled(first, second)
        if one and two:
            labels, others = torch.broadcast_tensors(self._of(first), self._of(second))
            if not torch.equal(labels, others):
                raise Broken(operation(node))
        else:
            labels, other = self._of(first if one else second).expand(shape_of(node)), second if one else first
            self._take(other, labels, operation(node))
        self._keep(node, labels)

    def _take(self, bias: Any, labels: Tensor, what: str) -> None:
        view = self._parameters.of(bias)
        if view is None:
            raise Broken(what)
        claim(self.incoming, view, labels, self._parameters.sizes[view.name])

    def _multiply(self, node: Node) -> None:
        one, two = self._labelled(node.args[0], node.args[1])
        if (one and two) or (two and operation(node) == "div"):
            raise Broken(operation(node))
        self._keep(node, self._of(node.args[0 if one else 1]).expand(shape_of(node)))

    def _addcmul(self, node: Node) -> None:
        bias, *factors = node.args
        if self._labelled(bias, *factors) not in ([False, True, False], [False, False, True]):
            raise Broken("addcmul")
        labels = next(self._of(f) for f, known in zip(factors, self._labelled(*factors), strict=True) if known)
        self._take(bias, labels.expand(shape_of(node)), "addcmul")
        self._keep(node, labels.expand(shape_of(node)))

    def _product(self, node: Node) -> None:
        *added, first, second = node.args[-2:] if len(node.args) == 2 else node.args[:3]
        one, two = self._labelled(first, second)
        if (one and two) or any(self._labelled(*added)):
            raise Broken(operation(node))
        labels, other = self._of(first if one else second), second if one else first
        across = constant(labels, -2 if one else -1)
        self._give(other, across.transpose(-1, -2), operation(node))

    def _give(self, weight: Any, labels: Tensor, what: str) -> None:
        view = self._parameters.of(weight)
        if view is None:
            raise Broken(what)
        claim(self.outgoing, view, labels, self._parameters.sizes[view.name])

    def _convolution(self, node: Node) -> None:
        args: Any = node.args
        x, weight, bias, transposed, groups = (args[place] for place in (0, 1, 2, 6, 8))
        view = self._parameters.of(weight)
        if transposed or any(self._labelled(weight, bias)) or view is None:
            raise Broken("convolution")
        channels = constant(uniform(self._of(x), 2), 0).reshape(groups, 1, -1, 1)
        blocks = view.places.flatten(2).unflatten(0, (groups, -1))
        claim(self.outgoing, View(view.name, blocks), channels, self._parameters.sizes[view.name])

    _handlers: Mapping[str, Callable[["Flow", Node], None]] = {
        "add": _add,
        "sub": _add,
        "mul": _multiply,
        "div": _multiply,
        "addcmul": _addcmul,
        "convolution": _convolution,
        **dict.fromkeys(PRODUCTS, _product),
    }


def shape_of(node: Node) -> torch.Size:
    """Return the shape of a node's (first) output."""
    value = node.meta["val"]
    shape: torch.Size = (value[0] if isinstance(value, tuple | list) else value).shape
    return shape


def viewed(node: Node, of: Tensor) -> Tensor:
    """Return what a view makes of labels or places of its operand's shape."""
    if operation(node) in COPIES:
        return of
    if operation(node) in RESHAPES:  # expanded labels have other strides
        shape: Any = node.args[1]
        return of.reshape(shape)
    target: Any = node.target
    found: Tensor = target(of, *node.args[1:], **node.kwargs)
    return found


def constant(labels: Tensor, dim: int) -> Tensor:
    """Return labels with one place left along ``dim``.

    Raises:
        Broken: They change along it.
    """
    first = labels.narrow(dim, 0, 1)
    if not torch.equal(first.expand_as(labels), labels):
        raise Broken("numbers of several units in one sum")
    return first


def uniform(labels: Tensor, start: int) -> Tensor:
    """Return labels with one place left along the axes from ``start`` on; as ``constant``."""
    for dim in range(start, labels.ndim):
        labels = constant(labels, dim)
    return labels


def reduced(node: Node, labels: Tensor) -> Tensor:
    """Return the labels of a mean or sum; as ``constant``."""
    dims: Any = node.args[1] if len(node.args) > 1 else range(labels.ndim)
    for dim in dims:
        labels = constant(labels, dim)
    return labels.reshape(shape_of(node))


def normalised(node: Node, labels: Tensor) -> Tensor:
    """Return labels ``[groups, k]`` of numbers that are normalised together."""
    args: Any = node.args
    if operation(node) == "native_layer_norm":
        return labels.flatten(-len(args[1])).flatten(0, -2)
    if operation(node) == "native_group_norm":
        return labels.reshape(labels.shape[0] * args[6], -1)
    return labels.transpose(0, 1).flatten(1)

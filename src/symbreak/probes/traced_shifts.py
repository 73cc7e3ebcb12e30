"""Parameters whose common shift moves all outputs of a sample by one number, which a softmax does not see.

For a last linear layer: the weights from one input feature to all classes (one shift a feature), and the biases
(Kunin et al., arXiv:2012.04728, sec. 3.1). Between the layer and the output only what passes a common shift on may
stand: views, sums, means, products with numbers.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.fx import Node

from symbreak.probes.symmetry_sets import Members, SymmetrySet
from symbreak.probes.traced_graph import operation
from symbreak.probes.traced_producers import Producer
from symbreak.probes.traced_units import VIEWS, Broken, Parameters, claim, constant, reduced, shape_of, uniform, viewed

MEANS = frozenset({"avg_pool2d", "_adaptive_avg_pool2d"})


def shifts(made: Producer, parameters: Parameters, nodes: list[Node]) -> Iterator[SymmetrySet]:
    """Yield the translations of a layer's weights and of its biases, nothing if its units are not the classes.

    Args:
        made: The layer.
        parameters: The graph's parameters.
        nodes: The nodes after it, in order.
    """
    if not _reach_the_classes(made, nodes):
        return
    weight = made.weight.name
    if made.axis is not None:
        places = made.weight.places.movedim(made.axis, -1).flatten(0, -2)
        features, members = torch.arange(len(places)), Members()
        claim(members, made.weight._replace(places=places), features[:, None], parameters.sizes[weight])
        yield SymmetrySet("translation", weight, len(places), members)
    for name, labels in made.incoming.items():
        if name != weight or made.axis is None:
            yield SymmetrySet("translation", name, 1, {name: labels.clamp(max=0)})


def added(node: Node, parameters: Parameters) -> Producer | None:
    """Return the biases that a sum adds, whose units are its own numbers; None if it adds none."""
    for operand in node.args[:2] if operation(node) == "add" else ():
        if view := parameters.of(operand):
            labels = torch.arange(parameters.sizes[view.name])
            return Producer(node, view.places, {view.name: labels}, view)
    return None


def _reach_the_classes(made: Producer, nodes: list[Node]) -> bool:
    """Whether each class of the output is one unit and more or less than no other's."""
    known = {made.node: made.labels.expand(shape_of(made.node))}
    try:
        for node in nodes:
            sources = [source for source in node.all_input_nodes if source in known]
            if sources and node.op == "output":
                return _are_classes(known[sources[0]], made.labels.numel())
            if sources:
                known[node] = _passed(node, [known[source] for source in sources])
    except Broken:
        return False
    return False


def _passed(node: Node, labels: list[Tensor]) -> Tensor:
    """The labels of what passes a common shift on.

    Raises:
        Broken: It does not.
    """
    name = operation(node)
    alone = len(node.all_input_nodes) == 1
    if name in VIEWS:
        return viewed(node, labels[0])
    if len(labels) == 1 and (name == "add" or (alone and name in ("mul", "div"))):
        return labels[0].expand(shape_of(node))
    if name == "mean":
        return reduced(node, labels[0])
    if name in MEANS:
        return uniform(labels[0], 2).expand(shape_of(node))
    raise Broken(name)


def _are_classes(labels: Tensor, units: int) -> bool:
    if labels.ndim != 2 or labels.shape[1] != units:
        return False
    return len(constant(labels, 0).unique()) == units

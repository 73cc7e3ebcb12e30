"""Translation, scale and rescale symmetries of a network, found in its traced graph and verified on its loss.

* translation: a common shift of the last layer's weights over classes, with cross-entropy (one a feature; biases);
* scale: what a norm undoes (BatchNorm: one a filter or unit; LayerNorm, GroupNorm: one a group that is normalised
  together);
* rescale: what the next linear layer undoes across positively homogeneous functions (ReLU, poolings ...); the pairs
  start at linear layers and at the gains of norms.

Kunin et al., arXiv:2012.04728, sec. 3. What the graph suggests is reported only if the training loss, in float64,
stays the same when all units of the set are moved by random amounts, and if its finite difference along the group
vanishes. A norm's epsilon breaks scale symmetry a little: the test is made without it, and how much it breaks it is
``Found.breaking``.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor
from torch.fx import Node

from symbreak.errors import SymbreakError
from symbreak.probes.network import Data, Network
from symbreak.probes.symmetry_sets import Members, SymmetrySet
from symbreak.probes.traced_graph import Traced, doubled, gradient, trace, training_loss
from symbreak.probes.traced_producers import Producer, producer
from symbreak.probes.traced_shifts import added, shifts
from symbreak.probes.traced_units import BREAKING, Broken, Flow, Parameters
from symbreak.seeding import derive
from symbreak.theory.noether import Symmetry
from symbreak.training.losses import LOSSES

INVARIANCE = 1e-10  # largest relative change of the loss under a symmetry
SAMPLES = 32  # the loss is that of one batch of this size
AMOUNT = 0.3  # standard deviation of the group's logarithm (scale, rescale) or, of a shift, in the weights' unit
STEP = 1e-2  # of finite differences, relative to AMOUNT
ROUNDING = 64  # units in the last place of the largest output that a loss close to zero may be off


@dataclass
class Found:
    """Verified sets, by name; how much each unit's symmetry is broken by epsilon; what failed."""

    sets: list[SymmetrySet] = field(default_factory=list)
    breaking: dict[str, Tensor] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def find_symmetries(network: Network, data: Data, *, seed: int, loss: str = "cross_entropy") -> Found:
    """Find the symmetries of a network's training loss.

    Args:
        network: Its first and last set of weights are those on which the symmetries are verified.
        data: The first ``SAMPLES`` rows are used.
        seed: Of the random moves along the groups.
        loss: ``cross_entropy`` or ``mse``.

    Returns:
        The sets; ``breaking``: name -> ``[units]``, the largest cosine between the loss's gradient and the group's
        direction at the verified weights, zero for an exact symmetry.

    Raises:
        SymbreakError: An unknown loss, too few samples, NaN or infinity, or a network that cannot be traced.
    """
    _check(network, data, loss)
    batch = Data(data.x[:SAMPLES], data.y[:SAMPLES])
    traced = trace(network, batch.x)
    found = Found()
    generator = torch.Generator().manual_seed(derive(seed, "symmetries"))
    test = _Test(traced, network, batch, loss, generator)
    for candidate in candidates(traced, loss, found.warnings):
        if failure := test.failure(candidate):
            found.warnings.append(f"{candidate.name} looks like a symmetry in the graph, but {failure}: left out")
            continue
        found.sets.append(candidate)
        found.breaking[candidate.name] = test.breaking(candidate)
    return found


def candidates(traced: Traced, loss: str, warnings: list[str]) -> Iterator[SymmetrySet]:
    """Yield the sets that a graph suggests, in its order; operations that are not known are added to ``warnings``."""
    parameters, nodes = Parameters(traced), list(traced.module.graph.nodes)
    for place, node in enumerate(nodes):
        after = nodes[place + 1 :]
        made = _made(node, parameters)
        shifted = (made or added(node, parameters)) if loss == "cross_entropy" else None
        suggested = [_followed(made, parameters, after, warnings)] if made else []
        suggested += shifts(shifted, parameters, after) if shifted else []
        yield from (s for s in suggested if s and all(parameters.uses[name] == 1 for name in s.parameters))


def _made(node: Node, parameters: Parameters) -> Producer | None:
    try:
        return producer(node, parameters)
    except Broken:
        return None


def _followed(made: Producer, parameters: Parameters, after: list[Node], warnings: list[str]) -> SymmetrySet | None:
    """The scale or rescale set of a layer's units, None if their scale changes the loss."""
    flow = Flow(parameters, made.node, made.labels, dict(made.incoming))
    try:
        flow.run(after)
    except Broken as broken:
        if (name := str(broken)).isidentifier() and name not in BREAKING:
            warnings.append(
                f"'{name}' follows the units of '{made.layer}'; whether it keeps a scale is not known, so no scale or "
                f"rescale symmetry is looked for there"
            )
        return None
    if not flow.merged and not flow.outgoing:
        return None
    return _merged(made, flow)


def _merged(made: Producer, flow: Flow) -> SymmetrySet:
    """Join the units that can only scale together."""
    count = made.labels.numel()
    pairs = [torch.stack([rows[:, :1].expand_as(rows), rows]).flatten(1).unique(dim=1) for rows in flow.merged]
    first, second = torch.cat(pairs, 1).numpy() if pairs else np.empty((2, 0), dtype=np.int64)
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(count, count))
    units, group = connected_components(graph, directed=False)
    joined = torch.cat([torch.from_numpy(group).long(), torch.tensor([-1])])

    def relabelled(members: Members) -> Members:
        return {name: joined[labels] for name, labels in members.items()}

    symmetry: Symmetry = "rescale" if flow.outgoing else "scale"
    return SymmetrySet(symmetry, made.layer, int(units), relabelled(flow.incoming), relabelled(flow.outgoing))


class _Test:
    """Tries candidates on the first and the last set of weights."""

    def __init__(self, traced: Traced, network: Network, batch: Data, loss: str, generator: torch.Generator) -> None:
        self._traced, self._batch, self._loss, self._generator = traced, batch, loss, generator
        moments = sorted({0, network.count - 1})
        self._states = [doubled(network, r) for r in moments]
        self._outputs = [float(network.call(state, batch.x.double()).detach().abs().max()) for state in self._states]
        self._gradients = [gradient(traced, state, list(network.parameters), batch, loss) for state in self._states]

    def failure(self, candidate: SymmetrySet) -> str | None:
        """Return why a candidate is no symmetry, None if it is one."""
        amounts = AMOUNT * torch.randn(candidate.units, dtype=torch.float64, generator=self._generator)
        for state, largest in zip(self._states, self._outputs, strict=True):
            here, there, ahead, behind = (
                self._value(candidate.act(state, factor * amounts)) for factor in (0.0, 1.0, STEP, -STEP)
            )
            allowed = max(INVARIANCE * abs(here), ROUNDING * np.finfo(np.float64).eps * max(largest, 1.0))
            if not abs(there - here) <= allowed:
                return f"moving along it changes the loss from {here:.6g} to {there:.6g}"
            slope = (ahead - behind) / (2 * STEP)
            if not abs(slope) <= allowed / STEP:
                return f"the loss changes at the rate {slope:.3g} along it"
        return None

    def breaking(self, candidate: SymmetrySet) -> Tensor:
        """Return the largest |cosine| of gradient and group, ``[units]``, of the loss with epsilon."""
        found = []
        for state, slope in zip(self._states, self._gradients, strict=True):
            way = candidate.direction(state)
            length = (candidate.dots(way, way) * candidate.dots(slope, slope)).sqrt()
            found.append(torch.where(length > 0, candidate.dots(slope, way).abs() / length, 0.0))
        return torch.stack(found).amax(0)

    @torch.no_grad()
    def _value(self, state: dict[str, Tensor]) -> float:
        return float(training_loss(self._traced, state, self._batch, self._loss, eps=False))


def _check(network: Network, data: Data, loss: str) -> None:
    if loss not in LOSSES:
        raise SymbreakError(f"expected a loss of {sorted(LOSSES)}, found '{loss}'; choose one of them")
    if len(data.x) < 2:
        raise SymbreakError(f"expected at least 2 samples, found {len(data.x)}; give more data")
    if not (bool(data.x.isfinite().all()) and all(bool(v.isfinite().all()) for v in network.parameters.values())):
        raise SymbreakError("expected finite inputs and weights, found NaN or infinity; remove them")

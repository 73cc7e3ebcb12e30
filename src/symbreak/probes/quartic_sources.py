"""Where the correlators of a quartic coupling come from: exact, from sampled neurons, or from sampled networks.

``exact``: closed forms. ``neurons``: one neuron's sampled moments, with which width and output weights are exact
(Gauss-nets tilted, so that tails are reached). ``networks``: plain means over networks, as the papers have it.
sigma_w = 1.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from symbreak.errors import SymbreakError
from symbreak.probes.npoint_sampling import Ensemble, neuron_moments, sample
from symbreak.probes.source import Source
from symbreak.seeding import derive
from symbreak.theory.correlators import (
    Neuron,
    connected_four_of_moments,
    connected_six_of_moments,
    moments,
    two_point,
)
from symbreak.theory.quartic import six_point_first_order
from symbreak.theory.relu_moments import moments_relu
from symbreak.theory.wick import wick

Array = NDArray[np.float64]
Moments = dict[int, Array]
Labels = dict[str, int]
Method = Literal["exact", "neurons", "networks"]


@dataclass(frozen=True)
class Nets:
    """One architecture, and how its correlators are obtained: ``draws`` networks or neurons a seed, 0 if exact.

    Raises:
        SymbreakError: ``method`` and ``draws`` do not belong together.
    """

    neuron: Neuron
    width: int
    sigma_b: float
    method: Method
    draws: int

    def __post_init__(self) -> None:
        if self.method not in ("exact", "neurons", "networks") or (self.method == "exact") != (self.draws == 0):
            raise SymbreakError(
                f"expected 'method' exact with 'draws' 0, or neurons or networks with 'draws' above 0, found "
                f"'{self.method}' with {self.draws}"
            )


def correlators(source: Source, nets: Nets, x: Array, largest: Literal[4, 6]) -> Iterator[tuple[Labels, Moments]]:
    """Yield the correlators G2, G4 and, if it is the ``largest``, G6 at points [P, d]: of every seed, or once if exact.

    Args:
        source: Gives the seeds; experiment and arm name the stream, so that arms are independent of each other.
        nets: The architecture.
        x: Points [P, d].
        largest: Largest order.

    Yields:
        The row's labels (``seed``, none if exact) and the correlators, order -> ``[E]``.

    Raises:
        SymbreakError: No closed form for exact ones: ReLU-nets with biases or above 3 dimensions.
    """
    orders = tuple(range(2, largest + 1, 2))
    if nets.method == "exact":
        yield {}, _of_moments({order: _moments(nets, x, order) for order in orders}, nets, len(x))
        return
    for seed in source.seeds:
        stream = derive(seed, source.spec.experiment, source.spec.arm)
        yield {"seed": seed}, _sampled(nets, stream, x, orders)


def kernel(nets: Nets, x: Array) -> Array:
    """Return the exact K ``[E_2]``, which is the 2-point function at every width."""
    return two_point(nets.neuron, x, 1.0, nets.sigma_b)


def _moments(nets: Nets, x: Array, order: int) -> Array:
    if nets.neuron == "relu" and nets.sigma_b == 0 and x.shape[1] > 1:
        return moments_relu(x, order)
    return moments(nets.neuron, x, order, 1.0, nets.sigma_b)


def _sampled(nets: Nets, stream: int, x: Array, orders: tuple[int, ...]) -> Moments:
    tilted = nets.method == "neurons" and nets.neuron == "gauss"
    ensemble = Ensemble(nets.neuron, nets.width, sigma_b=nets.sigma_b, seed=stream, tilted=tilted)
    if nets.method == "neurons":
        return _of_moments(neuron_moments(ensemble, x, nets.draws, orders).mean(), nets, len(x))
    return {order: found[0] for order, found in sample(ensemble, x, nets.draws, orders).mean().items()}


def _of_moments(m: Moments, nets: Nets, points: int) -> Moments:
    """Correlators of networks whose neurons have the moments ``m``."""
    g2 = nets.sigma_b**2 + m[2]
    four = connected_four_of_moments(m[2], m[4], points, nets.width)
    found = {2: g2, 4: wick(g2, points, 4) + four}
    if 6 in m:
        six = connected_six_of_moments(m[2], m[4], m[6], points, nets.width)
        found[6] = six_point_first_order(g2, four, points) + six
    return found

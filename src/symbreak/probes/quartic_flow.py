"""The quartic coupling lambda_m = Delta G4 / T0 of every quadruple of inputs against the cutoff (catalogue, Q6).

As the code of arXiv:2008.08601 (rg.py) has it, but for its rounding of log10 of the cutoff to two decimals.
Dimensionless; sign as in ``symbreak.theory.quartic``.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from symbreak.probes.quartic_sources import Method, Nets, correlators
from symbreak.probes.source import Source
from symbreak.theory.correlators import Neuron
from symbreak.theory.quartic import Domain, integrals, propagator
from symbreak.theory.wick import connected_four


def probe(
    source: Source,
    *,
    neuron: Neuron,
    width: int,
    sigma_b: float,
    points: Sequence[Sequence[float]],
    cutoffs: Sequence[float],
    scale: float | None,
    method: Method,
    draws: int,
) -> pd.DataFrame:
    """Measure the coupling at every cutoff; each integral is computed at its own cutoff.

    Args:
        source: Gives the seeds of sampled correlators.
        neuron: ``gauss``, ``erf`` or ``relu``.
        width: Number of neurons N.
        sigma_b: Standard deviation of the biases, of networks and integrals.
        points: Inputs [P, d], d at most 3.
        cutoffs: L of the integrals' domain [-L, L]^d.
        scale: Length over which the kernel changes along a ray; None: it has none (ReLU without bias).
        method: ``exact``, ``neurons`` or ``networks``.
        draws: Neurons or networks a seed; 0 if exact.

    Returns:
        One row a (seed,) cutoff and quadruple (``element``, its place in ``multisets``): ``dimension``, ``coupling``.
    """
    nets, x = Nets(neuron, width, sigma_b, method, draws), np.array(points, dtype=np.float64)
    count, dimension = x.shape
    legs = propagator(neuron, x, sigma_b)
    local = [integrals(legs, count, dimension, Domain(cutoff, scale)).local for cutoff in cutoffs]
    parts = []
    for labels, g in correlators(source, nets, x, 4):
        delta4 = connected_four(g[2], g[4], count)
        for cutoff, t0 in zip(cutoffs, local, strict=True):
            values = {"element": np.arange(len(t0)), "coupling": delta4 / t0}
            parts.append(pd.DataFrame(labels | {"dimension": dimension, "cutoff": float(cutoff)} | values))
    return pd.concat(parts, ignore_index=True)

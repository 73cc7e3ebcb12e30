"""6-point functions predicted from the quartic coupling, over the networks' own, at every cutoff (catalogue, Q7).

Measured, mean over sextuples of inputs (dimensionless): GP/G6 with the Gaussian process' GP = sum_15 K K K, and
(GP + lambda term)/G6 with sum_15 K lambda_0 T0 (code of arXiv:2008.08601, six_pt_prediction.py; sign as in
``symbreak.theory.quartic``). K is exact, Delta G4 and G6 are those of the networks.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from symbreak.errors import SymbreakError
from symbreak.probes.quartic_sources import Method, Nets, correlators, kernel
from symbreak.probes.source import Source
from symbreak.theory.correlators import Neuron
from symbreak.theory.quartic import Domain, integrals, propagator, six_point_first_order
from symbreak.theory.quartic_fit import fit
from symbreak.theory.wick import connected_four, wick

Array = NDArray[np.float64]


def probe(
    source: Source,
    *,
    neuron: Neuron,
    width: int,
    sigma_b: float,
    points: Sequence[float],
    cutoffs: Sequence[float],
    reference: float,
    scale: float | None,
    method: Method,
    draws: int,
) -> pd.DataFrame:
    """Predict the 6-point function at one-dimensional inputs.

    Args:
        source: Gives the seeds of sampled correlators.
        neuron: ``gauss``, ``erf`` or ``relu``.
        width: Number of neurons N.
        sigma_b: Standard deviation of the biases.
        points: Inputs, of one dimension.
        cutoffs: L of the integrals' domain [-L, L].
        reference: The cutoff, one of these, whose coupling ``frozen`` keeps.
        scale: Length over which the kernel changes; None: it has none (ReLU without bias).
        method: ``exact``, ``neurons`` or ``networks``.
        draws: Neurons or networks a seed; 0 if exact.

    Returns:
        One row a (seed,) cutoff: ``coupling`` (least squares over quadruples), ``gaussian`` = GP/G6, ``fitted`` with
        it, ``own`` with each quadruple's own coupling Delta G4/T0 (so that nothing is predicted), and
        ``frozen`` with the coupling fitted at ``reference``.

    Raises:
        SymbreakError: ``reference`` is not among the cutoffs.
    """
    if reference not in cutoffs:
        raise SymbreakError(f"expected 'reference' to be one of 'cutoffs' {list(cutoffs)}, found {reference}")
    nets, x = Nets(neuron, width, sigma_b, method, draws), np.array(points)[:, None]
    legs = propagator(neuron, x, sigma_b)
    local = {cutoff: integrals(legs, len(x), 1, Domain(cutoff, scale)).local for cutoff in cutoffs}
    k = kernel(nets, x)
    rows = []
    for labels, g in correlators(source, nets, x, 6):
        delta4 = connected_four(g[2], g[4], len(x))
        coupling = {cutoff: float(fit(t0[None], delta4, len(x)).couplings[0]) for cutoff, t0 in local.items()}
        for cutoff, t0 in local.items():
            fours = {"fitted": coupling[cutoff] * t0, "own": delta4, "frozen": coupling[reference] * t0}
            ratios = {name: _ratio(six_point_first_order(k, four, len(x)), g[6]) for name, four in fours.items()}
            gaussian = {"gaussian": _ratio(wick(k, len(x), 6), g[6])}
            rows.append(labels | {"cutoff": float(cutoff), "coupling": coupling[cutoff]} | gaussian | ratios)
    return pd.DataFrame(rows)


def _ratio(predicted: Array, measured: Array) -> float:
    return float((predicted / measured).mean())

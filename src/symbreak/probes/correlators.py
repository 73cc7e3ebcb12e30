"""Connected 4- and 6-point functions of nets at initialisation against their width (arXiv:2008.08601).

Measured over sampled nets, relative to a Gaussian field with the net's kernel K, means over all multisets of points:

    m4  = G4_c / sum_3 K K                              deviation of the 4-point function
    m6c = G6_c / sum_15 K K K                           connected 6-point function
    m6  = (sum_15 K G4_c + G6_c) / sum_15 K K K         deviation of the 6-point function

dimensionless and signed. G2 = K at every width (target Q1, measured by the probe ``two_point``), so that G4 and G6
deviate by nothing else. Estimators of G4_c and G6_c:

* ``plain``: means over nets of products of f, as in the paper. For Gauss-nets it measures the sampler's tail.
* ``conditional``: W1 and b1 integrated out (``npoint_conditional``); Gauss-nets are drawn tilted.
* ``tied``: ``conditional`` for nets whose N neurons are all the same one, a control: sum_j W1_j s = w s with
  w ~ N(0, sigma_w^2) at every width, so that nothing falls with it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from symbreak.probes.npoint_conditional import connected
from symbreak.probes.npoint_moments import LEAST_BLOCKS
from symbreak.probes.npoint_options import located, named, sized
from symbreak.probes.npoint_sampling import Ensemble, sample
from symbreak.probes.source import Source
from symbreak.seeding import derive
from symbreak.theory.correlators import connected_four_point, connected_six_point, two_point
from symbreak.theory.wick import connected_four, connected_six, splits, wick

Array = NDArray[np.float64]
Deviations = dict[str, float]
COLUMNS = ("m4", "m6", "m6c")


def probe(
    source: Source,
    *,
    neuron: str,
    points: Sequence[Sequence[float]],
    sigma_b: float,
    plain: Sequence[tuple[int, int]],
    conditional: Sequence[tuple[int, int]],
    tied: Sequence[tuple[int, int]],
) -> pd.DataFrame:
    """Sample nets with sigma_w = 1 and measure how far they are from a Gaussian field.

    Args:
        source: Gives the seeds, independent ensembles a seed, estimator and width.
        neuron: ``gauss``, ``erf`` or ``relu``.
        points: Inputs [P, d] at which the nets are evaluated.
        sigma_b: Standard deviation of the biases (ReLU-net has 0).
        plain: Pairs (width N, number of nets).
        conditional: Pairs (width N, number of nets).
        tied: Pairs (width N, number of nets).

    Returns:
        One row a (seed, estimator, width): ``nets``, ``m4``, ``m6``, ``m6c``, and what theory gives for them, exactly
        at this width, ``m4_exact``, ``m6_exact``, ``m6c_exact`` (null for ReLU-nets with bias, which have no closed
        form here).

    Raises:
        SymbreakError: An option is not what is expected above.
    """
    x, net = located(points), Ensemble(named(neuron), 1, sigma_b=sigma_b)
    exact = _exact(net, x)
    wanted = {"plain": sized(plain, LEAST_BLOCKS), "conditional": sized(conditional, 2), "tied": sized(tied, 2)}
    return pd.DataFrame(
        {"seed": seed, "estimator": estimator, "width": width, "nets": nets}
        | _measured(net, x, seed, estimator, width, nets)
        | {f"{name}_exact": value for name, value in exact(1 if estimator == "tied" else width).items()}
        for seed in source.seeds
        for estimator, ensembles in wanted.items()
        for width, nets in ensembles
    )


def deviations(g2: Array, four: Array, six: Array, points: int) -> Deviations:
    """Return m4, m6 and m6c, means over all elements, of K ``[E_2]``, G4_c ``[E_4]`` and G6_c ``[E_6]`` at P points."""
    free = wick(g2, points, 6)
    mixed = splits(g2, four, points, (2, 4))
    found = (four / wick(g2, points, 4), (mixed + six) / free, six / free)
    return {name: float(value.mean()) for name, value in zip(COLUMNS, found, strict=True)}


def _measured(net: Ensemble, x: Array, seed: int, estimator: str, width: int, nets: int) -> Deviations:
    drawn = replace(
        net,
        width=1 if estimator == "tied" else width,
        seed=derive(seed, "correlators", f"{estimator} at {width}"),
        tilted=net.neuron == "gauss" and estimator != "plain",
    )
    four, six = (_plain if estimator == "plain" else _conditional)(drawn, x, nets)
    return deviations(two_point(net.neuron, x, 1.0, net.sigma_b), four, six, len(x))


def _plain(ensemble: Ensemble, x: Array, nets: int) -> tuple[Array, Array]:
    g = {order: found[0] for order, found in sample(ensemble, x, nets, jackknife_blocks=LEAST_BLOCKS).mean().items()}
    return connected_four(g[2], g[4], len(x)), connected_six(g[2], g[4], g[6], len(x))


def _conditional(ensemble: Ensemble, x: Array, nets: int) -> tuple[Array, Array]:
    found = connected(ensemble, x, nets)
    return found[4], found[6]


def _exact(net: Ensemble, x: Array) -> Callable[[int], Deviations]:
    """Return the exact deviations as a function of the width; they cost an integral only once."""
    if net.neuron == "relu" and net.sigma_b != 0:
        return lambda width: dict.fromkeys(COLUMNS, math.nan)
    g2 = two_point(net.neuron, x, 1.0, net.sigma_b)
    four = connected_four_point(net.neuron, x, 1, 1.0, net.sigma_b)
    six = connected_six_point(net.neuron, x, 1, 1.0, net.sigma_b)
    return lambda width: deviations(g2, four / width, six / width**2, len(x))

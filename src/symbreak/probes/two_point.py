"""2-point functions of Gauss-, Erf- and ReLU-nets at initialisation against their width (arXiv:2008.08601).

Measured: G2(x, y) = mean over nets of f(x) f(y), dimensionless. Exactly the kernel K at every width as long as W1 has
mean 0; a mean mu adds mu^2 [N M_2 + N (N - 1) M_1 M_1], which grows with the width: variant ``shifted``, the control.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from symbreak.probes.npoint_moments import product_sums
from symbreak.probes.npoint_options import located, named, sized
from symbreak.probes.npoint_sampling import Ensemble, draw, evaluate
from symbreak.probes.source import Source
from symbreak.seeding import derive
from symbreak.theory.correlators import Neuron, two_point, whitened
from symbreak.theory.gaussnet import log_normaliser
from symbreak.theory.wick import multisets

Array = NDArray[np.float64]


def probe(
    source: Source,
    *,
    neuron: str,
    points: Sequence[Sequence[float]],
    sigma_b: float,
    ensembles: Sequence[tuple[int, int]],
    shifted: Sequence[tuple[int, int]],
    mean_w1: float,
) -> pd.DataFrame:
    """Sample nets with sigma_w = 1 and measure their 2-point function.

    Args:
        source: Gives the seeds, independent ensembles a seed, variant and width.
        neuron: ``gauss``, ``erf`` or ``relu``.
        points: Inputs [P, d] at which the nets are evaluated.
        sigma_b: Standard deviation of the biases (ReLU-net has 0).
        ensembles: Pairs (width N, number of nets).
        shifted: The same of the variant ``shifted``.
        mean_w1: Mean of W1 in the variant ``shifted``.

    Returns:
        One row a (seed, variant, width, pair of points i <= j): ``nets``, ``g2`` measured and ``kernel``, K.

    Raises:
        SymbreakError: An option is not what is expected above.
    """
    x, net = located(points), named(neuron)
    variants = {"plain": (sized(ensembles, 1), 0.0), "shifted": (sized(shifted, 1), mean_w1)}
    return pd.DataFrame(
        row
        for seed in source.seeds
        for variant, (pairs, mean) in variants.items()
        for width, nets in pairs
        for row in _rows(net, x, sigma_b, seed, variant, width, nets, mean)
    )


def two_point_function(ensemble: Ensemble, x: Array, nets: int, mean_w1: float) -> Array:
    """Return the mean of f(x) f(y) over the first ``nets`` of an ensemble at points [P, d], ``[E_2]``.

    Args:
        ensemble: The networks, drawn plainly.
        x: Points [P, d], finite.
        nets: Number of nets.
        mean_w1: Mean of W1.
    """
    factor = whitened(x, ensemble.sigma_w, ensemble.sigma_b)
    offset = torch.from_numpy(log_normaliser(x, ensemble.sigma_w, ensemble.sigma_b)).float()[:, None]
    total = np.zeros(len(multisets(len(x), 2)))
    for block in range(math.ceil(nets / ensemble.block)):
        drawn = draw(ensemble, factor, block)
        moved = replace(drawn, w1=drawn.w1 + mean_w1)
        f = evaluate(ensemble.neuron, factor, offset, moved)[: nets - block * ensemble.block, 0]
        total += product_sums(f.double().numpy(), (2,))[2]
    mean: Array = total / nets
    return mean


def _rows(
    net: Neuron, x: Array, sigma_b: float, seed: int, variant: str, width: int, nets: int, mean_w1: float
) -> Iterator[dict[str, Any]]:
    # points in d dimensions are drawn at by ensembles of their own, so that dimensions are independent
    stream = derive(seed, "two_point", f"{variant} d={x.shape[1]}")
    measured = two_point_function(Ensemble(net, width, sigma_b=sigma_b, seed=stream), x, nets, mean_w1)
    kernel = two_point(net, x, 1.0, sigma_b)
    for at, (i, j) in enumerate(multisets(len(x), 2).tolist()):
        yield {
            "seed": seed,
            "variant": variant,
            "width": width,
            "i": i,
            "j": j,
            "nets": nets,
            "g2": float(measured[at]),
            "kernel": float(kernel[at]),
        }

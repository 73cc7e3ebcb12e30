"""Connected correlators of sampled nets with their last layer integrated out (arXiv:2008.08601).

Given the hidden neurons, f is Gaussian with covariance sigma_b^2 + sigma_w^2 S, S_ab = (1/N) sum_j s_j(x_a) s_j(x_b)
(W1 and b1 are). By the law of total cumulance the connected 2k-point function is sigma_w^(2k) times the k-th joint
cumulant of S over nets, summed over all pairings: G4_c = sigma_w^4 sum_3 Cov(S_ab, S_cd), and likewise with third
cumulants and 15 pairings for G6_c. Nets of width N are drawn and the width enters by nothing else; only the noise of
W1 and b1, most of a net's, is gone. Relative errors for G4_c do not grow with N.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from symbreak.probes.npoint_moments import product_sums
from symbreak.probes.npoint_sampling import Ensemble, draw, hidden
from symbreak.theory.correlators import whitened
from symbreak.theory.gaussnet import log_normaliser
from symbreak.theory.wick import centred, multisets, pairings, places

Array = NDArray[np.float64]


def connected(ensemble: Ensemble, x: Array, nets: int) -> dict[int, Array]:
    """Return G4_c and G6_c of nets of ``ensemble.width`` at points [P, d], order -> ``[E]``.

    The weights of a tilted ensemble are taken relative to their mean. Bias: of order 1/nets.

    Args:
        ensemble: The networks; their number of outputs plays no part.
        x: Points [P, d], finite.
        nets: Number of nets, from number 0.
    """
    pairs = len(multisets(len(x), 2))
    totals, mass = {order: np.zeros(len(multisets(pairs, order))) for order in (1, 2, 3)}, 0.0
    for s, weights in overlaps(ensemble, x, nets):
        for order, sums in product_sums(s, (1, 2, 3), weights).items():
            totals[order] += sums
        mass += len(s) if weights is None else float(weights.sum())
    cumulants = centred({order: total / mass for order, total in totals.items()}, pairs)
    scale = ensemble.sigma_w**2
    return {2 * order: scale**order * paired(cumulants[order], len(x), 2 * order) for order in (2, 3)}


def overlaps(ensemble: Ensemble, x: Array, nets: int) -> Iterator[tuple[Array, Array | None]]:
    """Yield S of nets at all pairs of points, ``[n, E_2]``, and their weights ``[n]`` (None: 1), in blocks."""
    factor = whitened(x, ensemble.sigma_w, ensemble.sigma_b)
    offset = torch.from_numpy(log_normaliser(x, ensemble.sigma_w, ensemble.sigma_b)).float()[:, None]
    a, b = multisets(len(x), 2).T
    for block in range(math.ceil(nets / ensemble.block)):
        drawn = draw(ensemble, factor, block)
        s = hidden(ensemble.neuron, factor, offset, drawn).view(len(x), -1, ensemble.width).transpose(0, 1).double()
        found = (s @ s.transpose(1, 2) / ensemble.width).numpy()[:, a, b]
        inside = slice(nets - block * ensemble.block)
        yield found[inside], None if drawn.weights is None else drawn.weights[inside]


def paired(cumulant: Array, points: int, order: int) -> Array:
    """Return a joint cumulant of pairs of points summed over all pairings of ``order`` points, ``[..., E_order]``.

    Args:
        cumulant: ``[..., E_k]`` over the multisets of k = ``order``/2 pairs, the pairs being numbered as the multisets
            of two points are.
        points: Number of points P.
        order: 4 or 6.
    """
    tuples, pairs = multisets(points, order), len(multisets(points, 2))
    total = np.zeros((*cumulant.shape[:-1], len(tuples)))
    for pairing in pairings(range(order)):
        chosen = np.stack([places(points, tuples[:, pair]) for pair in pairing], axis=-1)
        total += cumulant[..., places(pairs, chosen)]
    return total

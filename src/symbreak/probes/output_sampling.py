"""Outputs of nets at initialisation whose last layer has any law of ``weight_laws``, and a mean if wanted.

Drawn as by ``symbreak.probes.npoint_sampling``: f_i(x) = b1_i + sum_j W1_ij s_j(x), W1_ij = mean_i + W_ij/sqrt(N).
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from symbreak.probes.npoint_sampling import Ensemble, draw, evaluate
from symbreak.theory.correlators import whitened
from symbreak.theory.gaussnet import log_normaliser
from symbreak.theory.weight_laws import Law, check_law, transformed

Array = NDArray[np.float64]


def fields(ensemble: Ensemble, x: Array, nets: int, law: Law = "normal", mean: Array | None = None) -> Iterator[Array]:
    """Yield outputs ``[n, D, P]`` of ``nets`` nets in blocks that stay in a core's cache.

    Args:
        ensemble: Neuron, width, scales, number of outputs D and seed.
        x: Points [P, d].
        nets: Number of nets.
        law: Law of the last layer's weights.
        mean: What is added to all weights of each output, ``[D]``; None: nothing.

    Raises:
        SymbreakError: There is no such law.
    """
    check_law(law)
    factor = whitened(x, ensemble.sigma_w, ensemble.sigma_b)
    offset = torch.from_numpy(log_normaliser(x, ensemble.sigma_w, ensemble.sigma_b)).float()[:, None]
    scale = ensemble.sigma_w / math.sqrt(ensemble.width)
    for block in range(math.ceil(nets / ensemble.block)):
        drawn = draw(ensemble, factor, block)
        w1 = drawn.w1 if law == "normal" else scale * transformed(drawn.w1 / scale, law)
        if mean is not None:
            w1 = w1 + torch.from_numpy(mean).to(w1.dtype)[:, None]
        f = evaluate(ensemble.neuron, factor, offset, replace(drawn, w1=w1))
        yield f[: nets - block * ensemble.block].double().numpy()

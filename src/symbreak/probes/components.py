"""Dependence between the output components of nets at initialisation: uncorrelated, yet not independent (catalogue T3).

Measured at each input x, over pairs of components i < j: ``correlation2``, the mean of corr(f_i, f_j)^2 without the
bias of sampling noise (products of independent batches), and ``covariance``, the mean of cov(f_i^2, f_j^2) in output^4.
Exact for zero-mean W1: correlations 0 and cov(f_i^2, f_j^2) = sigma_w^4 [M_4 - M_2^2]/N, as f_i^2 and f_j^2 share the
neurons. Three kinds of ensemble: ``net``; ``gaussian``, the Gaussian process with the nets' own kernel, whose
components are independent; ``shifted``, nets whose last layer has a mean in every component.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from symbreak.errors import SymbreakError
from symbreak.probes.npoint_sampling import Ensemble
from symbreak.probes.output_sampling import fields
from symbreak.probes.source import Source
from symbreak.seeding import derive
from symbreak.theory import gaussnet
from symbreak.theory.correlators import moments
from symbreak.theory.wick import multisets

Array = NDArray[np.float64]
KINDS = ("net", "gaussian", "shifted")
BATCHES = 10
DRAWN = 2**14  # samples of the Gaussian process at once


def probe(
    source: Source,
    *,
    sigma_b: float,
    outputs: int,
    inputs: Sequence[float],
    ensembles: Sequence[tuple[int, int]],
    shifted: Sequence[tuple[int, int]],
    mean_w1: float,
) -> pd.DataFrame:
    """Sample Gauss-nets with one input and sigma_w = 1.

    Args:
        source: Gives the seeds, one independent ensemble a seed, width and kind.
        sigma_b: Standard deviation of the biases.
        outputs: D.
        inputs: The points x.
        ensembles: Pairs (width N, number of nets, and of samples of the Gaussian process).
        shifted: The same of the kind ``shifted``.
        mean_w1: Mean of the last layer in the kind ``shifted``.

    Returns:
        One row a (seed, width, kind, input): ``correlation2``, ``covariance`` and ``exact``, the covariance that
        zero-mean nets of this width have.

    Raises:
        SymbreakError: A number of nets that cannot be divided into batches of equal size.
    """
    odd = [(width, nets) for width, nets in [*ensembles, *shifted] if nets < BATCHES or nets % BATCHES]
    if odd:
        raise SymbreakError(f"expected numbers of nets that are multiples of {BATCHES}, found {odd}; round them")
    x = np.array(inputs, dtype=np.float64)[:, None]
    asked = [(kind, *pair) for kind in KINDS for pair in (shifted if kind == "shifted" else ensembles)]
    rows: list[dict[str, Any]] = []
    for seed in source.seeds:
        for kind, width, nets in asked:
            measured = dependence(x, kind, Ensemble("gauss", width, 1.0, sigma_b, outputs, seed), nets, mean_w1)
            setting = {"seed": seed, "kind": kind, "outputs": outputs, "width": width, "nets": nets}
            columns = zip(inputs, *measured, covariance_of_squares(x, sigma_b) / width, strict=True)
            names = ("x", "correlation2", "covariance", "exact")
            rows += [setting | dict(zip(names, map(float, row), strict=True)) for row in columns]
    return pd.DataFrame(rows)


def covariance_of_squares(x: Array, sigma_b: float) -> Array:
    """Return N cov(f_i(x)^2, f_j(x)^2) = M_4(x, x, x, x) - M_2(x, x)^2 at points [P, 1], for i != j."""
    m2, m4 = (moments("gauss", x, order, 1.0, sigma_b) for order in (2, 4))
    four, two = ((multisets(len(x), order) == np.arange(len(x))[:, None, None]).all(axis=2) for order in (4, 2))
    return np.array([m4[four[p]][0] - m2[two[p]][0] ** 2 for p in range(len(x))])


def dependence(x: Array, kind: str, ensemble: Ensemble, nets: int, mean_w1: float) -> tuple[Array, Array]:
    """Return ``correlation2`` and ``covariance`` at points [P, 1], two arrays ``[P]``.

    Args:
        x: Inputs.
        kind: One of ``KINDS``.
        ensemble: The nets; its seed names all streams.
        nets: Number of samples.
        mean_w1: Mean of the last layer in the kind ``shifted``.
    """
    sums = [_sums(_samples(x, kind, ensemble, nets // BATCHES, mean_w1, batch)) for batch in range(BATCHES)]
    first, squares = (np.stack([found[at] for found in sums]) for at in (0, 1))
    return correlation2(first), covariance(first.mean(axis=0), squares.mean(axis=0))


def correlation2(second: Array) -> Array:
    """Return the mean over i < j of E[f_i f_j]^2 / (E[f_i^2] E[f_j^2]) at each point, ``[P]``.

    Args:
        second: E[f_i f_j] of independent batches, ``[B, P, D, D]``. The square is that of two different batches,
            averaged over their pairs, so that noise adds nothing on average.
    """
    count, _, outputs, _ = second.shape
    i, j = np.triu_indices(outputs, 1)
    mean = second.mean(axis=0)
    scale = mean[:, i, i] * mean[:, j, j]
    products = second[:, :, i, j]
    pairs = (products.sum(axis=0) ** 2 - np.sum(products**2, axis=0)) / (count * (count - 1))
    found: Array = (pairs / scale).mean(axis=1)
    return found


def covariance(second: Array, squares: Array) -> Array:
    """Return the mean over i < j of E[f_i^2 f_j^2] - E[f_i^2] E[f_j^2] at each point, ``[P]``; both ``[P, D, D]``."""
    i, j = np.triu_indices(second.shape[1], 1)
    found: Array = (squares[:, i, j] - second[:, i, i] * second[:, j, j]).mean(axis=1)
    return found


def _samples(x: Array, kind: str, ensemble: Ensemble, count: int, mean_w1: float, batch: int) -> Iterator[Array]:
    """Yield outputs ``[n, D, P]`` of one batch."""
    seed = derive(ensemble.seed, "components", kind, f"width={ensemble.width}", f"batch={batch}")
    if kind == "gaussian":
        yield from _gaussian(x, ensemble, count, np.random.default_rng(seed))
        return
    own = Ensemble(ensemble.neuron, ensemble.width, ensemble.sigma_w, ensemble.sigma_b, ensemble.outputs, seed)
    yield from fields(own, x, count, "normal", np.full(ensemble.outputs, mean_w1) if kind == "shifted" else None)


def _gaussian(x: Array, ensemble: Ensemble, count: int, generator: np.random.Generator) -> Iterator[Array]:
    root = np.linalg.cholesky(gaussnet.kernel(x, x, ensemble.sigma_w, ensemble.sigma_b))
    for start in range(0, count, DRAWN):
        yield generator.standard_normal((min(DRAWN, count - start), ensemble.outputs, len(x))) @ root.T


def _sums(pieces: Iterator[Array]) -> tuple[Array, Array]:
    """E[f_i f_j] and E[f_i^2 f_j^2] of one batch, ``[P, D, D]``."""
    nets = 0
    second: Any = 0.0
    squares: Any = 0.0
    for f in pieces:
        columns = np.ascontiguousarray(f.transpose(2, 1, 0))
        second += columns @ columns.swapaxes(1, 2)
        columns **= 2
        squares += columns @ columns.swapaxes(1, 2)
        nets += len(f)
    return second / nets, squares / nets

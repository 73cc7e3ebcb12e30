"""Quartic couplings fitted to connected 4-point functions on some inputs, and their errors on others (catalogue, Q5).

Measured: couplings (dimensionless, sign as in ``symbreak.theory.quartic``), and the relative error, in percent, of the
4-point functions that they predict at the test inputs. Train inputs are the test inputs by sqrt(1/2), as in the code of
arXiv:2008.08601 (lam_fit/).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from symbreak.probes.quartic_sources import Method, Moments, Nets, correlators
from symbreak.probes.source import Source
from symbreak.theory.correlators import Neuron
from symbreak.theory.quartic import Domain, integrals, propagator
from symbreak.theory.quartic_fit import fit, multiplicities
from symbreak.theory.wick import connected_four

Array = NDArray[np.float64]
TRAIN = math.sqrt(0.5)  # size of the train inputs over that of the test inputs
COUPLINGS = ("lambda0", "lambda2", "lambda_nl")


def probe(
    source: Source,
    *,
    neuron: Neuron,
    width: int,
    sigma_b: float,
    points: Sequence[float],
    sizes: Sequence[float],
    cutoff: float,
    scale: float | None,
    method: Method,
    draws: int,
) -> pd.DataFrame:
    """Fit Delta G4 of one architecture by several models at every size of the inputs.

    Models: ``local`` (lambda_0), ``squared`` (lambda_0, lambda_2), ``nonlocal`` (all three), ``constant`` (a number
    without any integral, in ``lambda0``), ``bias_kept`` (lambda_0 with K in place of kappa) and ``whole`` (lambda_0
    fitted to G4, as lam_fit.py does to what 4pt_exp.py stores).

    Args:
        source: Gives the seeds of sampled correlators.
        neuron: ``gauss``, ``erf`` or ``relu``.
        width: Number of neurons N.
        sigma_b: Standard deviation of the biases.
        points: Test inputs of one dimension, before they are multiplied by a size.
        sizes: Sizes.
        cutoff: L of the integrals' domain [-L, L].
        scale: Length over which the kernel changes; None: it has none (ReLU without bias).
        method: ``exact``, ``neurons`` or ``networks``.
        draws: Neurons or networks a seed and set of inputs; 0 if exact.

    Returns:
        One row a (seed,) size and model: ``width``, ``cutoff``, couplings (NaN where the model has none),
        ``mean_error`` over all tuples of test inputs, ``max_error`` (percent), ``reciprocal_condition`` of the fit.
    """
    nets, domain = Nets(neuron, width, sigma_b, method, draws), Domain(cutoff, scale)
    rows: list[dict[str, Any]] = []
    fixed = {"width": width, "cutoff": cutoff}
    for size in sizes:
        test = size * np.array(points)[:, None]
        terms, others = (_models(nets, x, domain) for x in (TRAIN * test, test))
        measured = zip(*(correlators(source, nets, x, 4) for x in (TRAIN * test, test)), strict=True)
        for (labels, train_g), (_, test_g) in measured:
            rows += [labels | fixed | {"size": size} | row for row in _rows(terms, others, train_g, test_g)]
    return pd.DataFrame(rows)


def _models(nets: Nets, x: Array, domain: Domain) -> dict[str, Array]:
    """The terms ``[k, E_4]`` of each model at points [P, 1]."""
    legs = propagator(nets.neuron, x, nets.sigma_b)
    found = integrals(legs, len(x), 1, domain)
    kept = integrals(lambda y: legs(y) + nets.sigma_b**2, len(x), 1, domain)
    terms = np.stack([found.local, found.squared, found.nonlocal_])
    return {
        "local": terms[:1],
        "squared": terms[:2],
        "nonlocal": terms,
        "constant": np.ones_like(terms[:1]),
        "bias_kept": kept.local[None],
        "whole": terms[:1],
    }


def _rows(
    terms: Mapping[str, Array], others: Mapping[str, Array], train: Moments, test: Moments
) -> Iterator[dict[str, Any]]:
    points = _points(train)
    weights = multiplicities(points, 4)
    for model in terms:
        wanted, seen = (g[4] if model == "whole" else connected_four(g[2], g[4], points) for g in (train, test))
        found = fit(terms[model], wanted, points)
        errors = 100 * np.abs(found.couplings @ others[model] / seen - 1)
        couplings = dict.fromkeys(COUPLINGS, math.nan) | dict(zip(COUPLINGS, found.couplings.tolist(), strict=False))
        yield (
            {"model": model}
            | couplings
            | {
                "mean_error": float(np.average(errors, weights=weights)),
                "max_error": float(errors.max()),
                "reciprocal_condition": found.reciprocal_condition,
            }
        )


def _points(g: Moments) -> int:
    """P of E_2 = P (P + 1)/2 pairs."""
    return math.isqrt(2 * len(g[2]))

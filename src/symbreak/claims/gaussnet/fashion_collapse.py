"""Evidence of ``gaussnet-fashion-collapse``: one-hot accuracy as a function of mu k^p, and the exponent p that fits.

At initialisation the density of networks depends on |v| = mu sqrt(k) up to a rotation of the outputs (catalogue, S6),
p = 1/2; accuracy that knew only mu would give p = 0, and mu k, p = 1.
"""

import numpy as np
from scipy.optimize import minimize_scalar

from symbreak.claims.evidence import Unit
from symbreak.claims.gaussnet.fashion import KS, MUS, Floats, maps
from symbreak.claims.gaussnet.fashion_spread import pseudo_values
from symbreak.claims.tables import Tables
from symbreak.errors import SymbreakError

DEGREE = 3  # of the common curve: the map's 15 cells cannot carry the catalogue's 5 (126 cells)
EXPONENTS = np.linspace(-2, 3, 51)
RESOLUTION = 1e-7
MU, K = (axis.ravel() for axis in np.meshgrid(MUS, KS, indexing="ij"))


def exponent(tables: Tables) -> list[Unit]:
    """Pseudo-values of the exponent p, leaving out one seed, that is one whole map, at a time."""
    return _units(*maps(tables))


def exponent_reversed(tables: Tables) -> list[Unit]:
    """The same for maps whose columns k = 2 and k = 10 are exchanged."""
    seeds, found = maps(tables)
    return _units(seeds, found[:, :, ::-1])


def fitted(found: Floats) -> float:
    """Return the exponent p with the least weighted squares around a cubic curve in mu k^p.

    Args:
        found: Accuracies ``[seed, mu, k]``. Cells are weighted by 1/variance over seeds.

    Returns:
        The exponent; not a number if it lies at an end of ``EXPONENTS``, or if an accuracy is not one.

    Raises:
        SymbreakError: All seeds agree in a cell, which then has no weight.
    """
    cells = found.reshape(len(found), -1)
    means, variances = cells.mean(axis=0), cells.var(axis=0, ddof=1)
    if not np.isfinite(means).all():
        return float("nan")
    if not variances.all():
        raise SymbreakError(
            "all seeds agree in a cell of the map, so that it cannot be weighted by its spread; add seeds"
        )
    weights = 1 / np.sqrt(variances)
    best = int(np.argmin([misfit(p, means, weights) for p in EXPONENTS]))
    if best in (0, len(EXPONENTS) - 1):
        return float("nan")
    bounds = (float(EXPONENTS[best - 1]), float(EXPONENTS[best + 1]))
    found_at = minimize_scalar(
        lambda p: misfit(p, means, weights), bounds=bounds, method="bounded", options={"xatol": RESOLUTION}
    )
    return float(found_at.x)


def misfit(p: float, means: Floats, weights: Floats) -> float:
    """Return the squares left by the best cubic in mu k^p; ``means`` and ``weights`` (of residuals) ``[cell]``."""
    curve = np.polynomial.Polynomial.fit(MU * K**p, means, DEGREE, w=weights)
    residuals = weights * (means - curve(MU * K**p))
    return float(residuals @ residuals)


def _units(seeds: list[int], found: Floats) -> list[Unit]:
    values = pseudo_values(found, fitted)
    return [Unit(f"seed {seed}", float(value)) for seed, value in zip(seeds, values, strict=True)]

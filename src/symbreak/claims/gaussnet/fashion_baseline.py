"""Evidence of ``gaussnet-fashion-baseline``: with k = 0 nothing is shifted, and accuracy does not know mu."""

from symbreak.claims.evidence import Unit
from symbreak.claims.gaussnet.fashion import KS, baseline, hot, maps, networks, slopes, unshifted_slopes
from symbreak.claims.tables import Tables


def level(tables: Tables) -> list[Unit]:
    """Accuracy at k = 0."""
    return baseline(tables)


def level_broken(tables: Tables) -> list[Unit]:
    """Accuracy at mu = 0.20, k = 10."""
    return networks(tables, hot(0.20, 10))


def slope(tables: Tables) -> list[Unit]:
    """Change of accuracy per 0.1 of mu at k = 0."""
    return unshifted_slopes(tables)


def slope_k10(tables: Tables) -> list[Unit]:
    """The same at k = 10."""
    seeds, found = maps(tables)
    values = slopes(found[:, :, KS.index(10)])
    return [Unit(f"seed {seed}", float(value)) for seed, value in zip(seeds, values, strict=True)]

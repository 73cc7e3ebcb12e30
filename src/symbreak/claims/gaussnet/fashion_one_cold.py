"""Evidence of ``gaussnet-fashion-one-cold``: with one-cold targets a small mean helps and a large one hurts."""

import numpy as np

from symbreak.claims.evidence import Unit
from symbreak.claims.gaussnet.fashion import HELPFUL, Floats, accuracies, baseline, cold, compared, hot, networks
from symbreak.claims.tables import Tables
from symbreak.seeding import derive

GRID = tuple(round(0.01 * step, 2) for step in range(11))
RESAMPLES = 9_999


def helps(tables: Tables) -> list[Unit]:
    """Accuracy at mu = 0.03 less that at mu = 0."""
    return compared(networks(tables, cold(HELPFUL)), networks(tables, cold(0.0)))


def helps_one_hot(tables: Tables) -> list[Unit]:
    """The same with one-hot targets; mu = 0 is k = 0."""
    return compared(networks(tables, hot(HELPFUL, 10)), baseline(tables))


def hurts(tables: Tables) -> list[Unit]:
    """Accuracy at mu = 0.03 less that at mu = 0.10."""
    return compared(networks(tables, cold(HELPFUL)), networks(tables, cold(0.10)))


def negative(tables: Tables) -> list[Unit]:
    """Accuracy at mu = -0.03 less that at mu = 0."""
    return compared(networks(tables, cold(-HELPFUL)), networks(tables, cold(0.0)))


def vertex(tables: Tables) -> tuple[float, float, float]:
    """Return where a parabola through the curve of mean accuracy has its vertex, which decides nothing.

    Least squares through the means at the points of ``GRID``, weighted by their networks.

    Returns:
        The vertex in units of mu, and the ends of its 95 % percentile bootstrap interval over networks.
    """
    found = [accuracies(tables, cold(mu)) for mu in GRID]
    counts = np.array([len(values) for values in found])
    generator = np.random.default_rng(derive(0, "vertex"))
    drawn = [generator.choice(values, (RESAMPLES, len(values))).mean(axis=1) for values in found]
    low, high = np.quantile(_vertices(np.stack(drawn), counts), (0.025, 0.975))
    return float(_vertices(np.array([[v.mean()] for v in found]), counts)[0]), float(low), float(high)


def _vertices(means: Floats, counts: Floats) -> Floats:
    """Of the parabolas through ``means [mu, B]``, ``[B]``."""
    _, linear, square = np.polynomial.polynomial.polyfit(GRID, means, 2, w=np.sqrt(counts))
    vertices: Floats = -linear / (2 * square)
    return vertices

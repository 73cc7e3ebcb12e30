"""Evidence of ``gaussnet-six-point``: deviation m6 of the 6-point function from a Gaussian field's, against width.

A unit is a seed: an independent ensemble a net and width. Arms: ``gauss``, ``erf``, ``relu``. Exactly
m6 = a/N + b/N^2, in which a/N = m6 - m6c is of the connected 4-point function and b/N^2 = m6c.
"""

import pandas as pd

from symbreak.claims.evidence import Unit
from symbreak.claims.gaussnet.widths import PROBE, by_width, closest, exact, furthest, slopes
from symbreak.claims.tables import Tables

LARGE = (100, 500, 1000)  # widths of the slopes: the largest that the paper plots, where a 1/N law has its best chance
ALL = (2, 3, 4, 5, 10, 20, 50, 100, 500, 1000)  # the paper's


def relu_slope(tables: Tables) -> list[Unit]:
    """Log-log slope of m6 against N at the largest widths, ReLU-nets with W1 integrated out."""
    return slopes(by_width(tables("relu", PROBE), "conditional", "m6", LARGE))


def relu_slope_tied(tables: Tables) -> list[Unit]:
    """The same of nets whose neurons are all one."""
    return slopes(by_width(tables("relu", PROBE), "tied", "m6", LARGE))


def erf_slope(tables: Tables) -> list[Unit]:
    """Log-log slope of m6 against N at the largest widths, Erf-nets with W1 integrated out."""
    return slopes(by_width(tables("erf", PROBE), "conditional", "m6", LARGE))


def erf_slope_tied(tables: Tables) -> list[Unit]:
    """The same of nets whose neurons are all one."""
    return slopes(by_width(tables("erf", PROBE), "tied", "m6", LARGE))


def gauss_slope(tables: Tables) -> list[Unit]:
    """Log-log slope of m6 against N at the largest widths, tilted Gauss-nets with W1 integrated out."""
    return slopes(by_width(tables("gauss", PROBE), "conditional", "m6", LARGE))


def gauss_slope_tied(tables: Tables) -> list[Unit]:
    """The same of nets whose neurons are all one."""
    return slopes(by_width(tables("gauss", PROBE), "tied", "m6", LARGE))


def gauss_law(tables: Tables) -> list[Unit]:
    """m6 of Gauss-nets over its exact law a/N + b/N^2, at the width that reaches furthest from 1."""
    return furthest(_over_law(tables, "conditional"), 1.0)


def gauss_law_tied(tables: Tables) -> list[Unit]:
    """The same of nets whose neurons are all one, at the width that comes closest to 1."""
    return closest(_over_law(tables, "tied"), 1.0)


def gauss_a(tables: Tables) -> list[Unit]:
    """The coefficient a of Gauss-nets, N (m6 - m6c), mean over widths."""
    return _mean(_linear(tables, "conditional"))


def gauss_a_tied(tables: Tables) -> list[Unit]:
    """The same of nets whose neurons are all one, at the width that comes closest to a."""
    reference = exact(tables, "gauss", "m6", 1) - exact(tables, "gauss", "m6c", 1)
    return closest(_linear(tables, "tied"), reference)


def gauss_b(tables: Tables) -> list[Unit]:
    """The coefficient b of Gauss-nets, N^2 m6c, mean over widths."""
    return _mean(by_width(tables("gauss", PROBE), "conditional", "m6c", ALL, 2))


def gauss_b_tied(tables: Tables) -> list[Unit]:
    """The same of nets whose neurons are all one, at the width that comes closest to b."""
    return closest(by_width(tables("gauss", PROBE), "tied", "m6c", ALL, 2), exact(tables, "gauss", "m6c", 2))


def _linear(tables: Tables, estimator: str) -> pd.DataFrame:
    table = tables("gauss", PROBE)
    return by_width(table, estimator, "m6", ALL, 1) - by_width(table, estimator, "m6c", ALL, 1)


def _over_law(tables: Tables, estimator: str) -> pd.DataFrame:
    """Over the law of independent neurons, whatever the estimator."""
    table = tables("gauss", PROBE)
    return by_width(table, estimator, "m6", ALL) / by_width(table, "conditional", "m6_exact", ALL)


def _mean(found: pd.DataFrame) -> list[Unit]:
    return [Unit(f"seed {seed}", float(value)) for seed, value in found.mean(axis=1).items()]

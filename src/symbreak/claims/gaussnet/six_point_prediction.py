"""Evidence of ``gaussnet-six-point-prediction``: predicted over measured 6-point functions, mean over sextuples.

A unit is a seed, one ensemble of ReLU-nets (arms ``relu_20``, ``relu_100``), or a net with exact correlators
(``relu_20_exact``, ``erf_5``, ``erf_10``, ``gauss_1000``, ``gauss_100``).
"""

import pandas as pd

from symbreak.claims.evidence import Unit
from symbreak.claims.tables import Tables


def relu_gaussian(tables: Tables) -> list[Unit]:
    """GP/G6 of sampled ReLU-nets, N = 20."""
    return _largest(tables, "relu_20", "gaussian")


def relu_gaussian_wide(tables: Tables) -> list[Unit]:
    """The same at N = 100."""
    return _largest(tables, "relu_100", "gaussian")


def relu_quartic(tables: Tables) -> list[Unit]:
    """(GP + lambda term)/G6 of sampled ReLU-nets, N = 20."""
    return _largest(tables, "relu_20", "fitted")


def relu_flat(tables: Tables) -> list[Unit]:
    """Largest over smallest (GP + lambda term)/G6 of all cutoffs, less 1."""
    return _ranges(tables, "fitted")


def relu_flat_frozen(tables: Tables) -> list[Unit]:
    """The same with the coupling kept as it is at one cutoff."""
    return _ranges(tables, "frozen")


def erf_gaussian(tables: Tables) -> list[Unit]:
    """GP/G6 of Erf-net, N = 5, exact."""
    return _largest(tables, "erf_5", "gaussian")


def erf_gaussian_wide(tables: Tables) -> list[Unit]:
    """The same at N = 10."""
    return _largest(tables, "erf_10", "gaussian")


def erf_own(tables: Tables) -> list[Unit]:
    """(GP + lambda term)/G6 of Erf-net, N = 5, with each quadruple's own coupling."""
    return _largest(tables, "erf_5", "own")


def erf_fitted(tables: Tables) -> list[Unit]:
    """The same with one coupling for all quadruples."""
    return _largest(tables, "erf_5", "fitted")


def gauss_gaussian(tables: Tables) -> list[Unit]:
    """GP/G6 of Gauss-net, N = 1000, exact."""
    return _largest(tables, "gauss_1000", "gaussian")


def gauss_gaussian_narrow(tables: Tables) -> list[Unit]:
    """The same at N = 100."""
    return _largest(tables, "gauss_100", "gaussian")


def gauss_quartic(tables: Tables) -> list[Unit]:
    """(GP + lambda term)/G6 of Gauss-net, N = 1000, exact."""
    return _largest(tables, "gauss_1000", "fitted")


def gauss_quartic_narrow(tables: Tables) -> list[Unit]:
    """The same at N = 100, where first order is not enough."""
    return _largest(tables, "gauss_100", "fitted")


def at_largest_cutoff(tables: Tables, arm: str) -> pd.DataFrame:
    """Return the rows of an arm at its largest cutoff, one an ensemble, by their names."""
    table = tables(arm, "quartic_prediction")
    rows = table[table["cutoff"] == table["cutoff"].max()]
    names = "seed " + rows["seed"].astype(str) if "seed" in rows else [arm] * len(rows)
    named: pd.DataFrame = rows.set_axis(pd.Index(names))
    return named


def _largest(tables: Tables, arm: str, ratio: str) -> list[Unit]:
    return [Unit(str(name), float(value)) for name, value in at_largest_cutoff(tables, arm)[ratio].items()]


def _ranges(tables: Tables, ratio: str) -> list[Unit]:
    units = []
    for arm in ("relu_20_exact", "relu_20"):
        table = tables(arm, "quartic_prediction")
        names = "seed " + table["seed"].astype(str) if "seed" in table else pd.Series("exact", index=table.index)
        ratios = table[ratio].groupby(names)
        units += [Unit(str(name), float(value)) for name, value in (ratios.max() / ratios.min() - 1).items()]
    return units

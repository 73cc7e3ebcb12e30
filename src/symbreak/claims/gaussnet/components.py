"""Evidence of ``gaussnet-components``: correlation and dependence of a Gauss-net's output components.

A unit is a seed: one independent ensemble a width and kind. One arm, ``sampled``.
"""

import pandas as pd

from symbreak.claims.evidence import Unit
from symbreak.claims.gaussnet.extremes import closest, furthest
from symbreak.claims.tables import Tables

ARM = "sampled"


def correlation(tables: Tables) -> list[Unit]:
    """Mean over pairs of components and inputs of corr(f_i, f_j)^2, at the width that reaches furthest from 0."""
    return furthest(by_width(tables(ARM, "components"), "net", "correlation2"), 0)


def correlation_shifted(tables: Tables) -> list[Unit]:
    """The same for last layers with a mean, at the width that comes closest to 0."""
    return closest(by_width(tables(ARM, "components"), "shifted", "correlation2"), 0)


def dependence(tables: Tables) -> list[Unit]:
    """cov(f_i^2, f_j^2) over its exact value, at the width that reaches furthest from 1."""
    return furthest(by_width(tables(ARM, "components"), "net", "covariance"), 1)


def dependence_gaussian(tables: Tables) -> list[Unit]:
    """The same for the Gaussian process with the same kernel, over the nets' value, where it comes closest to 1."""
    return closest(by_width(tables(ARM, "components"), "gaussian", "covariance"), 1)


def by_width(table: pd.DataFrame, kind: str, quantity: str) -> pd.DataFrame:
    """Return a quantity of a kind of ensemble, one row a seed, one column a width.

    Args:
        table: Of the probe ``components``.
        kind: ``net``, ``gaussian`` or ``shifted``.
        quantity: ``correlation2``, mean over inputs, or ``covariance``, over its exact value, both summed over inputs.
    """
    chosen = table[table["kind"] == kind]
    keys = [chosen["seed"], "N=" + chosen["width"].astype(str)]
    if quantity == "covariance":
        return (chosen["covariance"].groupby(keys).sum() / chosen["exact"].groupby(keys).sum()).unstack()
    return chosen[quantity].groupby(keys).mean().unstack()

"""Evidence of ``gaussnet-rg-flow``: slope and height of ReLU-net's quartic coupling against the cutoff, log10 to log10.

A unit is a seed, one ensemble of networks, or ``exact``. One regression runs over all quadruples of inputs and cutoffs,
as in the code of arXiv:2008.08601 (rg.py). Arms, each for d = 1, 2, 3: ``d1`` (sampled networks, N = 20), ``d1_exact``,
``d1_wide`` (N = 100), ``d1_bias`` (biases in networks and integrals).
"""

import numpy as np
import pandas as pd

from symbreak.claims.evidence import Unit
from symbreak.claims.tables import Tables


def slope_d1(tables: Tables) -> list[Unit]:
    """Slope of log10 lambda against log10 L at d = 1, of every ensemble and of exact 4-point functions."""
    return _slopes(tables, "d1")


def slope_d1_bias(tables: Tables) -> list[Unit]:
    """The same of networks and integrals with biases."""
    return _column(tables, "d1_bias", "slope")


def slope_d2(tables: Tables) -> list[Unit]:
    """The slope at d = 2."""
    return _slopes(tables, "d2")


def slope_d2_bias(tables: Tables) -> list[Unit]:
    """The same with biases."""
    return _column(tables, "d2_bias", "slope")


def slope_d3(tables: Tables) -> list[Unit]:
    """The slope at d = 3."""
    return _slopes(tables, "d3")


def slope_d3_bias(tables: Tables) -> list[Unit]:
    """The same with biases."""
    return _column(tables, "d3_bias", "slope")


def intercept_d1(tables: Tables) -> list[Unit]:
    """log10 lambda at L = 1 by the regression, d = 1, of sampled networks."""
    return _column(tables, "d1", "intercept")


def intercept_d1_wide(tables: Tables) -> list[Unit]:
    """The same of networks of five times the width."""
    return _column(tables, "d1_wide", "intercept")


def intercept_d2(tables: Tables) -> list[Unit]:
    """The intercept at d = 2."""
    return _column(tables, "d2", "intercept")


def intercept_d2_wide(tables: Tables) -> list[Unit]:
    """The same of networks of five times the width."""
    return _column(tables, "d2_wide", "intercept")


def intercept_d3(tables: Tables) -> list[Unit]:
    """The intercept at d = 3."""
    return _column(tables, "d3", "intercept")


def intercept_d3_wide(tables: Tables) -> list[Unit]:
    """The same of networks of five times the width."""
    return _column(tables, "d3_wide", "intercept")


def regressions(tables: Tables, arm: str) -> pd.DataFrame:
    """Return ``slope`` and ``intercept`` of every ensemble of an arm; NaN where a sampled coupling is not positive."""
    table = tables(arm, "quartic_flow")
    names = "seed " + table["seed"].astype(str) if "seed" in table else pd.Series("exact", index=table.index)
    found = {str(name): _regression(rows) for name, rows in table.groupby(names)}
    return pd.DataFrame.from_dict(found, orient="index", columns=["slope", "intercept"])


def _regression(rows: pd.DataFrame) -> tuple[float, float]:
    """The x axis is centred, which keeps the slope free of rounding."""
    logarithm = np.log10(rows["coupling"].where(rows["coupling"] > 0)).to_numpy()
    x = np.log10(rows["cutoff"].to_numpy())
    height, slope = np.polynomial.polynomial.polyfit(x - x.mean(), logarithm, 1)
    return float(slope), float(height - slope * x.mean())


def _slopes(tables: Tables, arm: str) -> list[Unit]:
    return _column(tables, f"{arm}_exact", "slope") + _column(tables, arm, "slope")


def _column(tables: Tables, arm: str, column: str) -> list[Unit]:
    return [Unit(str(name), float(value)) for name, value in regressions(tables, arm)[column].items()]

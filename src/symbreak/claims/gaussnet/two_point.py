"""Evidence of ``gaussnet-two-point``: sampled 2-point functions over the kernel, against width.

A unit is a seed: one independent ensemble a net, dimension and width. Arms: ``gauss``, ``erf`` and ``relu``, each with
``_d1``, ``_d2`` and ``_d3``.
"""

import pandas as pd

from symbreak.claims.evidence import Unit
from symbreak.claims.gaussnet.kernel import REACH
from symbreak.claims.gaussnet.widths import slopes
from symbreak.claims.tables import Tables

KEYS = ["arm", "width", "i", "j"]


def relu_ratio(tables: Tables) -> list[Unit]:
    """G2/K of ReLU-nets at the dimension, width and pair of points that reach furthest from 1."""
    return _furthest(ratios(tables, "relu", "plain"))


def relu_ratio_shifted(tables: Tables) -> list[Unit]:
    """The same with a mean of W1: its worst pair, at the dimension and width where that is closest to 1."""
    return _closest(ratios(tables, "relu", "shifted"))


def relu_slope(tables: Tables) -> list[Unit]:
    """Log-log slope of G2/K of ReLU-nets against N, mean over pairs and dimensions."""
    return slopes(_mean(ratios(tables, "relu", "plain")))


def relu_slope_shifted(tables: Tables) -> list[Unit]:
    """The same with a mean of W1."""
    return slopes(_mean(ratios(tables, "relu", "shifted")))


def erf_ratio(tables: Tables) -> list[Unit]:
    """G2/K of Erf-nets at the dimension, width and pair of points that reach furthest from 1."""
    return _furthest(ratios(tables, "erf", "plain"))


def erf_ratio_shifted(tables: Tables) -> list[Unit]:
    """The same with a mean of W1: its worst pair, at the dimension and width where that is closest to 1."""
    return _closest(ratios(tables, "erf", "shifted"))


def erf_slope(tables: Tables) -> list[Unit]:
    """Log-log slope of G2/K of Erf-nets against N, mean over pairs and dimensions."""
    return slopes(_mean(ratios(tables, "erf", "plain")))


def erf_slope_shifted(tables: Tables) -> list[Unit]:
    """The same with a mean of W1."""
    return slopes(_mean(ratios(tables, "erf", "shifted")))


def gauss_ratio(tables: Tables) -> list[Unit]:
    """G2/K of Gauss-nets at the dimension, width and pair of points that reach furthest from 1."""
    return _furthest(ratios(tables, "gauss", "plain"))


def gauss_ratio_shifted(tables: Tables) -> list[Unit]:
    """The same with a mean of W1: its worst pair, at the dimension and width where that is closest to 1."""
    return _closest(ratios(tables, "gauss", "shifted"))


def gauss_slope(tables: Tables) -> list[Unit]:
    """Log-log slope of G2/K of Gauss-nets against N, mean over pairs and dimensions."""
    return slopes(_mean(ratios(tables, "gauss", "plain")))


def gauss_slope_shifted(tables: Tables) -> list[Unit]:
    """The same with a mean of W1."""
    return slopes(_mean(ratios(tables, "gauss", "shifted")))


def ratios(tables: Tables, net: str, variant: str) -> pd.DataFrame:
    """Return G2/K, one row a seed, one column an (arm, width, i, j) with pair i, j of points."""
    arms = [arm for arm in tables.arms if arm.rsplit("_", 1)[0] == net]
    table = pd.concat([tables(arm, "two_point").assign(arm=arm) for arm in arms])
    table = table[table["variant"] == variant]
    return table.assign(ratio=table["g2"] / table["kernel"]).pivot(index="seed", columns=KEYS, values="ratio")


def _mean(found: pd.DataFrame) -> pd.DataFrame:
    """Over pairs, then over arms, whose draws are independent: one column a width."""
    by_arm = found.T.groupby(level=["arm", "width"]).mean()
    return by_arm.groupby(level="width").mean().T


def _furthest(found: pd.DataFrame) -> list[Unit]:
    reach = (found.mean() - 1).abs() + REACH * found.sem()
    return _units(found, int(reach.argmax()))


def _closest(found: pd.DataFrame) -> list[Unit]:
    """A control need not fail at every pair of points, but at every width."""
    clear = (found.mean() - 1).abs() - REACH * found.sem()
    worst = clear[clear == clear.groupby(level=["arm", "width"]).transform("max")]
    return _units(found[worst.index], int(worst.argmin()))


def _units(found: pd.DataFrame, at: int) -> list[Unit]:
    arm, width, i, j = (found.columns.get_level_values(key)[at] for key in KEYS)
    where = f"{arm.rsplit('_', 1)[1]}, N={width}, points {i} and {j}"
    return [Unit(f"seed {seed}, {where}", float(value)) for seed, value in found.iloc[:, at].items()]

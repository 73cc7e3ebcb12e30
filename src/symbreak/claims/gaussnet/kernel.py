"""Evidence of ``gaussnet-kernel``: sampled two-point functions of Gauss-nets over the talk's kernel.

A unit is a seed: one independent ensemble a width and input dimension. Arms: ``d1``, ``d2``, ``d3``, ``d784``.
"""

import numpy as np
import pandas as pd

from symbreak.claims.evidence import Unit
from symbreak.claims.tables import Tables

# An interval at the family's level (99.74 %) over 20 seeds is about this many standard errors to either side.
REACH = 3.5


def ratio_d1(tables: Tables) -> list[Unit]:
    """G2/K at d = 1, mean over pairs of inputs, at the width that reaches furthest from 1."""
    return _furthest(tables, "d1")


def ratio_d2(tables: Tables) -> list[Unit]:
    """The same at d = 2."""
    return _furthest(tables, "d2")


def ratio_d3(tables: Tables) -> list[Unit]:
    """The same at d = 3."""
    return _furthest(tables, "d3")


def ratio_d784(tables: Tables) -> list[Unit]:
    """The same at d = 784."""
    return _furthest(tables, "d784")


def no_root_d1(tables: Tables) -> list[Unit]:
    """G2/K at d = 1 without the normaliser's square root, at the width that comes closest to 1."""
    return _closest(tables, "d1", "no_root")


def authors_d2(tables: Tables) -> list[Unit]:
    """G2/K at d = 2 with the normaliser of the authors' code, at the width that comes closest to 1."""
    return _closest(tables, "d2", "authors")


def authors_d3(tables: Tables) -> list[Unit]:
    """The same at d = 3."""
    return _closest(tables, "d3", "authors")


def authors_d784(tables: Tables) -> list[Unit]:
    """The same at d = 784."""
    return _closest(tables, "d784", "authors")


def far_pairs(tables: Tables) -> list[Unit]:
    """G2/K for the pairs of inputs furthest apart, mean over widths and the four input dimensions."""
    return _far(tables, 0.5)


def far_pairs_without_half(tables: Tables) -> list[Unit]:
    """The same over a kernel that lacks the 1/2 in its exponent."""
    return _far(tables, 1.0)


def slope(tables: Tables) -> list[Unit]:
    """Change of G2/K per factor 10 in width, mean over the four input dimensions."""
    return _slopes(tables, "formula")


def slope_shifted(tables: Tables) -> list[Unit]:
    """The same for last layers with a mean, whose two-point function does depend on the width."""
    return _slopes(tables, "shifted")


def ratios(table: pd.DataFrame, variant: str) -> pd.DataFrame:
    """Return the mean over pairs of inputs of G2/K, one row a seed, one column a width."""
    chosen = table[table["variant"] == variant]
    return (chosen["g2"] / chosen["kernel"]).groupby([chosen["seed"], chosen["width"]]).mean().unstack("width")


def _far(tables: Tables, coefficient: float) -> list[Unit]:
    """Over K = 1 + exp(-coefficient |x-y|^2/d), the talk's for 1/2; its decay shows most where it has gone furthest."""
    per_arm = {arm: _far_ratio(tables(arm, "kernel"), coefficient) for arm in tables.arms}
    return [Unit(f"seed {seed}", float(value)) for seed, value in pd.DataFrame(per_arm).mean(axis=1).items()]


def _far_ratio(table: pd.DataFrame, coefficient: float) -> pd.Series:
    chosen = table[(table["variant"] == "formula") & np.isclose(table["distance2"], table["distance2"].max())]
    ratio = chosen["g2"] / (1 + np.exp(-coefficient * chosen["distance2"]))
    means: pd.Series = ratio.groupby(chosen["seed"]).mean()
    return means


def _furthest(tables: Tables, arm: str) -> list[Unit]:
    """The statement is about every width, so the worst one decides."""
    table = ratios(tables(arm, "kernel"), "formula")
    return _units(table, int(((table.mean() - 1).abs() + REACH * table.sem()).idxmax()))


def _closest(tables: Tables, arm: str, variant: str) -> list[Unit]:
    """A control must fail at every width, so the one nearest to passing decides."""
    table = ratios(tables(arm, "kernel"), variant)
    return _units(table, int(((table.mean() - 1).abs() - REACH * table.sem()).idxmin()))


def _units(table: pd.DataFrame, width: int) -> list[Unit]:
    return [Unit(f"seed {seed}, N={width}", float(value)) for seed, value in table[width].items()]


def _slopes(tables: Tables, variant: str) -> list[Unit]:
    """Dimensions have independent draws, so that their mean is one number a seed."""
    per_arm = pd.DataFrame({arm: _slope(ratios(tables(arm, "kernel"), variant)) for arm in tables.arms})
    return [Unit(f"seed {seed}", float(value)) for seed, value in per_arm.mean(axis=1).items()]


def _slope(table: pd.DataFrame) -> pd.Series:
    decades = np.log10(table.columns.to_numpy(dtype=float))
    slopes = np.polynomial.polynomial.polyfit(decades, table.to_numpy().T, 1)[1]
    return pd.Series(slopes, index=table.index)

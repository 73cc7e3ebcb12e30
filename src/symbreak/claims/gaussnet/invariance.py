"""Evidence of ``gaussnet-invariance``: the part of sampled correlators that rotations of the outputs change.

A unit is a seed: one independent ensemble a net, width and mean. Arms: ``relu_3``, ``relu_5``, ``gauss_3``, ``gauss_5``
(neuron and number of outputs D; Gauss-nets with sigma_b = 0.25), ``paper_3``, ``paper_5`` (Gauss-nets as in the paper).
"""

import pandas as pd

from symbreak.claims.evidence import Unit
from symbreak.claims.gaussnet.extremes import closest, furthest
from symbreak.claims.tables import Tables

OURS = ("relu", "gauss")


def g2_d3(tables: Tables) -> list[Unit]:
    """2-point functions at D = 3: squared norm outside the invariant subspace over that inside, at the worst width."""
    return furthest(effects(tables, 3, 2, shifted=False), 0)


def g2_d5(tables: Tables) -> list[Unit]:
    """The same at D = 5."""
    return furthest(effects(tables, 5, 2, shifted=False), 0)


def g4_d3(tables: Tables) -> list[Unit]:
    """4-point functions at D = 3."""
    return furthest(effects(tables, 3, 4, shifted=False), 0)


def g4_d5(tables: Tables) -> list[Unit]:
    """4-point functions at D = 5."""
    return furthest(effects(tables, 5, 4, shifted=False), 0)


def g2_d3_shifted(tables: Tables) -> list[Unit]:
    """2-point functions at D = 3 of nets whose last layer has a mean in one output, where they come closest to 0."""
    return closest(effects(tables, 3, 2, shifted=True), 0)


def g2_d5_shifted(tables: Tables) -> list[Unit]:
    """The same at D = 5."""
    return closest(effects(tables, 5, 2, shifted=True), 0)


def g4_d3_shifted(tables: Tables) -> list[Unit]:
    """4-point functions at D = 3 of such nets."""
    return closest(effects(tables, 3, 4, shifted=True), 0)


def g4_d5_shifted(tables: Tables) -> list[Unit]:
    """4-point functions at D = 5 of such nets."""
    return closest(effects(tables, 5, 4, shifted=True), 0)


def papers_g2(tables: Tables) -> list[Unit]:
    """The authors' sigma_M/delta_M of 2-point functions of their nets, at the width where it is largest."""
    return furthest(papers_ratios(tables, ("paper",), 2, shifted=False), 0)


def papers_g2_shifted(tables: Tables) -> list[Unit]:
    """The same of their nets with a mean in one output, at the width where it is smallest."""
    return closest(papers_ratios(tables, ("paper",), 2, shifted=True), 0)


def papers_g4(tables: Tables) -> list[Unit]:
    """The authors' sigma_M/delta_M of 4-point functions of the nets without heavy tails."""
    return furthest(papers_ratios(tables, OURS, 4, shifted=False), 0)


def papers_g4_shifted(tables: Tables) -> list[Unit]:
    """The same of these nets with a mean in one output."""
    return closest(papers_ratios(tables, OURS, 4, shifted=True), 0)


def effects(tables: Tables, outputs: int, order: int, *, shifted: bool) -> pd.DataFrame:
    """Return |noninvariant|^2/|invariant|^2, one row a seed, one column a net and width."""
    return _settings(tables, [f"{net}_{outputs}" for net in OURS], order, shifted, "noninvariant2", "invariant2")


def papers_ratios(tables: Tables, nets: tuple[str, ...], order: int, *, shifted: bool) -> pd.DataFrame:
    """Return sigma_M/delta_M, one row a seed, one column a net, number of outputs and width."""
    arms = [f"{net}_{outputs}" for net in nets for outputs in (3, 5)]
    return _settings(tables, arms, order, shifted, "sigma_m", "delta_m")


def _settings(tables: Tables, arms: list[str], order: int, shifted: bool, over: str, under: str) -> pd.DataFrame:
    columns = []
    for arm in arms:
        table = tables(arm, "invariance")
        table = table[(table["order"] == order) & ((table["mean"] > 0) == shifted)]
        names = arm + ", N=" + table["width"].astype(str)
        columns.append((table[over] / table[under]).groupby([table["seed"], names]).mean().unstack())
    return pd.concat(columns, axis=1)

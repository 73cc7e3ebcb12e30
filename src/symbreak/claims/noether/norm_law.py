"""Evidence of ``noether-norm-law``: exact discrete and approximate continuous laws of Noether charges, and their signs.

A law holds on a set of parameters if it holds for all its units, so a set's error is its worst unit's. The claim is
held to the worst set that has the symmetry, its control to the best set that has not. Arms are told apart by what
they are (``momentum``, ``decay``, ``norm_eps``), not by name.
"""

import numpy as np
import pandas as pd

from symbreak.claims.evidence import Unit
from symbreak.claims.tables import Tables

SHARE = 0.95  # of the neurons that must move the right way: design catalogue, A3, "in >= 95 % neurons"


def discrete_error(tables: Tables) -> list[Unit]:
    """Worst nErr of the discrete law over symmetric sets of all arms whose symmetry is exact (no BatchNorm epsilon)."""
    return _worst(_exact(_rows(tables, control=False)), "discrete")


def discrete_error_without_symmetry(tables: Tables) -> list[Unit]:
    """Best nErr of the discrete law over sets without the symmetry, in the same arms."""
    return _best(_exact(_rows(tables, control=True)), "discrete")


def continuous_error(tables: Tables) -> list[Unit]:
    """Worst nErr of the continuous law without momentum, over symmetric sets, BatchNorm's usual epsilon included."""
    return _worst(_plain(_rows(tables, control=False)), "continuous")


def continuous_error_without_symmetry(tables: Tables) -> list[Unit]:
    """Best nErr of the continuous law without momentum, over sets without the symmetry."""
    return _best(_plain(_rows(tables, control=True)), "continuous")


def growth_without_decay(tables: Tables) -> list[Unit]:
    """R(T)/R(0) that at least 95 % of the neurons before BatchNorm exceed, without momentum and decay."""
    return _neurons(tables, strongest=False, share=1 - SHARE, method="lower")


def lower_growth_with_decay(tables: Tables) -> list[Unit]:
    """R(T)/R(0) that at least 95 % of the neurons before BatchNorm exceed, at the strongest decay."""
    return _neurons(tables, strongest=True, share=1 - SHARE, method="lower")


def growth_with_decay(tables: Tables) -> list[Unit]:
    """R(T)/R(0) that at most 5 % of the neurons before BatchNorm exceed, without momentum, at the strongest decay."""
    return _neurons(tables, strongest=True, share=SHARE, method="higher")


def upper_growth_without_decay(tables: Tables) -> list[Unit]:
    """The same number without decay, where nothing draws the norm in."""
    return _neurons(tables, strongest=False, share=SHARE, method="higher")


def _rows(tables: Tables, *, control: bool) -> pd.DataFrame:
    whole = pd.concat([tables(arm, "noether_law").assign(arm=arm) for arm in tables.arms], ignore_index=True)
    return whole[whole["control"] == control]


def _exact(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[~(rows["norm_eps"] > 0)]


def _plain(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["momentum"] == 0]


def _worst(rows: pd.DataFrame, column: str) -> list[Unit]:
    return [_unit(seed, found[column].to_numpy().max()) for seed, found in rows.groupby("seed")]


def _best(rows: pd.DataFrame, column: str) -> list[Unit]:
    # numpy's maximum, unlike pandas', lets a replica that diverged (not a number) show.
    sets = rows.groupby(["seed", "arm", "symmetry", "set"])[column].agg(lambda errors: errors.to_numpy().max())
    return [_unit(seed, found.to_numpy().min()) for seed, found in sets.groupby("seed")]


def _neurons(tables: Tables, *, strongest: bool, share: float, method: str) -> list[Unit]:
    rows = _exact(_plain(_rows(tables, control=False)))
    rows = rows[(rows["symmetry"] == "scale") & ~rows["layer_sum"]]
    rows = rows[rows["decay"] == (rows["decay"].max() if strongest else 0)]
    growth = (rows["last"] / rows["first"]).where(~rows["diverged"])
    return [
        _unit(seed, np.quantile(found.to_numpy(), share, method=method))  # type: ignore[call-overload]
        for seed, found in growth.groupby(rows["seed"])
    ]


def _unit(seed: object, value: float) -> Unit:
    return Unit(f"seed {seed}", float(value))

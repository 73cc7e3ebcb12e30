"""Of a quantity at many settings (widths, neurons, laws), the one that decides, as units of seeds.

A statement about every setting is decided at the one that reaches furthest from what it says; a control that must fail
everywhere, at the one that comes closest to passing. Either is found by mean and standard error over seeds.
"""

import pandas as pd

from symbreak.claims.evidence import Unit
from symbreak.claims.gaussnet.kernel import REACH


def furthest(table: pd.DataFrame, target: float) -> list[Unit]:
    """Return the units of the setting whose interval reaches furthest from ``target``.

    Args:
        table: One row a seed, one column a setting, named as it is to be read in a unit's name.
        target: What the statement says.
    """
    return _units(table, str(((table.mean() - target).abs() + REACH * table.sem()).idxmax()))


def closest(table: pd.DataFrame, target: float) -> list[Unit]:
    """Return the units of the setting whose interval comes closest to ``target``; arguments as above."""
    return _units(table, str(((table.mean() - target).abs() - REACH * table.sem()).idxmin()))


def _units(table: pd.DataFrame, setting: str) -> list[Unit]:
    return [Unit(f"seed {seed}, {setting}", float(value)) for seed, value in table[setting].items()]

"""What claims about correlators against width share: worst and best widths, and log-log slopes, a unit a seed."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from symbreak.claims.evidence import Unit
from symbreak.claims.gaussnet.kernel import REACH
from symbreak.claims.tables import Tables
from symbreak.errors import SymbreakError

PROBE = "correlators"
TAILS = (2, 3, 4, 5)  # widths at which a Gauss-net's plain estimates must be seen to fail (catalogue, Q2: N <= 5)


def by_width(table: pd.DataFrame, estimator: str, column: str, widths: Sequence[int], power: int = 0) -> pd.DataFrame:
    """Return N^power times a column of the table ``correlators``, one row a seed, one column a width.

    Raises:
        SymbreakError: The estimator was not taken at one of the widths.
    """
    chosen = table[table["estimator"] == estimator]
    found = chosen.pivot(index="seed", columns="width", values=column)
    missing = sorted(set(widths) - set(found.columns))
    if missing:
        raise SymbreakError(
            f"expected estimates '{estimator}' at the widths {list(widths)}, found none at {missing}; add them to "
            f"'{estimator}' of the probe '{PROBE}' in params.yaml"
        )
    found = found[list(widths)]
    return found * found.columns.to_numpy(dtype=float) ** power


def exact(tables: Tables, net: str, column: str, power: int) -> float:
    """Return N^power times what theory gives for a column of a net, the same at every width."""
    row = tables(net, PROBE).query("estimator == 'plain'").iloc[0]
    return float(row[f"{column}_exact"] * row["width"] ** power)


def furthest(found: pd.DataFrame, reference: float) -> list[Unit]:
    """Return the units of the width whose interval reaches furthest from a number: the worst one decides."""
    return _units(found, int(((found.mean() - reference).abs() + REACH * found.sem()).idxmax()))


def closest(found: pd.DataFrame, reference: float) -> list[Unit]:
    """Return the units of the width whose interval comes closest to a number: a control must fail at every width."""
    return _units(found, int(((found.mean() - reference).abs() - REACH * found.sem()).idxmin()))


def slopes(found: pd.DataFrame) -> list[Unit]:
    """Return each seed's slope of log10 of a quantity against log10 N by least squares; NaN if it is not positive."""
    decades = np.log10(found.columns.to_numpy(dtype=float))
    logarithms = np.log10(found.where(found > 0).to_numpy())
    centred = decades - decades.mean()
    values = logarithms @ centred / (centred @ centred)
    return [Unit(f"seed {seed}", float(value)) for seed, value in zip(found.index, values, strict=True)]


def _units(found: pd.DataFrame, width: int) -> list[Unit]:
    return [Unit(f"seed {seed}, N={width}", float(value)) for seed, value in found[width].items()]

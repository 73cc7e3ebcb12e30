"""Evidence of ``expansion-accuracy``: the operator, and paired gains in test accuracy."""

import pandas as pd

from symbreak.claims.accuracy import paired_gain
from symbreak.claims.evidence import Unit
from symbreak.claims.tables import Tables


def operator_violations(tables: Tables) -> list[Unit]:
    """Fraction of pixels that break the definition, for each configuration of every arm that fills with a constant."""
    return _violations(tables, ["constant", "zero"])


def operator_violations_nearest(tables: Tables) -> list[Unit]:
    """The same for nearest-neighbour upsampling, which keeps the pixels but fills with neighbours."""
    return _violations(tables, ["nearest"])


def gain_constant(tables: Tables) -> list[Unit]:
    """Gain of expansion with the constant 0.5 over the raw images."""
    return paired_gain(tables, "constant", "raw")


def gain_sham(tables: Tables) -> list[Unit]:
    """Gain over the raw images of the raw images again, with a change to the network that should not matter."""
    return paired_gain(tables, "sham", "raw")


def constant_over_nearest(tables: Tables) -> list[Unit]:
    """Advantage of the constant 0.5 over nearest-neighbour upsampling to the same size."""
    return paired_gain(tables, "constant", "nearest")


def constant_over_zero(tables: Tables) -> list[Unit]:
    """Advantage of the constant 0.5 over a zero fill of the same size."""
    return paired_gain(tables, "constant", "zero")


def _violations(tables: Tables, arms: list[str]) -> list[Unit]:
    return [unit for arm in arms for unit in _operator_units(arm, tables(arm, "expansion_operator"))]


def _operator_units(arm: str, table: pd.DataFrame) -> list[Unit]:
    """One unit a configuration; without filler (factor 1) there is nothing that an upsampling could get wrong."""
    if arm == "nearest":
        table = table[table["factor"] > 1]
    names = "arm " + arm + ", factor " + table["factor"].astype(str) + ", offset " + table["offset"].astype(str)
    fractions = table["violated"] / table["pixels"]
    return [Unit(f"{name}, {when}", float(x)) for name, when, x in zip(names, table["when"], fractions, strict=True)]

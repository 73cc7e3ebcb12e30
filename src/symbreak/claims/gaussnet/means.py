"""Evidence of ``gaussnet-means``: test accuracy of Gauss-nets against the mean of their last layer's weights."""

import numpy as np

from symbreak.claims.accuracy import accuracy_units, paired_gain
from symbreak.claims.evidence import Unit
from symbreak.claims.tables import Tables

MEANS = {"000": 0.0, "010": 0.1, "020": 0.2, "050": 0.5, "100": 1.0}


def slope_mse(tables: Tables) -> list[Unit]:
    """Each seed's least-squares slope of accuracy against the mean, networks trained with mean squared error."""
    return _slopes(tables, "mse")


def slope_cross_entropy(tables: Tables) -> list[Unit]:
    """The same with cross-entropy, which a mean common to all outputs cannot reach."""
    return _slopes(tables, "ce")


def loss_mse(tables: Tables) -> list[Unit]:
    """Accuracy at mean 0 less that at mean 0.5, seed by seed, with mean squared error."""
    return paired_gain(tables, "mse_000", "mse_050")


def changes_cross_entropy(tables: Tables) -> list[Unit]:
    """Accuracy at mean 0 less that at each other mean, seed by seed, with cross-entropy."""
    return [
        Unit(f"mean {MEANS[name]:g}, {unit.unit}", unit.value)
        for name in MEANS
        if name != "000"
        for unit in paired_gain(tables, "ce_000", f"ce_{name}")
    ]


def _slopes(tables: Tables, loss: str) -> list[Unit]:
    arms = [accuracy_units(tables, f"{loss}_{name}", "test") for name in MEANS]
    means = np.array(list(MEANS.values()))
    centred = means - means.mean()
    return [
        Unit(seed[0].unit, float(centred @ [unit.value for unit in seed] / (centred @ centred)))
        for seed in zip(*arms, strict=True)
    ]

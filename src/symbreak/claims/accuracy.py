"""Units of evidence from the tables of the probe ``accuracy``: one replica, one number."""

import math
from typing import Literal

import pandas as pd

from symbreak.claims.evidence import Unit
from symbreak.claims.tables import Tables
from symbreak.errors import SymbreakError

On = Literal["train", "test", "best_test"]


def accuracy_units(tables: Tables, arm: str, on: On) -> list[Unit]:
    """Return every replica's accuracy, with its image counts.

    Args:
        tables: The experiment's probe tables.
        arm: The arm.
        on: ``train`` (the run's own training images and labels) or ``test``, at the end of training, or ``best_test``,
            the maximum over epochs of the latter, a mildly optimistic score.

    Returns:
        One unit a replica, value a fraction, not a number for a replica that diverged: it has no end of training, and
        the interval that counts it has none either. Replicas that share a data order are one cluster.
    """
    table = tables(arm, "accuracy").sort_values(["seed", "order_seed"])
    trials = table["train_count" if on == "train" else "test_count"]
    counts = zip(table[f"{on}_correct"], trials, table["diverged"], strict=True)
    return [
        Unit(unit, math.nan if diverged else count / of, cluster, count=int(count), trials=int(of))
        for (unit, cluster), (count, of, diverged) in zip(_names(table), counts, strict=True)
    ]


def _names(table: pd.DataFrame) -> list[tuple[str, str | None]]:
    """Name the unit and the cluster of each row: seed, and the data order where it is shared."""
    found: list[tuple[str, str | None]] = []
    for seed, order in zip(table["seed"], table["order_seed"], strict=True):
        found.append((f"seed {seed}", None) if pd.isna(order) else (f"seed {seed}, order {order}", f"order {order}"))
    return found


def paired_gain(tables: Tables, arm: str, over: str) -> list[Unit]:
    """Return the difference in final test accuracy between two arms, seed by seed.

    Replicas of one seed share initialisation and data order, so their common fluctuation drops out.

    Args:
        tables: The experiment's probe tables.
        arm: The arm whose gain is asked for.
        over: The arm it is compared with.

    Returns:
        One unit a replica, value ``accuracy(arm) - accuracy(over)`` as a fraction; a shared data order is a cluster.

    Raises:
        SymbreakError: The two arms do not have the same seeds and orders.
    """
    ours, theirs = (_test_accuracy(tables, name) for name in (arm, over))
    names, others = (_names(accuracy.index.to_frame()) for accuracy in (ours, theirs))
    if names != others:
        found, expected = ([unit for unit, _ in units] for units in (names, others))
        raise SymbreakError(
            f"arms '{arm}' and '{over}' are compared replica by replica but have {found} "
            f"and {expected}: run both with the same seeds and orders"
        )
    return [
        Unit(unit, float(gain), cluster)
        for (unit, cluster), gain in zip(names, ours.to_numpy() - theirs.to_numpy(), strict=True)
    ]


def _test_accuracy(tables: Tables, arm: str) -> pd.Series:
    table = tables(arm, "accuracy").set_index(["seed", "order_seed"]).sort_index()
    return (table["test_correct"] / table["test_count"]).where(~table["diverged"].astype(bool))

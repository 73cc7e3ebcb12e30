"""Units of evidence from the tables of the probe ``accuracy``: one replica, one number."""

import math

import pandas as pd

from symbreak.claims.evidence import Unit
from symbreak.claims.tables import Tables
from symbreak.errors import SymbreakError


def accuracy_units(tables: Tables, arm: str, on: str) -> list[Unit]:
    """Return the accuracy of every replica at the end of training, with its image counts.

    Args:
        tables: The experiment's probe tables.
        arm: The arm.
        on: ``train`` (the run's own training images and labels) or ``test``.

    Returns:
        One unit a seed, value a fraction, not a number for a replica that diverged: it has no end of training, and
        the interval that counts it has none either. Replicas have their own data order, so no two share a cluster.
    """
    table = tables(arm, "accuracy").sort_values("seed")
    counts = zip(table["seed"], table[f"{on}_correct"], table[f"{on}_count"], table["diverged"], strict=True)
    return [_counted(f"seed {seed}", int(n), int(of), bool(diverged)) for seed, n, of, diverged in counts]


def _counted(unit: str, count: int, trials: int, diverged: bool) -> Unit:
    return Unit(unit, math.nan if diverged else count / trials, count=count, trials=trials)


def paired_gain(tables: Tables, arm: str, over: str) -> list[Unit]:
    """Return the difference in final test accuracy between two arms, seed by seed.

    Replicas of one seed share initialisation and data order, so their common fluctuation drops out.

    Args:
        tables: The experiment's probe tables.
        arm: The arm whose gain is asked for.
        over: The arm it is compared with.

    Returns:
        One unit a seed, value ``accuracy(arm) - accuracy(over)`` as a fraction.

    Raises:
        SymbreakError: The two arms do not have the same seeds.
    """
    ours, theirs = (_test_accuracy(tables, name) for name in (arm, over))
    if not ours.index.equals(theirs.index):
        raise SymbreakError(
            f"arms '{arm}' and '{over}' are compared seed by seed but have the seeds {list(ours.index)} "
            f"and {list(theirs.index)}: run both with the same seeds"
        )
    return [Unit(f"seed {seed}", float(gain)) for seed, gain in (ours - theirs).items()]


def _test_accuracy(tables: Tables, arm: str) -> pd.Series:
    table = tables(arm, "accuracy").set_index("seed").sort_index()
    return (table["test_correct"] / table["test_count"]).where(~table["diverged"].astype(bool))

"""Accuracy of each trained replica: images classified correctly before, at best and at the end of training."""

import numpy as np
import pandas as pd

from symbreak.probes.source import Source


def probe(source: Source, *, fitted: float = 0.999) -> pd.DataFrame:
    """Summarise each replica's history.

    Counts are images, of the run's own training subset with the labels that it was trained on and of its test subset
    with true labels; a replica that diverged is measured at its last finite parameters.

    Args:
        source: The arm's run.
        fitted: Training accuracy (fraction) from which the training set counts as fitted.

    Returns:
        One row a replica: ``seed``, ``order_seed`` (of a shared data order, else null), ``epochs``, ``diverged``,
        ``train_correct``, ``train_count`` (end of training),
        ``initial_train_correct`` (before it; null if not evaluated), ``test_correct``, ``test_count`` (end of
        training), ``best_test_correct`` (maximum over epochs, a mildly optimistic score that papers print) and
        ``fitted_epoch`` (first epoch with training accuracy of at least ``fitted``; null if there is none).
    """
    replicas = source.epochs.groupby(["seed", "order_seed"], sort=True, dropna=False)
    rows = [_summary(history.sort_values("epoch"), fitted) for _, history in replicas]
    whole = ["order_seed", "initial_train_correct", "fitted_epoch"]
    return pd.DataFrame(rows).astype(dict.fromkeys(whole, "Int64"))


def _summary(history: pd.DataFrame, fitted: float) -> dict[str, object]:
    first, last = history.iloc[0], history.iloc[-1]
    reached = history.loc[history["train_correct"] >= fitted * history["train_count"], "epoch"]
    return {
        "seed": int(last["seed"]),
        "order_seed": None if pd.isna(last["order_seed"]) else int(last["order_seed"]),
        "epochs": int(last["epoch"]),
        "diverged": bool(last["diverged"]),
        "train_correct": int(last["train_correct"]),
        "train_count": int(last["train_count"]),
        "initial_train_correct": None if np.isnan(first["train_correct"]) else int(first["train_correct"]),
        "test_correct": int(last["test_correct"]),
        "test_count": int(last["test_count"]),
        "best_test_correct": int(history["test_correct"].max()),
        "fitted_epoch": None if reached.empty else int(reached.iloc[0]),
    }

"""Accuracy by epoch of each replica, as fractions of the images evaluated."""

import pandas as pd

from symbreak.probes.source import Source


def probe(source: Source) -> pd.DataFrame:
    """Return the learning curves of a run.

    Args:
        source: The arm's run.

    Returns:
        One row an epoch and replica: ``seed``, ``order_seed`` (of a shared data order, else null), ``epoch`` (0:
        before training), ``step``, ``train_accuracy`` (on the
        labels trained on; null where it was not evaluated) and ``test_accuracy`` (on true labels).
    """
    epochs = source.epochs.sort_values(["seed", "order_seed", "epoch"], ignore_index=True)
    return epochs[["seed", "order_seed", "epoch", "step"]].assign(
        train_accuracy=epochs["train_correct"] / epochs["train_count"],
        test_accuracy=epochs["test_correct"] / epochs["test_count"],
    )

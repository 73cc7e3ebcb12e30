"""The histories of a run as tables."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from symbreak.training.evaluation import Score
from symbreak.training.replicas import Replica
from symbreak.training.trained import Epoch, Trained

REPLICA = [("seed", pa.int64()), ("order_seed", pa.int64())]
STEPS = pa.schema([*REPLICA, ("step", pa.int64()), ("loss", pa.float64()), ("learning_rate", pa.float64())])
EPOCHS = pa.schema(
    [
        *REPLICA,
        ("epoch", pa.int64()),
        ("step", pa.int64()),
        ("train_loss", pa.float64()),
        ("train_correct", pa.int64()),
        ("train_count", pa.int64()),
        ("test_loss", pa.float64()),
        ("test_correct", pa.int64()),
        ("test_count", pa.int64()),
        ("diverged", pa.bool_()),
    ]
)


def steps_table(groups: Sequence[Trained]) -> pa.Table:
    """Return one row a replica and step, replica by replica; the loss is NaN after a replica has stopped."""
    replicas = [replica for group in groups for replica in group.replicas]
    rates = groups[0].plan.rates
    losses = np.concatenate([group.losses.numpy() for group in groups], axis=1)
    columns = [
        np.repeat(np.array([r.seed for r in replicas], np.int64), len(rates)),
        pa.array([r.order_seed for r in replicas], pa.int64()).take(np.repeat(np.arange(len(replicas)), len(rates))),
        np.tile(np.arange(1, len(rates) + 1), len(replicas)),
        losses.T.ravel(),
        np.tile(rates, len(replicas)),
    ]
    return pa.table([pa.array(column) for column in columns], schema=STEPS)


def epochs_table(groups: Sequence[Trained]) -> pa.Table:
    """Return one row a replica and epoch, replica by replica; ``train_*`` is null where it was not evaluated."""
    rows = [
        _row(epoch, number, replica, group.stopped_at[number])
        for group in groups
        for number, replica in enumerate(group.replicas)
        for epoch in group.epochs
    ]
    return pa.Table.from_pylist(rows, schema=EPOCHS)


def diverged(groups: Sequence[Trained]) -> list[dict[str, int]]:
    """Return ``{"seed": ..., "step": ...}`` of every replica that stopped, with ``order_seed`` if it shared an
    order."""
    stops = [(r, step) for group in groups for r, step in zip(group.replicas, group.stopped_at, strict=True)]
    return [
        {"seed": r.seed, "step": step} | ({} if r.order_seed is None else {"order_seed": r.order_seed})
        for r, step in stops
        if step is not None
    ]


def _row(epoch: Epoch, number: int, replica: Replica, stopped_at: int | None) -> dict[str, int | float | bool | None]:
    return {
        "seed": replica.seed,
        "order_seed": replica.order_seed,
        "epoch": epoch.epoch,
        "step": epoch.step,
        "diverged": stopped_at is not None and stopped_at <= epoch.step,
        **_scores("train", epoch.train, number),
        **_scores("test", epoch.test, number),
    }


def _scores(part: str, score: Score | None, replica: int) -> dict[str, int | float | bool | None]:
    if score is None:
        return {}
    return {
        f"{part}_loss": float(score.loss[replica]),
        f"{part}_correct": int(score.correct[replica]),
        f"{part}_count": score.count,
    }

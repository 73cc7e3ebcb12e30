"""The histories of a run as tables."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from symbreak.training.engine import Epoch, Trained
from symbreak.training.evaluation import Score

STEPS = pa.schema([("seed", pa.int64()), ("step", pa.int64()), ("loss", pa.float64()), ("learning_rate", pa.float64())])
EPOCHS = pa.schema(
    [
        ("seed", pa.int64()),
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
    seeds = [seed for group in groups for seed in group.seeds]
    rates = groups[0].plan.rates
    losses = np.concatenate([group.losses.numpy() for group in groups], axis=1)
    columns = [
        np.repeat(np.array(seeds, np.int64), len(rates)),
        np.tile(np.arange(1, len(rates) + 1), len(seeds)),
        losses.T.ravel(),
        np.tile(rates, len(seeds)),
    ]
    return pa.table([pa.array(column) for column in columns], schema=STEPS)


def epochs_table(groups: Sequence[Trained]) -> pa.Table:
    """Return one row a replica and epoch, replica by replica; ``train_*`` is null where it was not evaluated."""
    rows = [
        _row(epoch, replica, seed, group.stopped_at[replica])
        for group in groups
        for replica, seed in enumerate(group.seeds)
        for epoch in group.epochs
    ]
    return pa.Table.from_pylist(rows, schema=EPOCHS)


def diverged(groups: Sequence[Trained]) -> list[dict[str, int]]:
    """Return ``{"seed": ..., "step": ...}`` of every replica that stopped."""
    stops = [(seed, step) for group in groups for seed, step in zip(group.seeds, group.stopped_at, strict=True)]
    return [{"seed": seed, "step": step} for seed, step in stops if step is not None]


def _row(epoch: Epoch, replica: int, seed: int, stopped_at: int | None) -> dict[str, int | float | bool | None]:
    return {
        "seed": seed,
        "epoch": epoch.epoch,
        "step": epoch.step,
        "diverged": stopped_at is not None and stopped_at <= epoch.step,
        **_scores("train", epoch.train, replica),
        **_scores("test", epoch.test, replica),
    }


def _scores(part: str, score: Score | None, replica: int) -> dict[str, int | float | bool | None]:
    if score is None:
        return {}
    return {
        f"{part}_loss": float(score.loss[replica]),
        f"{part}_correct": int(score.correct[replica]),
        f"{part}_count": score.count,
    }

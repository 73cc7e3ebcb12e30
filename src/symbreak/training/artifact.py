"""The three files of a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import save_file
from torch import Tensor

from symbreak.data.training_set import TrainingSet
from symbreak.files import atomic, canonical
from symbreak.training.history import epochs_table, steps_table
from symbreak.training.trained import Trained


def write(out: Path, groups: Sequence[Trained], data: TrainingSet, params: dict[str, Any]) -> None:
    """Write ``A.steps.parquet``, ``A.epochs.parquet`` and, last, ``A.safetensors``; equal runs give equal bytes.

    Args:
        out: ``A.safetensors``.
        groups: The trained groups.
        data: What they were trained on.
        params: The run's parameters, for the metadata.
    """
    _write_table(out.with_suffix(".steps.parquet"), steps_table(groups))
    _write_table(out.with_suffix(".epochs.parquet"), epochs_table(groups))
    # several metadata keys would be written in an order that differs between runs
    metadata = {"symbreak": canonical(params)}
    with atomic(out) as temporary:
        save_file(tensors(groups, data), temporary, metadata=metadata)


def tensors(groups: Sequence[Trained], data: TrainingSet) -> dict[str, Tensor]:
    """Return the run's tensors by their names in ``A.safetensors``; see ``docs/developing.md``."""
    found = {
        "data/train_index": torch.from_numpy(data.train_index),
        "data/train_labels": torch.from_numpy(data.train_labels),
        "data/test_index": torch.from_numpy(data.test_index),
    }
    for step, state in groups[0].checkpoints.items():
        for name in state:
            found[f"step={step:08d}/{name}"] = torch.cat([group.checkpoints[step][name] for group in groups])
    for name in groups[0].observed:
        found[f"observed/{name}"] = torch.cat([group.observed[name].cpu() for group in groups], dim=1)
    return found


def _write_table(path: Path, table: pa.Table) -> None:
    with atomic(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")

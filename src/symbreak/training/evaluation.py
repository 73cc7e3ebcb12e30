"""Loss and accuracy of an ensemble on whole sets."""

from dataclasses import dataclass

import torch
from torch import Tensor

from symbreak.models.model import Model, State
from symbreak.training.examples import CHUNK, Examples
from symbreak.training.losses import LOSSES, predictions


@dataclass(frozen=True)
class Score:
    """Mean loss float64 ``[R]`` and correctly classified examples int64 ``[R]`` of ``count``."""

    loss: Tensor
    correct: Tensor
    count: int


@torch.no_grad()
def evaluate(model: Model, state: State, loss: str, examples: Examples) -> Score:
    """Evaluate all replicas in eval mode (BatchNorm by its running statistics); ``loss``: key of ``LOSSES``."""
    losses, correct = [], []
    for start in range(0, examples.count, CHUNK):
        x, labels = examples.span(start, start + CHUNK)
        outputs = model.forward(state, x, train=False)
        losses.append(LOSSES[loss](outputs, labels).sum(1, dtype=torch.float64))
        correct.append((predictions(loss, outputs) == labels).sum(1))
    return Score(torch.stack(losses).sum(0).cpu() / examples.count, torch.stack(correct).sum(0).cpu(), examples.count)

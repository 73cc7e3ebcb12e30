"""Derivatives on CUDA as one graph a batch shape: small networks wait longer for launches than for what is launched."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from symbreak.models.gradients import Derivatives
from symbreak.models.model import Noise, State
from symbreak.training.differentiate import Differentiator

WARM = 3  # calls before recording: libraries choose their kernels and take their workspaces in the first ones

Replay = Callable[[], None]
Record = Callable[[Callable[[], Derivatives]], tuple[Derivatives, Replay]]


def recorded(run: Callable[[], Derivatives]) -> tuple[Derivatives, Replay]:
    """Record what ``run`` launches; return what it gave and a call that computes this again, in the same memory."""
    stream = _stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        found = run()
    return found, graph.replay


@cache
def _stream() -> torch.cuda.Stream:
    """One stream for all graphs: PyTorch keeps a cuBLAS workspace of megabytes for every stream that it has seen."""
    return torch.cuda.Stream()


class _Recorded(NamedTuple):
    x: Tensor
    labels: Tensor
    found: Derivatives
    replay: Replay


class Graphed:
    """Differentiates by replaying what another differentiator launched for batches of the same shape.

    Args:
        inner: It must read nothing but the batch and the entries of one state, and change neither.
        record: Who records; see :func:`recorded`.
    """

    def __init__(self, inner: Differentiator, record: Record = recorded) -> None:
        self._inner, self._record = inner, record
        self._kept: dict[tuple[torch.Size, torch.Size], _Recorded] = {}

    def __call__(self, state: State, x: Tensor, labels: Tensor, noise: Noise) -> Derivatives:
        """Differentiate; see ``Differentiator``."""
        shapes = x.shape, labels.shape
        if shapes not in self._kept:
            own_x, own_labels = x.clone(), labels.clone()
            found, replay = self._record(lambda: self._inner(state, own_x, own_labels, noise))
            found = found._replace(size=None)  # a number stays that of the batch recorded
            self._kept[shapes] = _Recorded(own_x, own_labels, found, replay)
        kept = self._kept[shapes]
        kept.x.copy_(x)
        kept.labels.copy_(labels)
        kept.replay()
        return kept.found

    def changed(self, state: State) -> None:
        """Take notice that the parameters have changed."""
        self._inner.changed(state)

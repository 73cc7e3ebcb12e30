"""A chain of blocks run with each block deleted and with neighbours swapped, the blocks before them computed once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from symbreak.probes.blocks import Trace, trace
from symbreak.probes.blocks_part import Chain, Step
from symbreak.probes.network import Data
from symbreak.probes.scores import score
from symbreak.training.losses import Loss

HELD = 2**26  # numbers of the blocks' outputs that are kept at once (256 MB in float32)


@dataclass(frozen=True)
class Plan:
    """Positions of the blocks that can be deleted, those that cannot, and the first of each pair that can be swapped.

    ``size``: samples of a chunk, by which memory is bounded.
    """

    deleted: tuple[int, ...]
    shapeless: tuple[int, ...]
    swapped: tuple[int, ...]
    size: int


@dataclass(frozen=True)
class Runs:
    """Losses and hits ``[1 + D + W, N]``: intact, with a block deleted, with two swapped."""

    losses: NDArray[np.float64]
    hits: NDArray[np.bool_]


@torch.no_grad()
def plan(links: Chain, x: Tensor) -> Plan:
    """Say what can be done to a chain, by the shapes of a few samples."""
    few = x[:2]
    found, places = trace(links, few), range(len(links.blocks))
    stays = [found.inputs[n].shape == found.outputs[n].shape for n in places]
    deleted = tuple(n for n in places if links.blocks[n].residual or stays[n])
    swapped = tuple(
        n for n in places[:-1] if stays[n] and stays[n + 1] and found.inputs[n].shape == found.inputs[n + 1].shape
    )
    held = sum(h.numel() for h in (*found.inputs, *found.outputs)) // len(few)
    return Plan(deleted, tuple(n for n in places if n not in deleted), swapped, max(2, HELD // held))


@torch.no_grad()
def lesions(links: Chain, data: Data, loss: Loss, work: Plan) -> Runs:
    """Return every sample's losses and hits of all runs; blocks before a lesion are computed once."""
    steps = _steps(links, work)
    losses = np.empty((1 + len(steps), len(data.x)))
    hits = np.empty(losses.shape, dtype=np.bool_)
    for start in range(0, len(data.x), work.size):
        part = slice(start, start + work.size)
        known = trace(links, data.x[part])
        for n, outputs in enumerate([known.found, *_outputs(links, data.x[part], known, steps)]):
            loss_values, hit = score(outputs[None], data.y[part], loss)
            losses[n, part], hits[n, part] = loss_values[0].double().cpu().numpy(), hit[0].cpu().numpy()
    return Runs(losses, hits)


def _steps(links: Chain, work: Plan) -> list[dict[int, Step]]:
    blocks = links.blocks
    deleted: list[dict[int, Step]] = [{n: blocks[n].shortcut} for n in work.deleted]
    return deleted + [{n: blocks[n + 1].full, n + 1: blocks[n].full} for n in work.swapped]


def _outputs(links: Chain, x: Tensor, known: Trace, steps: Sequence[dict[int, Step]]) -> list[Tensor]:
    return [links.run(x, step, known.outputs[: min(step)]) for step in steps]

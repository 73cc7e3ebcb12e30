"""The gradient that travels on single paths through residual blocks; see ``lesion`` for the protocol."""

from collections.abc import Sequence
from itertools import combinations
from math import comb

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binom
from torch import Tensor

from symbreak.errors import SymbreakError
from symbreak.probes.blocks_part import Block, Chain, Step
from symbreak.probes.network import Data
from symbreak.training.losses import Loss

Array = NDArray[np.float64]
Masks = NDArray[np.bool_]
BATCH = 256  # samples times paths that are under way at once, by which memory is bounded


def counts(blocks: int) -> Array:
    """Return the share of the 2^n paths that have k branches, ``[n + 1]``."""
    return np.asarray(binom.pmf(np.arange(blocks + 1), blocks, 0.5))


def lengths(blocks: int, paths: int, seed: int) -> list[Masks]:
    """Return for every length k from 0 to n which branches its paths take, bool ``[m, n]``.

    All paths of a length if there are at most ``paths``, else so many, drawn independently.
    """
    rng = np.random.default_rng(seed)
    return [_every(blocks, k) if comb(blocks, k) <= paths else _drawn(blocks, k, paths, rng) for k in range(blocks + 1)]


def gradients(links: Chain, data: Data, loss: Loss, chosen: Sequence[Masks]) -> tuple[Array, Array]:
    """Return the mean length of the gradient at the input, by the length of the path, and its standard error.

    The error joins that over paths (none if these are all) and that over samples, as of two crossed factors; the spread
    of single paths at single samples is in both, so that it is rather too large than too small.

    Args:
        links: n blocks, all residual.
        data: Inputs and labels.
        loss: Of single samples.
        chosen: Paths of every length, of ``lengths``.

    Returns:
        Both ``[n + 1]``.
    """
    values, errors = [], []
    for k, masks in enumerate(chosen):
        norms = _norms(links, data, loss, torch.from_numpy(masks))
        everything = len(masks) == comb(masks.shape[1], k)
        over_paths = 0.0 if everything else norms.mean(1).var(ddof=1) / len(masks)
        values.append(norms.mean())
        errors.append(np.sqrt(over_paths + norms.mean(0).var(ddof=1) / norms.shape[1]))
    if not np.isfinite(values).all():
        raise SymbreakError("a path's gradient is NaN or infinite; probe other weights, or leave paths out by paths=0")
    return np.array(values), np.array(errors)


def _every(blocks: int, k: int) -> Masks:
    masks = np.zeros((comb(blocks, k), blocks), dtype=np.bool_)
    for row, taken in zip(masks, combinations(range(blocks), k), strict=True):
        row[list(taken)] = True
    return masks


def _drawn(blocks: int, k: int, paths: int, rng: np.random.Generator) -> Masks:
    return np.asarray(rng.permuted(np.tile(np.arange(blocks) < k, (paths, 1)), axis=1))


def _norms(links: Chain, data: Data, loss: Loss, masks: Tensor) -> Array:
    """Lengths of the gradients at the input ``[m, B]`` of every path ``[m, n]`` and sample."""
    paths, samples = len(masks), len(data.x)
    pairs = torch.cartesian_prod(torch.arange(paths), torch.arange(samples))
    found = [_norm(links, data.x[b], data.y[b], loss, masks[p].to(data.x)) for p, b in _columns(pairs)]
    return torch.cat(found).double().cpu().numpy().reshape(paths, samples)


def _columns(pairs: Tensor) -> list[tuple[Tensor, Tensor]]:
    return [(part[:, 0], part[:, 1]) for part in pairs.split(BATCH)]


def _norm(links: Chain, x: Tensor, y: Tensor, loss: Loss, take: Tensor) -> Tensor:
    """Lengths of the gradients ``[B]``, sample ``b`` on the path ``take[b]`` ``[n]``."""
    x = x.clone().requires_grad_()
    steps = {place: _weighted(block, take[:, place]) for place, block in enumerate(links.blocks)}
    losses = loss(links.run(x, steps)[None], y[None])
    (gradient,) = torch.autograd.grad(losses.sum(), x)
    norms: Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
    return norms


def _weighted(block: Block, take: Tensor) -> Step:
    return lambda h: block.weighted(h, 1 - take, take)

"""Sums over blocks of samples that come in pieces, which are never held together."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from symbreak.probes.npoint_moments import BlockSums, field_sums

Array = NDArray[np.float64]
Single = NDArray[np.float32]
Piece = tuple[Single, Array | None]  # samples [n, D, P] and their weights [n] (None: 1)
COLLECTED = 2**11  # samples whose products are summed at once


def block_sums(pieces: Iterator[Piece], parts: Sequence[slice], orders: Sequence[int]) -> BlockSums:
    """Sum pieces ``[n, D, P]`` with weights ``[n]``, which follow one another, over ``parts`` of all samples."""
    totals: list[dict[int, Array]] = [{} for _ in parts]
    done = 0
    for values, weights in _collected(pieces):
        end = done + len(values)
        for part, total in zip(parts, totals, strict=True):
            if part.start < end and part.stop > done:
                cut = slice(max(part.start - done, 0), part.stop - done)
                for order, sums in field_sums(values[cut], orders, None if weights is None else weights[cut]).items():
                    total[order] = total.get(order, 0.0) + sums
        done = end
    return BlockSums.of([(total, float(part.stop - part.start)) for part, total in zip(parts, totals, strict=True)])


def _collected(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Yield pieces of at least ``COLLECTED`` samples, but for the last: sums over a few cost as much as over many."""
    held: list[Piece] = []
    for piece in pieces:
        held.append(piece)
        if sum(len(values) for values, _ in held) >= COLLECTED:
            yield _joined(held)
            held = []
    if held:
        yield _joined(held)


def _joined(held: Sequence[Piece]) -> Piece:
    if len(held) == 1:
        return held[0]
    weights = [weight for _, weight in held if weight is not None]
    return np.concatenate([values for values, _ in held]), np.concatenate(weights) if weights else None

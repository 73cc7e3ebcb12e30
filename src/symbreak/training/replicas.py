"""Which networks an arm has: its seeds and, where data orders are shared, the orders that they go with."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from symbreak.config.specs import TrainingSpec
from symbreak.errors import SymbreakError


@dataclass(frozen=True)
class Replica:
    """One network of an arm: ``number`` its place among the arm's seeds, ``order_seed`` None with an order of its
    own."""

    number: int
    seed: int
    order_seed: int | None


def replicas(spec: TrainingSpec, seeds: Sequence[int]) -> list[Replica]:
    """Return the networks of an arm in the order of its replica axis; those that share a data order are neighbours.

    Raises:
        SymbreakError: If there are more orders than seeds to share them out to.
    """
    numbered = list(enumerate(seeds))
    if spec.order == "own":
        return [Replica(number, seed, None) for number, seed in numbered]
    if spec.crossed:
        return [Replica(number, seed, order) for order in spec.order_seeds for number, seed in numbered]
    if len(spec.order_seeds) > len(seeds):
        raise SymbreakError(
            f"{len(spec.order_seeds)} 'order_seeds' cannot be shared out to {len(seeds)} seeds; "
            f"name fewer orders, or make them 'crossed'"
        )
    parts = np.array_split(np.arange(len(seeds)), len(spec.order_seeds))
    return [Replica(n, seeds[n], o) for o, part in zip(spec.order_seeds, parts, strict=True) for n in part.tolist()]


def groups(replicas: Sequence[Replica], size: int) -> list[tuple[Replica, ...]]:
    """Cut replicas into groups of at most ``size``, none with two shared orders."""
    found = []
    for _, same in groupby(replicas, key=lambda replica: replica.order_seed):
        alike = list(same)
        found += [tuple(alike[start : start + size]) for start in range(0, len(alike), size)]
    return found

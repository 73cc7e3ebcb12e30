"""Fresh seeds: which ones an audit draws in place of those in params.yaml, and where they are put."""

from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Any

from symbreak.seeding import derive

SEEDS = ("seeds", "order_seeds")
Change = Callable[[Any], Any]


def fresh_seeds(written: Iterable[int], commit: str) -> dict[int, int]:
    """Draw a new seed for every seed: above all of them, each once, the same for everybody who audits the commit.

    Args:
        written: The seeds of params.yaml.
        commit: The audited commit, 40 hexadecimal digits; before it was made nobody knew these seeds.

    Returns:
        Old seed -> new one, at most 2^31 above the largest old one, so that float64 holds it exactly.
    """
    old = sorted(set(written))
    drawn: dict[int, int] = {}
    for seed in old:
        draws = (derive(seed, "audit", "fresh", commit, str(attempt)) % 2**31 for attempt in count())
        drawn[seed] = next(new for draw in draws if (new := old[-1] + 1 + draw) not in drawn.values())
    return drawn


def seeds_in(tree: Any) -> set[int]:
    """Return every seed that parameters name, of replicas and of shared data orders."""
    found: set[int] = set()
    replaced(tree, dict.fromkeys(SEEDS, found.update))
    return found


def reseeded(drawn: Mapping[int, int]) -> dict[str, Change]:
    """Return the changes for ``replaced`` that put new seeds in the place of old ones."""
    return dict.fromkeys(SEEDS, lambda seeds: [drawn[seed] for seed in seeds])


def replaced(tree: Any, changes: Mapping[str, Change]) -> Any:
    """Return parameters with the values of some keys changed; mappings below such a key and probes' options are not.

    Args:
        tree: params.yaml, an overlay, or the JSON of an arm.
        changes: Key -> new value from the old one.
    """
    if not isinstance(tree, Mapping):
        return tree
    return {key: _changed(key, value, changes) for key, value in tree.items()}


def _changed(key: str, value: Any, changes: Mapping[str, Change]) -> Any:
    if key == "probes":
        return value
    if isinstance(value, Mapping) or key not in changes:  # an arm may be called 'seeds'
        return replaced(value, changes)
    return changes[key](value)

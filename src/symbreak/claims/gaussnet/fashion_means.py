"""Evidence of ``gaussnet-fashion-means``: one-hot accuracy falls with mu and with k, cell by cell as published."""

from dataclasses import dataclass

import numpy as np

from symbreak.claims.evidence import Unit
from symbreak.claims.gaussnet.fashion import (
    HELPFUL,
    KS,
    MUS,
    Floats,
    accuracies,
    baseline,
    compared,
    hot,
    maps,
    networks,
    slopes,
    unshifted_slopes,
)
from symbreak.claims.gaussnet.published_fashion import ACCURACY, READING, RUNS, SPREAD
from symbreak.claims.tables import Tables

REACH = 2.6  # of a cell's interval in standard errors: 99 % (catalogue, S1 c)
CELLS = (*((mu, k) for mu in MUS for k in (0, *KS)), (HELPFUL, 10))


@dataclass(frozen=True)
class Cell:
    """A cell of the map beside the published one: accuracies as fractions, ``deviation`` measured less published."""

    mu: float
    k: int
    mean: float
    deviation: float
    error: float

    @property
    def missed(self) -> bool:
        """Whether the deviation lies beyond the cell's own interval (or is not a number)."""
        return not abs(self.deviation) < REACH * self.error


def mu_k2(tables: Tables) -> list[Unit]:
    """Change of accuracy per 0.1 of mu at k = 2."""
    return _along_mu(tables, 2)


def mu_k6(tables: Tables) -> list[Unit]:
    """The same at k = 6."""
    return _along_mu(tables, 6)


def mu_k10(tables: Tables) -> list[Unit]:
    """The same at k = 10."""
    return _along_mu(tables, 10)


def mu_k0(tables: Tables) -> list[Unit]:
    """The same at k = 0, where mu is not used."""
    return unshifted_slopes(tables)


def k_mu10(tables: Tables) -> list[Unit]:
    """Change of accuracy from k = 2 to k = 10 at mu = 0.10."""
    return _along_k(tables, 0.10)


def k_mu15(tables: Tables) -> list[Unit]:
    """The same at mu = 0.15."""
    return _along_k(tables, 0.15)


def k_mu20(tables: Tables) -> list[Unit]:
    """The same at mu = 0.20."""
    return _along_k(tables, 0.20)


def k_mu02(tables: Tables) -> list[Unit]:
    """The same at mu = 0.02, where the published map shows no change."""
    return _along_k(tables, 0.02)


def corner(tables: Tables) -> list[Unit]:
    """Accuracy at mu = 0.20, k = 10."""
    return networks(tables, hot(0.20, 10))


def unshifted(tables: Tables) -> list[Unit]:
    """Accuracy at k = 0."""
    return baseline(tables)


def loss_mu10(tables: Tables) -> list[Unit]:
    """Accuracy at k = 0 less that at mu = 0.10, k = 10."""
    return compared(baseline(tables), networks(tables, hot(0.10, 10)))


def loss_mu03(tables: Tables) -> list[Unit]:
    """Accuracy at k = 0 less that at mu = 0.03, k = 10."""
    return compared(baseline(tables), networks(tables, hot(HELPFUL, 10)))


def misses(tables: Tables) -> list[Unit]:
    """Number of cells that lie beyond their own interval around the published value; the unit names them."""
    return _count(cells(tables))


def misses_reversed(tables: Tables) -> list[Unit]:
    """The same against the published map with its columns k = 2 and k = 10 exchanged."""
    return _count(cells(tables, {2: 10, 10: 2}))


def cells(tables: Tables, relabelled: dict[int, int] | None = None) -> list[Cell]:
    """Return every cell with its standard error: of our mean, of the published one, and of reading it off.

    Args:
        tables: The experiment's tables.
        relabelled: k -> column of the published map that it is compared with instead of its own.
    """
    return [_cell(tables, mu, k, (mu, (relabelled or {}).get(k, k))) for mu, k in CELLS]


def _cell(tables: Tables, mu: float, k: int, published: tuple[float, int]) -> Cell:
    found = accuracies(tables, hot(mu, k))
    mean, theirs = float(found.mean()), ACCURACY[published]
    squares = (found.var(ddof=1) / len(found), (SPREAD[published] * theirs) ** 2 / RUNS, READING**2)
    return Cell(mu, k, mean, mean - theirs, float(np.sqrt(sum(squares))))


def _count(compared_cells: list[Cell]) -> list[Unit]:
    missed = [c for c in compared_cells if c.missed]
    named = ", ".join(f"({c.mu:.2f}, {c.k}) by {100 * c.deviation:+.1f} points" for c in missed) or "none"
    return [Unit(f"{len(compared_cells)} cells (mu, k); beyond their interval: {named}", float(len(missed)))]


def _along_mu(tables: Tables, k: int) -> list[Unit]:
    seeds, found = maps(tables)
    return _per_seed(seeds, slopes(found[:, :, KS.index(k)]))


def _along_k(tables: Tables, mu: float) -> list[Unit]:
    """The least-squares line through k = 2, 6, 10 rises by the difference of its ends."""
    seeds, found = maps(tables)
    row = found[:, MUS.index(mu)]
    return _per_seed(seeds, row[:, -1] - row[:, 0])


def _per_seed(seeds: list[int], values: Floats) -> list[Unit]:
    return [Unit(f"seed {seed}", float(value)) for seed, value in zip(seeds, values, strict=True)]

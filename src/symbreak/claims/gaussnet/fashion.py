"""What the claims on Fashion-MNIST (arXiv:2106.00694) share: the arms of ``fashion_means`` and their accuracies.

mu is the mean of the last layer's weights at the first k of the ten outputs, ``hot`` and ``cold`` name the targets.
Accuracies are fractions, the maximum over epochs of the test accuracy unless they are asked for at the last epoch: the
paper's score is the former.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from symbreak.claims.accuracy import On, accuracy_units
from symbreak.claims.evidence import Unit
from symbreak.claims.tables import Tables
from symbreak.errors import SymbreakError

MUS = (0.02, 0.05, 0.10, 0.15, 0.20)
KS = (2, 6, 10)
HELPFUL = 0.03  # where the paper's one-cold curve is highest
Floats = NDArray[np.float64]


def hot(mu: float, k: int) -> str:
    """Return the arm of a cell of the map: one-hot targets, ``hot_k10_mu20`` for mu = 0.20 and k = 10."""
    return f"hot_k{k}_mu{round(100 * mu):02d}"


def cold(mu: float) -> str:
    """Return the arm with one-cold targets and k = 10 at ``mu``."""
    return f"cold_{'minus' if mu < 0 else 'mu'}{round(100 * abs(mu)):02d}"


def accuracies(tables: Tables, arm: str, on: On = "best_test") -> Floats:
    """Return the accuracy of each network of an arm ``[R]``, not a number where it diverged."""
    return np.array([unit.value for unit in accuracy_units(tables, arm, on)])


def networks(tables: Tables, *arms: str) -> list[Unit]:
    """Return the best accuracy of each network of some arms, a unit a network."""
    return [
        replace(unit, unit=f"{arm}, {unit.unit}") for arm in arms for unit in accuracy_units(tables, arm, "best_test")
    ]


def baseline(tables: Tables) -> list[Unit]:
    """Return the networks with k = 0, in which mu is not used, whatever mu they were given."""
    return networks(tables, *(hot(mu, 0) for mu in MUS))


def compared(this: Sequence[Unit], other: Sequence[Unit]) -> list[Unit]:
    """Return two samples of independent units as the groups of the interval ``welch``."""
    return [replace(u, group="this") for u in this] + [replace(u, group="other") for u in other]


def maps(tables: Tables) -> tuple[list[int], Floats]:
    """Return whole maps: the seeds that every cell has, ascending, and their accuracies ``[seed, mu, k]``.

    A seed is one map: its cells share initialisation and data order, so that seeds are what is independent.

    Raises:
        SymbreakError: No seed is in every cell.
    """
    found = {(mu, k): _by_seed(tables, hot(mu, k)) for mu in MUS for k in KS}
    seeds = sorted(set.intersection(*(set(cell) for cell in found.values())))
    if not seeds:
        raise SymbreakError(
            f"no seed is in all cells of '{tables.experiment}': a map needs the same seeds in all of its arms "
            "hot_k*_mu*, so give them common 'seeds' in params.yaml"
        )
    return seeds, np.array([[[found[mu, k][seed] for k in KS] for mu in MUS] for seed in seeds])


def slopes(rows: Floats) -> Floats:
    """Return the least-squares slope against ``MUS`` of each row ``[..., mu]``: change of accuracy per 0.1 of mu."""
    centred = np.array(MUS) - np.mean(MUS)
    per_unit: Floats = rows @ centred / (centred @ centred)
    return 0.1 * per_unit


def unshifted_slopes(tables: Tables) -> list[Unit]:
    """Return ``slopes`` at k = 0: each of a row's five networks was given its mu and has another seed."""
    rows = np.stack([accuracies(tables, hot(mu, 0)) for mu in MUS], axis=1)
    return [Unit(f"row {number}", float(slope)) for number, slope in enumerate(slopes(rows), start=1)]


def _by_seed(tables: Tables, arm: str) -> dict[int, float]:
    seeds = tables(arm, "accuracy").sort_values(["seed", "order_seed"])["seed"]
    return {int(seed): value for seed, value in zip(seeds, accuracies(tables, arm), strict=True)}

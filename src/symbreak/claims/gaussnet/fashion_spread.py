"""Evidence of ``gaussnet-fashion-spread``: accuracies of networks with broken symmetry scatter more from run to run.

The logarithm of a ratio of standard deviations, from jackknife pseudo-values (Miller, Annals of Mathematical Statistics
39, 1968): those of log s over n networks are n log s - (n - 1) log s_(-i), and their mean is compared by Welch's
interval. Unlike Levene's or the F test this gives an interval of the ratio, without normal accuracies.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from symbreak.claims.evidence import Unit
from symbreak.claims.gaussnet.fashion import Floats, baseline, compared, hot, networks
from symbreak.claims.tables import Tables
from symbreak.errors import SymbreakError


def points(tables: Tables) -> list[Unit]:
    """Log of the standard deviation of accuracy at mu = 0.20, k = 10, over that at k = 0."""
    return _ratio(_corner(tables), baseline(tables), log_spread)


def percent(tables: Tables) -> list[Unit]:
    """The same of the standard deviation over the mean, the unit that the authors' script has."""
    return _ratio(_corner(tables), baseline(tables), log_relative_spread)


def points_unshifted(tables: Tables) -> list[Unit]:
    """The same between two halves of the networks with k = 0."""
    return _ratio(*_halves(tables), log_spread)


def percent_unshifted(tables: Tables) -> list[Unit]:
    """The same between the halves of the standard deviation over the mean."""
    return _ratio(*_halves(tables), log_relative_spread)


def log_spread(values: Floats) -> float:
    """Return log of the standard deviation of ``values [n]``."""
    return float(np.log(values.std(ddof=1)))


def log_relative_spread(values: Floats) -> float:
    """Return log of the standard deviation over the mean of ``values [n]``."""
    return float(np.log(values.std(ddof=1) / values.mean()))


def pseudo_values(values: Floats, statistic: Callable[[Floats], float]) -> Floats:
    """Return the jackknife's pseudo-values ``[n]`` of a statistic of ``values [n, ...]``: n T - (n - 1) T_(-i).

    Raises:
        SymbreakError: There are fewer than three values, so that leaving one out leaves no spread.
    """
    n = len(values)
    if n < 3:
        raise SymbreakError(f"the jackknife of a spread needs at least three independent values, found {n}; add seeds")
    whole = statistic(values)
    return np.array([n * whole - (n - 1) * statistic(np.delete(values, i, axis=0)) for i in range(n)])


def _corner(tables: Tables) -> list[Unit]:
    return networks(tables, hot(0.20, 10))


def _halves(tables: Tables) -> tuple[list[Unit], list[Unit]]:
    """Every other network, so that all of the mu that were given are in both halves."""
    units = baseline(tables)
    return units[::2], units[1::2]


def _ratio(this: Sequence[Unit], other: Sequence[Unit], statistic: Callable[[Floats], float]) -> list[Unit]:
    return compared(_pseudo(this, statistic), _pseudo(other, statistic))


def _pseudo(units: Sequence[Unit], statistic: Callable[[Floats], float]) -> list[Unit]:
    found = pseudo_values(np.array([u.value for u in units]), statistic)
    return [
        replace(unit, value=float(value), count=None, trials=None) for unit, value in zip(units, found, strict=True)
    ]

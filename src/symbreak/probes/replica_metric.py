"""The replica distance metric of Zhang et al. (arXiv:2409.06402), by an operational definition.

The paper bases its metric on the Wasserstein distance between replicas' weights; its formula could not be read, so
this is the project's own definition (catalogue of claims, part B, section 5). Of each weight tensor l of at least two
axes (no biases, no scales of normalisations), ``d_l`` is the mean of W_1 over the pairs of replicas, ``s_l`` the
standard deviation of all their weights pooled, and ``d0_l`` what ``d_l`` is when the pooled weights are dealt out to
the replicas at random: with n weights W_1 of two samples of one distribution goes as n^(-1/2), not to zero.

* ``metric_raw = mean_l d_l`` (in units of a weight), ``metric_normalised = mean_l d_l / s_l``,
* ``metric_weighted``: the same with tensors weighted by their number of weights,
* ``metric_concatenated = d / s`` of all these tensors' weights taken together,
* ``metric_floor = mean_l d0_l / s_l`` and ``metric_excess = mean_l (d_l - d0_l) / s_l``.

Whether a large or a small distance means more symmetry breaking is left open: it could not be read either.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from symbreak.probes.replica_distance import jackknife, pair_means, wasserstein
from symbreak.probes.report import Report
from symbreak.seeding import derive

Array = NDArray[np.float64]
Floats = NDArray[np.floating]
FEWEST = 5  # replicas from which the metric is worth reporting (its definition)


@dataclass(frozen=True)
class Tensors:
    """Numbers of L weight tensors: ``distance`` and ``spread`` ``[L]``, the same without one replica ``[L, R]``, sizes
    ``[L]``."""

    distance: Array
    spread: Array
    distance_without: Array
    spread_without: Array
    size: Array


def metric(weights: dict[str, Floats], seed: int, splits: int, report: Report) -> None:
    """Add the metric of weight tensors, name -> ``[R, n]``, to a report, or a warning that says why it has none.

    Args:
        weights: Tensors of at least two axes, flattened.
        seed: Of the random deals.
        splits: Random deals of the pooled weights that the floor is the mean of, at least 2.
        report: Where the results go.
    """
    constant = sorted(name for name, values in weights.items() if np.ptp(values) == 0)
    if not weights or constant:
        why = f"all weights of {constant} are equal" if constant else "no parameter has two axes"
        report.warn(f"there is no replica distance metric: {why}, so that there is no spread to divide by")
        return
    if len(next(iter(weights.values()))) < FEWEST:
        report.warn(f"the replica distance metric is defined for at least {FEWEST} replicas; take it as a hint")
    found = _tensors(list(weights.values()))
    floors = np.stack([_floors(values, derive(seed, "replica", name), splits) for name, values in weights.items()])
    _add(report, found, floors)
    whole = _tensors([np.concatenate(list(weights.values()), axis=1)])
    error = jackknife((whole.distance_without / whole.spread_without)[0])
    report.add("metric_concatenated", (whole.distance / whole.spread)[0], unit="pooled deviations", error=error)


def spread(values: Floats) -> tuple[float, Array]:
    """Return the standard deviation of all numbers of ``[R, n]`` pooled, and those without one replica, ``[R]``."""
    centred = values.astype(np.float64) - values.mean(dtype=np.float64)
    first, second = centred.mean(axis=1), (centred**2).mean(axis=1)
    others = len(values) - 1
    without = np.sqrt((second.sum() - second) / others - ((first.sum() - first) / others) ** 2)
    return float(np.sqrt(second.mean() - first.mean() ** 2)), without


def _tensors(weights: list[Floats]) -> Tensors:
    distance, distance_without = pair_means(np.stack([wasserstein(values) for values in weights]))
    spreads, spreads_without = zip(*(spread(values) for values in weights), strict=True)
    size = np.array([values.shape[1] for values in weights], dtype=np.float64)
    return Tensors(distance, np.array(spreads), distance_without, np.stack(spreads_without), size)


def _floors(values: Floats, seed: int, splits: int) -> Array:
    """The mean distance after each of some random deals of the pooled weights, ``[splits]``."""
    generator = np.random.default_rng(seed)
    deals = (generator.permutation(values.ravel()).reshape(values.shape) for _ in range(splits))
    return np.array([float(pair_means(wasserstein(deal))[0]) for deal in deals])


def _add(report: Report, found: Tensors, floors: Array) -> None:
    """Add what is a mean over tensors; floors ``[L, splits]``."""
    ratio, ratio_without = found.distance / found.spread, found.distance_without / found.spread_without
    share = found.size / found.size.sum()
    report.add("metric_raw", found.distance.mean(), unit="weight", error=jackknife(found.distance_without.mean(0)))
    report.add("metric_normalised", ratio.mean(), unit="pooled deviations", error=jackknife(ratio_without.mean(0)))
    weighted = jackknife(share @ ratio_without)
    report.add("metric_weighted", share @ ratio, unit="pooled deviations", error=weighted)
    deals = (floors / found.spread[:, None]).mean(0)
    chance = deals.std(ddof=1) / np.sqrt(len(deals))
    report.add("metric_floor", deals.mean(), unit="pooled deviations", error=chance)
    floor = floors.mean(1)[:, None]
    excess = jackknife(((found.distance_without - floor) / found.spread_without).mean(0))
    error = np.hypot(excess, chance)
    report.add("metric_excess", ratio.mean() - deals.mean(), unit="pooled deviations", error=error)

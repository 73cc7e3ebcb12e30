"""The named interval methods, from units of evidence to one interval; units that share a cluster count once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from symbreak.claims.evidence import Unit
from symbreak.errors import SymbreakError

MINIMUM = {"t": 5, "welch": 5, "wilson": 5, "clopper_pearson": 5, "bca": 10}
"""Independent units that each method needs (``welch``: a group): five (architecture.md), ten for a bootstrap."""
STATSMODELS = {"wilson": "wilson", "clopper_pearson": "beta"}
RESAMPLES = 99_999  # at a family level of 99.9 % the tails of 9,999 resamples hold only five values
BOOTSTRAP_SEED = 0
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """An interval and what it was made from.

    Attributes:
        method: ``hull`` (regimes exact and numeric), a named method, or what replaced it.
        level: Confidence level, null for a hull.
        estimate: Mean over independent units, null if a unit is not finite.
        low: Lower end, null if there is no interval.
        high: Upper end, null if there is no interval.
        n: Units.
        clusters: Clusters of units, null if every unit stands for itself.
        reason: Why there is no interval, in words, else null.
    """

    method: str
    level: float | None
    estimate: float | None
    low: float | None
    high: float | None
    n: int
    clusters: int | None
    reason: str | None = None


def interval(units: Sequence[Unit], regime: str, method: str | None, level: float) -> Interval:
    """Make the interval of a quantity.

    Regimes ``exact`` and ``numeric``: the hull of all units, each widened by its own ``error``. Regime ``statistical``:
    the named method at ``level``, two-sided, over independent units. With clusters, ``t`` and ``bca`` are over the
    clusters' means, and ``wilson`` and ``clopper_pearson`` over the clusters' mean counts. The interval is widened by
    the largest ``error`` of its units.

    Independent units that agree to the last digit tell a spread nothing: ``t`` and ``bca`` would be points. Then the
    interval is Clopper and Pearson's exact one on the counts of the independent units, a cluster's once; without
    counts there is none. (Pooling the counts keeps the interval from growing when a small disagreement vanishes;
    units that share what was counted and how belong in one cluster.)

    ``welch`` is of the difference of the means of two groups of units, ``this`` less the ``other``.

    Args:
        units: The evidence, in any order.
        regime: ``exact``, ``numeric`` or ``statistical``.
        method: ``t``, ``welch``, ``wilson``, ``clopper_pearson`` or ``bca``; null unless statistical.
        level: Confidence level, for instance 1 - 0.05/43.

    Returns:
        The interval; where a unit is not finite or there are too few of them it has no ends, and ``reason`` says so.

    Raises:
        SymbreakError: The units are none or mixed up, or a method for counts is asked of units without.
    """
    _check(units, regime, method)
    n, clusters = len(units), len({u.cluster for u in units}) if units[0].cluster is not None else None
    shared: dict[str, Any] = {"n": n, "clusters": clusters, "level": level if regime == "statistical" else None}
    broken = [u.unit for u in units if not math.isfinite(u.value)]
    if broken:
        reason = f"not a finite number in {len(broken)} of {n} units: {', '.join(broken)}"
        return Interval(method or "hull", estimate=None, low=None, high=None, reason=reason, **shared)
    if method is None:
        low, high = min(u.value - u.error for u in units), max(u.value + u.error for u in units)
        return Interval("hull", estimate=float(np.mean([u.value for u in units])), low=low, high=high, **shared)
    if method == "welch":
        return _compared(units, level, shared)
    return _statistical(units, method, level, shared)


def independent(units: Sequence[Unit]) -> list[list[Unit]]:
    """Group units that are not independent: one list a cluster, or a unit, in order of their names."""
    groups: dict[str, list[Unit]] = {}
    for unit in sorted(units, key=lambda u: u.unit):
        groups.setdefault(unit.unit if unit.cluster is None else unit.cluster, []).append(unit)
    return [groups[name] for name in sorted(groups)]


def t_interval(values: Floats, level: float) -> tuple[Any, Any]:
    """Return Student's interval of the mean over the last axis, ``values [..., n]`` with some spread."""
    n = values.shape[-1]
    half = stats.t.ppf((1 + level) / 2, n - 1) * values.std(axis=-1, ddof=1) / math.sqrt(n)
    return values.mean(axis=-1) - half, values.mean(axis=-1) + half


def welch_interval(this: Floats, other: Floats, level: float) -> tuple[Any, Any]:
    """Return Welch's interval of mean(this) - mean(other) over the last axes, ``[..., n]`` and ``[..., m]``.

    Degrees of freedom after Welch (Biometrika 34, 1947) and Satterthwaite (Biometrics Bulletin 2, 1946).
    """
    squares = [values.var(axis=-1, ddof=1) / values.shape[-1] for values in (this, other)]
    total = squares[0] + squares[1]
    parts = [square**2 / (values.shape[-1] - 1) for square, values in zip(squares, (this, other), strict=True)]
    half = stats.t.ppf((1 + level) / 2, total**2 / (parts[0] + parts[1])) * np.sqrt(total)
    difference = this.mean(axis=-1) - other.mean(axis=-1)
    return difference - half, difference + half


def count_interval(counts: Floats, trials: Floats, method: str, level: float) -> tuple[Any, Any]:
    """Return an interval of the success rate pooled over independent units.

    Counts of real networks can vary more between units than coin tosses do. The pooled counts are therefore divided
    by the design effect, the observed variance between units over the binomial one, times (t/z)^2, since that variance
    is itself estimated from few units; never by less than one (Korn and Graubard, Survey Methodology 24, 1998).

    Args:
        counts: Successes ``[..., n]``.
        trials: Trials ``[..., n]``.
        method: ``wilson`` or ``clopper_pearson``.
        level: Confidence level.

    Returns:
        Lower and upper end, ``[...]``.
    """
    total, pooled = trials.sum(axis=-1), counts.sum(axis=-1)
    rate = pooled / total
    binomial = rate * (1 - rate) / trials.mean(axis=-1)
    observed = (counts / trials).var(axis=-1, ddof=1)
    few = (stats.t.ppf((1 + level) / 2, counts.shape[-1] - 1) / stats.norm.ppf((1 + level) / 2)) ** 2
    effect = np.maximum(1.0, few * np.divide(observed, binomial, out=np.zeros_like(rate), where=binomial > 0))
    low, high = proportion_confint(pooled / effect, total / effect, alpha=1 - level, method=STATSMODELS[method])
    return low, high


def bca_interval(values: Floats, level: float) -> tuple[float, float]:
    """Return Efron's bias-corrected and accelerated bootstrap interval of the mean of ``values [n]``, seed fixed."""
    found = stats.bootstrap(
        (values,), np.mean, confidence_level=level, n_resamples=RESAMPLES, batch=10_000, method="BCa",
        rng=np.random.default_rng(BOOTSTRAP_SEED),
    ).confidence_interval  # fmt: skip
    return float(found.low), float(found.high)


def _statistical(units: Sequence[Unit], method: str, level: float, shared: dict[str, Any]) -> Interval:
    groups = independent(units)
    values = _means(groups)
    estimate, least = float(values.mean()), MINIMUM[method]
    if len(groups) < least:
        kind = "units" if shared["clusters"] is None else "clusters"
        reason = f"{len(groups)} independent {kind}; the interval '{method}' needs at least {least}"
        return Interval(method, estimate=estimate, low=None, high=None, reason=reason, **shared)
    agree = np.ptp(values) == 0 or np.ptp([u.value for u in units]) == 0
    if agree and not _counted(units):
        reason = "all units agree to the last digit and have no counts: their spread says nothing about the error"
        return Interval(method, estimate=estimate, low=None, high=None, reason=reason, **shared)
    if agree or method in STATSMODELS:
        exact = "clopper_pearson" if agree else method
        name = "clopper_pearson (no spread)" if agree else method
        low, high = count_interval(*_counts(groups), exact, level)
    else:
        name = method
        low, high = t_interval(values, level) if method == "t" else bca_interval(values, level)
    error = max(u.error for u in units)
    return Interval(name, estimate=estimate, low=float(low) - error, high=float(high) + error, **shared)


def _compared(units: Sequence[Unit], level: float, shared: dict[str, Any]) -> Interval:
    this, other = (_means(independent([u for u in units if u.group == side])) for side in ("this", "other"))
    least = MINIMUM["welch"]
    if min(len(this), len(other)) < least:
        reason = f"{len(this)} and {len(other)} independent units; the interval 'welch' needs at least {least} a group"
        return Interval("welch", estimate=None, low=None, high=None, reason=reason, **shared)
    estimate = float(this.mean() - other.mean())
    if np.ptp(this) == 0 and np.ptp(other) == 0:
        reason = "all units of each group agree to the last digit: their spread says nothing about the error"
        return Interval("welch", estimate=estimate, low=None, high=None, reason=reason, **shared)
    low, high = welch_interval(this, other, level)
    error = sum(max(u.error for u in units if u.group == side) for side in ("this", "other"))
    return Interval("welch", estimate=estimate, low=float(low) - error, high=float(high) + error, **shared)


def _means(groups: list[list[Unit]]) -> Floats:
    return np.array([np.mean([u.value for u in group]) for group in groups])


def _counts(groups: list[list[Unit]]) -> tuple[Floats, Floats]:
    counts = np.array([np.mean([u.count for u in group if u.count is not None]) for group in groups])
    return counts, np.array([np.mean([u.trials for u in group if u.trials is not None]) for group in groups])


def _counted(units: Sequence[Unit]) -> bool:
    return all(u.count is not None for u in units)


def _check(units: Sequence[Unit], regime: str, method: str | None) -> None:
    if not units:
        raise SymbreakError("the evidence has no units: expected at least one")
    names = [u.unit for u in units]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SymbreakError(f"the evidence names units twice: {', '.join(twice)}")
    if len({u.cluster is None for u in units}) > 1:
        raise SymbreakError("some units name a cluster and some do not: either every unit has one or none")
    if (regime == "statistical") != (method is not None):
        raise SymbreakError(
            f"regime '{regime}' with interval '{method}': a method is named in regime 'statistical' only"
        )
    if len({u.group is None for u in units}) > 1 or (method == "welch") != (units[0].group is not None):
        raise SymbreakError("the interval 'welch', and it alone, is of units that all name their group, this or other")
    if method in STATSMODELS and not _counted(units):
        raise SymbreakError(f"the interval '{method}' is one of counts, but some units have no 'count' and 'trials'")

"""Order parameter and susceptibility against the learning rate, and where, if anywhere, a symmetry is restored.

The paper (Fok, An and Wang, arXiv:1710.06096, sections 2.4-2.5) has a field of mass ``m^2(eta) = -mu^2 + lambda
eta^2/4`` whose minimum, the order parameter, is ``sqrt(-m^2)`` (in units in which its quartic coupling is 1) where
``m^2 < 0``, and 0 above ``eta_c = 2 mu / sqrt(lambda)``. In other units ``mu^2`` and ``lambda`` change alike, and
``eta_c`` does not: where the order parameter is the paper's own ``|w*| = sqrt(-m^2/lam)``, its ``mu^2/lam`` and 1 are
found.

* ``order_parameter`` ``<value>`` and ``susceptibility`` ``N (<value^2> - <value>^2)`` over replicas, at every ``eta``;
* ``mu_squared``, ``lambda``, ``critical_eta``: the fit of ``<value> = sqrt((mu^2 - lambda eta^2/4)_+)``;
* ``exponent``, ``critical_eta_of_power``: the fit of ``<value> = a sqrt((1 - (eta/eta_c)^p)_+)``;
* ``aicc`` and ``cross_validation`` of the curves ``field``, ``power``, ``logistic``, ``quadratic`` (``order_curves``),
  of the means;
* ``kink_over_smooth``: AICc of the best smooth curve less that of the best kink; positive where there is a kink.

Errors and the intervals ``..._interval`` (percentiles) are of a bootstrap over seeds, which are resampled as a whole if
every seed was measured at every learning rate.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from symbreak.errors import SymbreakError
from symbreak.probes.order_curves import FIELD, KINKS, POWER, POWERS, SMOOTH, Fit, Fitter, compare
from symbreak.probes.replica_distance import jackknife
from symbreak.probes.report import Report
from symbreak.seeding import derive

NEEDS: Final = "sweep"
Array = NDArray[np.float64]
SIDE = 4  # distinct learning rates that a kink needs on either side of it
LEAST_RESAMPLES = 50  # for an error to 10 %
LEAST_REPLICAS = 4  # at a learning rate
FEW_REPLICAS = 8  # below which bootstrap percentiles are too narrow
DECISIVE = 10.0  # difference of AICc from which the worse model has essentially no support (Burnham and Anderson 2002)
EVIDENT = 4.0  # standard errors
UNITS = ("seed", "replica")  # names of the column that says which rows are of one training


@dataclass(frozen=True)
class Sweep:
    """Distinct learning rates ``eta`` ``[n]``, ascending, the values at each, and whether all are of the same seeds."""

    eta: Array
    values: list[Array]
    paired: bool

    @property
    def means(self) -> Array:
        """The order parameter at every learning rate, ``[n]``."""
        return np.array([values.mean() for values in self.values])


def measure(table: pd.DataFrame, *, seed: int, size: float = 1.0, resamples: int = 500, level: float = 0.95) -> Report:
    """Measure order parameter, susceptibility and critical learning rate of a sweep.

    Args:
        table: Columns ``eta``, ``value`` (the order parameter of one training: a magnitude, or oriented so that it is
            positive in the broken phase), and optionally ``seed`` or ``replica``. One row a training.
        seed: Of the bootstrap.
        size: N of the susceptibility, for instance the number of units.
        resamples: Bootstrap samples, at least 50.
        level: Of the intervals.

    Raises:
        SymbreakError: If columns are missing or unknown, numbers are not finite, a learning rate has fewer than 4
            trainings, the order parameter is not positive at the smallest rate, an option is out of range, or fewer
            than 4 learning rates lie on either side of the critical one.
    """
    if not (size > 0 and resamples >= LEAST_RESAMPLES and 0 < level < 1):
        raise SymbreakError(
            f"expected size > 0, resamples >= {LEAST_RESAMPLES} and 0 < level < 1, found {size}, {resamples}, {level}: "
            f"change them"
        )
    sweep, report = read(table), Report()
    report.add("eta", sweep.eta, unit="learning rate", axes=("point",))
    errors = [values.std(ddof=1) / math.sqrt(len(values)) for values in sweep.values]
    report.add("order_parameter", sweep.means, unit="value", axes=("point",), error=errors)
    spread, spread_error = susceptibility(sweep, size)
    report.add("susceptibility", spread, unit="value^2 times size", axes=("point",), error=spread_error)
    samples = resampled(sweep, resamples, derive(seed, "order", "bootstrap"))
    field = _add_field(report, sweep, samples, level)
    _add_power(report, sweep, samples, level)
    _add_comparison(report, sweep)
    _add_doubts(report, sweep, field, spread)
    return report


def read(table: pd.DataFrame) -> Sweep:
    """Return a table as a sweep; see ``measure`` for columns and errors."""
    unit = next((name for name in UNITS if name in table), None)
    known, found = {"eta", "value", *([unit] if unit else [])}, set(table.columns)
    if found != known:
        raise SymbreakError(
            f"the sweep must have the columns eta, value and at most one of {list(UNITS)}; missing: "
            f"{sorted(known - found)}, unknown: {sorted(map(str, found - known))}. Rows that differ in anything else "
            f"are sweeps of their own: measure them one by one"
        )
    numbers = table[["eta", "value"]]
    if any(kind.kind not in "iuf" for kind in numbers.dtypes) or not np.isfinite(numbers.to_numpy(np.float64)).all():
        raise SymbreakError("eta and value must be finite numbers in every row: leave diverged trainings out")
    if unit is not None and table.duplicated(["eta", unit]).any():
        raise SymbreakError(f"a {unit} occurs twice at one learning rate: give one row a training")
    if (table["eta"] < 0).any():
        raise SymbreakError(f"learning rates must not be negative, found {table['eta'].min()}")
    return _sweep(table, unit)


def susceptibility(sweep: Sweep, size: float) -> tuple[Array, Array]:
    """Return ``size`` times the unbiased variance over replicas, ``[n]``, and its jackknife error over replicas."""
    without = [[np.delete(v, r).var(ddof=1) for r in range(len(v))] for v in sweep.values]
    errors = [float(jackknife(np.array(variances))) for variances in without]
    return size * np.array([v.var(ddof=1) for v in sweep.values]), size * np.array(errors)


def resampled(sweep: Sweep, count: int, seed: int) -> Array:
    """Return the order parameter of bootstrap samples, ``[count, n]``."""
    generator = np.random.default_rng(seed)
    if sweep.paired:
        values = np.stack(sweep.values)
        chosen = generator.integers(values.shape[1], size=(count, values.shape[1]))
        return np.stack([values[:, row].mean(axis=1) for row in chosen])
    drawn = [v[generator.integers(len(v), size=(count, len(v)))].mean(axis=1) for v in sweep.values]
    return np.stack(drawn, axis=1)


def _sweep(table: pd.DataFrame, unit: str | None) -> Sweep:
    ordered = table.sort_values(["eta", unit] if unit else "eta", kind="stable")
    eta, first = np.unique(ordered["eta"].to_numpy(np.float64), return_index=True)
    values = np.split(ordered["value"].to_numpy(np.float64), first[1:])
    fewest = min(map(len, values))
    if len(eta) < 2 * SIDE or fewest < LEAST_REPLICAS:
        raise SymbreakError(
            f"a sweep needs at least {2 * SIDE} learning rates with {LEAST_REPLICAS} trainings each, found {len(eta)} "
            f"with at least {fewest}: train more"
        )
    seeds = {tuple(part) for part in np.split(ordered[unit].to_numpy(), first[1:])} if unit else set()
    return Sweep(eta, values, paired=len(seeds) == 1)


def _add_field(report: Report, sweep: Sweep, samples: Array, level: float) -> Fit:
    if not sweep.means[0] > 0:
        raise SymbreakError(
            f"the order parameter must be positive at the smallest learning rate, found {sweep.means[0]:g}: "
            f"give its magnitude, or turn its sign"
        )
    fitter = Fitter(FIELD, sweep.eta)
    fit = fitter.fit(sweep.means)
    below = int((sweep.eta < fit.theta[0]).sum())
    if min(below, len(sweep.eta) - below) < SIDE:
        raise SymbreakError(
            f"a critical learning rate needs {SIDE} learning rates on either side, found {below} below and "
            f"{len(sweep.eta) - below} above {fit.theta[0]:.3g}: widen or refine the sweep; if the order parameter "
            f"does not vanish before training diverges, there is no transition to fit"
        )
    fits = [fit, *(fitter.fit(sample) for sample in samples)]
    squares, critical = np.array([f.amplitude**2 for f in fits]), np.array([f.theta[0] for f in fits])
    _add(report, "mu_squared", squares, "value^2", level)
    _add(report, "lambda", 4 * squares / critical**2, "value^2 per learning rate^2", level)
    _add(report, "critical_eta", critical, "learning rate", level)
    return fit


def _add_power(report: Report, sweep: Sweep, samples: Array, level: float) -> None:
    fitter = Fitter(POWER, sweep.eta)
    critical, power = np.transpose([fitter.fit(values).theta for values in (sweep.means, *samples)])
    if not POWERS[1] < power[0] < POWERS[-2]:
        report.warn(f"the exponent is at the end of what is tried, {POWERS[0]:g} to {POWERS[-1]:g}: it may be none")
    _add(report, "exponent", power, "1", level)
    _add(report, "critical_eta_of_power", critical, "learning rate", level)


def _add(report: Report, name: str, found: Array, unit: str, level: float) -> None:
    """Add a fitted number, the first one, with error and interval from those of the bootstrap samples behind it."""
    value, samples = found[0], found[1:]
    report.add(name, value, unit=unit, error=samples.std(ddof=1))
    ends = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    report.add(f"{name}_interval", ends, unit=unit, axes=("end",))


def _add_comparison(report: Report, sweep: Sweep) -> None:
    criterion, errors = compare(sweep.eta, sweep.means)
    names = (*KINKS, *SMOOTH)
    report.add("aicc", [criterion[name] for name in names], unit="1", axes=("curve",))
    report.add("cross_validation", [errors[name] for name in names], unit="value", axes=("curve",))
    gain = min(criterion[name] for name in SMOOTH) - min(criterion[name] for name in KINKS)
    report.add("kink_over_smooth", gain, unit="AICc")
    smoother = min(errors[name] for name in SMOOTH) < min(errors[name] for name in KINKS)
    if gain < DECISIVE or smoother:
        report.warn(
            f"a kink is not shown: it beats the best smooth curve by {gain:.1f} of AICc (decisive: {DECISIVE:g}) and "
            f"predicts left-out learning rates {'worse' if smoother else 'better'}; critical_eta may mean nothing"
        )


def _add_doubts(report: Report, sweep: Sweep, field: Fit, spread: Array) -> None:
    critical = field.theta[0]
    beyond = sweep.eta >= critical
    variances = np.array([values.var(ddof=1) / len(values) for values in sweep.values])
    if abs(sweep.means[beyond].sum()) > EVIDENT * math.sqrt(variances[beyond].sum()):
        report.warn("above critical_eta the order parameter is not zero within its error, as the field's would be")
    if np.ptp(np.sign(sweep.values[0])) > 0:
        report.warn("at the smallest learning rate trainings differ in sign: an order parameter is a magnitude")
    if abs(int(np.argmax(spread)) - (len(beyond) - int(beyond.sum()))) > SIDE // 2:
        report.warn(f"the susceptibility is largest at eta = {sweep.eta[np.argmax(spread)]:g}, not near critical_eta")
    if min(map(len, sweep.values)) < FEW_REPLICAS:
        report.warn(f"with fewer than {FEW_REPLICAS} trainings at a learning rate bootstrap intervals are too narrow")
    if not sweep.paired:
        report.warn("no seed was measured at every learning rate: trainings were resampled at each rate on its own")

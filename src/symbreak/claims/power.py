"""How often a true effect of the size that ``basis`` names would pass a part's rule."""

import numpy as np
from numpy.typing import NDArray

from symbreak.claims.intervals import MINIMUM, STATSMODELS, count_interval, t_interval, welch_interval
from symbreak.claims.rules import band
from symbreak.config.registry import Power, Rule
from symbreak.seeding import derive

SIMULATIONS = 4000  # standard error 0.006 at the threshold
THRESHOLD = 0.8


def power(rule: Rule, effect: Power, method: str, level: float, n: int, trials: int | None = None) -> float:
    """Simulate how often a part would be supported if its effect were true.

    Independent units are drawn from Normal(effect, spread); units with counts as binomial counts whose success rates
    are drawn so (cut to [0, 1]). ``bca`` is simulated by the ``t`` interval, which is close to it for normal units: a
    bootstrap in every simulated experiment would take minutes. ``welch``: two groups, whose means differ by the effect.

    Args:
        rule: The part's rule.
        effect: The true effect and its standard deviation between independent units.
        method: The part's interval method.
        level: Its confidence level.
        n: Independent units (``welch``: of the smaller group).
        trials: Trials a unit, null if units have no counts.

    Returns:
        The fraction of simulated experiments whose whole interval lies inside the rule; 0 with fewer units than the
        method needs, or where neither spread nor counts give an interval.
    """
    counted = trials is not None and (method in STATSMODELS or effect.spread == 0)
    if n < MINIMUM[method] or (effect.spread == 0 and not counted):
        return 0.0
    generator = np.random.default_rng(derive(0, "power"))
    values = generator.normal(effect.effect, effect.spread, size=(SIMULATIONS, n))
    if counted and trials is not None:
        low, high = _of_counts(values, trials, method, level, generator)
    elif method == "welch":
        low, high = welch_interval(values, generator.normal(0, effect.spread, size=(SIMULATIONS, n)), level)
    else:
        low, high = t_interval(values, level)
    return float(np.mean(band(rule).contains(low, high)))


def _of_counts(
    rates: NDArray[np.float64], trials: int, method: str, level: float, generator: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    counts = generator.binomial(trials, np.clip(rates, 0, 1)).astype(float)
    exact = method if method in STATSMODELS else "clopper_pearson"
    low, high = count_interval(counts, np.full_like(counts, trials), exact, level)
    return low, high

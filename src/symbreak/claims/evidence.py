"""A unit of evidence: what one independent replica, coupling or point contributes to a claim."""

import math
from dataclasses import dataclass
from typing import Literal

from symbreak.errors import SymbreakError


@dataclass(frozen=True)
class Unit:
    """One number of a claim's evidence.

    Attributes:
        unit: Its name, unique within the evidence, for instance ``seed 1000``.
        value: The number, in the unit of the part's ``quantity``; not finite if the measurement broke down.
        cluster: What it shares with other units (a data order, a label draw); units of one cluster are not independent
            and count once. Either every unit of an evidence names its cluster or none does.
        count: How many of ``trials`` succeeded, where ``value`` is ``count / trials``.
        trials: Images, pixels or draws that were counted.
        group: Side of a comparison of two independent samples: ``this`` less the ``other`` (interval ``welch``), else
            null.
        error: Bound on the numerical error of ``value``, in its unit.
    """

    unit: str
    value: float
    cluster: str | None = None
    count: int | None = None
    trials: int | None = None
    group: Literal["this", "other"] | None = None
    error: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.error) and self.error >= 0):
            raise SymbreakError(f"unit '{self.unit}': 'error' is {self.error}; expected a finite number >= 0")
        if (self.count is None) != (self.trials is None):
            raise SymbreakError(f"unit '{self.unit}': 'count' and 'trials' belong together, one of them is missing")
        if self.count is not None and self.trials is not None:
            self._check_counts(self.count, self.trials)

    def _check_counts(self, count: int, trials: int) -> None:
        if not 0 <= count <= trials or trials == 0:
            raise SymbreakError(f"unit '{self.unit}': {count} of {trials} trials; expected 0 <= count <= trials > 0")
        if math.isfinite(self.value) and not math.isclose(self.value, count / trials, rel_tol=0, abs_tol=1e-12):
            raise SymbreakError(
                f"unit '{self.unit}': value {self.value} is not count/trials = {count}/{trials}; "
                "leave the counts out if the value is anything else than their fraction"
            )

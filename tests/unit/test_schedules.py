"""Warm-up of every kind of schedule."""

import math
from typing import Any

import numpy as np
import pytest

from symbreak.config.specs import ScheduleSpec
from symbreak.errors import SymbreakError
from symbreak.training.schedules import learning_rates

STEPS, EPOCH, LR = 20, 4, 0.3
KINDS: list[dict[str, Any]] = [
    {"kind": "constant"},
    {"kind": "exponential", "factor": 0.7},
    {"kind": "step", "factor": 0.1, "at": [1, 3]},
]


def rates(**settings: Any) -> np.ndarray:
    return learning_rates(LR, ScheduleSpec.model_validate(settings), STEPS, EPOCH)


@pytest.mark.parametrize("warmup", [1, 2, 4])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind["kind"])
def test_warmup_multiplies_the_first_steps_and_leaves_the_others(kind: dict[str, Any], warmup: int) -> None:
    plain, warm, steps = rates(**kind), rates(**kind, warmup=warmup), warmup * EPOCH
    expected = [plain[t] * (t + 1) / steps for t in range(steps)]
    np.testing.assert_allclose(warm[:steps], expected, rtol=1e-15)
    assert np.array_equal(warm[steps:], plain[steps:])


def test_cosine_starts_when_the_warmup_ends() -> None:
    warm = rates(kind="cosine", warmup=2)
    expected = [LR * ((t + 1) / 8) if t < 8 else LR * ((1 + np.cos(np.pi * (t - 8) / 12)) / 2) for t in range(STEPS)]
    assert warm.tolist() == expected
    assert warm[7] == warm[8] == LR
    assert rates(kind="cosine").tolist() == [LR * ((1 + math.cos(math.pi * t / 20)) / 2) for t in range(STEPS)]


@pytest.mark.parametrize("kind", [*KINDS, {"kind": "cosine"}], ids=lambda kind: kind["kind"])
def test_a_warmup_as_long_as_the_run_is_refused(kind: dict[str, Any]) -> None:
    with pytest.raises(SymbreakError, match="takes 20 steps, but the run has only 20"):
        rates(**kind, warmup=5)

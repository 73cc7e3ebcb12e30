import math
from typing import Any

import numpy as np
import pytest

from symbreak.config.specs import ScheduleSpec, TrainingSpec
from symbreak.errors import SymbreakError
from symbreak.training.plan import plan
from symbreak.training.schedules import learning_rates


def spec(**settings: Any) -> TrainingSpec:
    return TrainingSpec.model_validate({"batch": 4, "optimiser": {"name": "sgd", "lr": 0.2}} | settings)


def test_schedules_in_closed_form() -> None:
    steps = range(12)

    def rates(**settings: Any) -> list[float]:
        return learning_rates(0.2, ScheduleSpec.model_validate(settings), 12, 3).tolist()

    assert rates(kind="constant") == [0.2] * 12
    assert rates(kind="exponential", factor=0.7) == pytest.approx([0.2 * 0.7 ** (t // 3) for t in steps], rel=1e-15)
    dropped = [0.2 * 0.1 ** ((t >= 3) + (t >= 9)) for t in steps]
    assert rates(kind="step", factor=0.1, at=[3, 1]) == pytest.approx(dropped, rel=1e-15)
    assert rates(kind="cosine") == pytest.approx([0.1 * (1 + math.cos(math.pi * t / 12)) for t in steps], rel=1e-15)
    warm = [0.2 * (t + 1) / 3 if t < 3 else 0.1 * (1 + math.cos(math.pi * (t - 3) / 9)) for t in steps]
    assert rates(kind="cosine", warmup=1) == pytest.approx(warm, rel=1e-15)


def test_a_warmup_longer_than_the_run_is_refused() -> None:
    with pytest.raises(SymbreakError, match="only 6"):
        learning_rates(0.2, ScheduleSpec.model_validate({"kind": "cosine", "warmup": 2}), 6, 3)


@pytest.mark.parametrize(
    ("settings", "sizes"),
    [
        ({"epochs": 2}, [[4, 4, 2], [4, 4, 2]]),
        ({"epochs": 2, "drop_last": True}, [[4, 4], [4, 4]]),
        ({"steps": 4}, [[4, 4, 2], [4]]),
        ({"steps": 6}, [[4, 4, 2], [4, 4, 2]]),
        ({"steps": 2}, [[4, 4]]),
    ],
)
def test_batches_of_ten_examples(settings: dict[str, Any], sizes: list[list[int]]) -> None:
    made = plan(spec(**settings), 10)
    orders = [made.order((1, 2), epoch) for epoch in range(1, made.epochs + 1)]
    batches = [made.batches(order, epoch) for epoch, order in enumerate(orders, start=1)]
    assert [[batch.shape[1] for batch in epoch] for epoch in batches] == sizes
    assert made.steps == sum(map(len, sizes)) == made.step_after(made.epochs) == len(made.rates)


def test_orders_are_permutations_that_depend_on_seed_and_epoch_alone() -> None:
    made = plan(spec(epochs=2), 50)
    order = made.order((1, 2), 1)
    assert np.array_equal(np.sort(order, axis=1), [np.arange(50)] * 2)
    assert np.array_equal(made.order((2,), 1)[0], order[1])
    assert not np.array_equal(order[0], order[1])
    assert not np.array_equal(made.order((1, 2), 2), order)
    shared = plan(spec(epochs=2, order="shared", order_seed=2), 50).order((1, 7), 1)
    assert np.array_equal(shared, order[1:])


def test_impossible_plans_are_refused() -> None:
    with pytest.raises(SymbreakError, match="no batch of 4 in 3 examples"):
        plan(spec(epochs=1, drop_last=True), 3)
    with pytest.raises(SymbreakError, match=r"\[7\] are not among the run's steps 0 to 6"):
        plan(spec(epochs=2, checkpoints=[1, 7]), 10)

import math
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from symbreak.config.specs import ScheduleSpec, TrainingSpec
from symbreak.errors import SymbreakError
from symbreak.training.plan import plan
from symbreak.training.replicas import groups, replicas
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
    pair = replicas(made.spec, (1, 2))
    orders = [made.order(pair, epoch) for epoch in range(1, made.epochs + 1)]
    batches = [made.batches(order, epoch) for epoch, order in enumerate(orders, start=1)]
    assert [[batch.shape[1] for batch in epoch] for epoch in batches] == sizes
    assert made.steps == sum(map(len, sizes)) == made.step_after(made.epochs) == len(made.rates)


def test_orders_are_permutations_that_depend_on_seed_and_epoch_alone() -> None:
    made = plan(spec(epochs=2), 50)
    one, two = replicas(made.spec, (1, 2))
    order = made.order((one, two), 1)
    assert np.array_equal(np.sort(order, axis=1), [np.arange(50)] * 2)
    assert np.array_equal(made.order((two,), 1)[0], order[1])
    assert not np.array_equal(order[0], order[1])
    assert not np.array_equal(made.order((one, two), 2), order)
    shared = plan(spec(epochs=2, order="shared", order_seeds=[2]), 50)
    assert np.array_equal(shared.order(replicas(shared.spec, (1, 7)), 1), order[1:])


def test_a_batch_of_the_whole_set_has_no_order() -> None:
    made = plan(spec(epochs=3, batch=None), 7)
    assert (made.per_epoch, made.steps, made.batch) == (1, 3, 7)
    assert made.order(replicas(made.spec, (1, 2)), 2).tolist() == [list(range(7))]


def test_orders_are_shared_out_to_the_seeds_or_crossed_with_them() -> None:
    nested = spec(epochs=1, order="shared", order_seeds=[7, 8])
    assert [(r.number, r.seed, r.order_seed) for r in replicas(nested, (1, 2, 3))] == [(0, 1, 7), (1, 2, 7), (2, 3, 8)]
    crossed = replicas(spec(epochs=1, order="shared", order_seeds=[7, 8], crossed=True), (1, 2))
    assert [(r.number, r.seed, r.order_seed) for r in crossed] == [(0, 1, 7), (1, 2, 7), (0, 1, 8), (1, 2, 8)]
    assert [r.order_seed for r in replicas(spec(epochs=1), (1, 2))] == [None, None]
    with pytest.raises(SymbreakError, match="3 'order_seeds' cannot be shared out to 2 seeds"):
        replicas(spec(epochs=1, order="shared", order_seeds=[1, 2, 3]), (1, 2))


def test_a_group_has_one_order_and_at_most_its_size() -> None:
    parts = groups(replicas(spec(epochs=1, order="shared", order_seeds=[7, 8]), range(7)), 3)
    assert [[r.seed for r in part] for part in parts] == [[0, 1, 2], [3], [4, 5, 6]]
    assert [len(part) for part in groups(replicas(spec(epochs=1), range(7)), 3)] == [3, 3, 1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"order": "shared"}, "'order_seeds' are needed"),
        ({"order_seeds": [1]}, "'order_seeds' are needed"),
        ({"order": "shared", "order_seeds": [1, 1]}, "twice"),
        ({"crossed": True}, "'crossed' belongs"),
        ({"autocast": "bfloat16", "dtype": "float64"}, "must be 'float32'"),
        ({"optimiser": {"name": "flow", "lr": 0.1}, "batch": None}, "needs dtype 'float64'"),
        ({"optimiser": {"name": "flow", "lr": 0.1}, "dtype": "float64"}, "batch null"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        spec(epochs=1, **settings)


def test_impossible_plans_are_refused() -> None:
    with pytest.raises(SymbreakError, match="no batch of 4 in 3 examples"):
        plan(spec(epochs=1, drop_last=True), 3)
    with pytest.raises(SymbreakError, match=r"\[7\] are not among the run's steps 0 to 6"):
        plan(spec(epochs=2, checkpoints=[1, 7]), 10)

"""Batches cut by the compiled loop, against torch's own indexing and arithmetic: the same bits."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from symbreak.config.specs import DataSpec, StandardiseSpec
from symbreak.data.statistics import Statistics
from symbreak.data.training_set import TrainingSet
from symbreak.errors import SymbreakError
from symbreak.training.sources import examples

CPU, COUNT, REPLICAS = torch.device("cpu"), 37, 3
SHAPES = {"grey": (1, 5, 7), "colour": (3, 9, 4), "wider than a line": (1, 11, 13)}
KINDS: dict[str, dict[str, Any]] = {"unit": {}, "dataset": {}, "constants": {"mean": 0.1307, "std": 0.3081}}


def drawn(shape: str, kind: str, images: int, labels: int, dtype: type = np.uint8) -> TrainingSet:
    rng, size = np.random.default_rng(3), SHAPES[shape]
    statistics = Statistics(tuple(rng.uniform(0.2, 0.6, size[0])), tuple(rng.uniform(0.1, 0.4, size[0])))
    return TrainingSet(
        spec=DataSpec(set="mnist", standardise=StandardiseSpec(kind=kind, **KINDS.get(kind, {}))),  # type: ignore[arg-type]
        statistics=statistics,
        train_index=np.arange(COUNT)[None],
        train_labels=rng.integers(10, size=(labels, COUNT), dtype=np.uint8),
        test_index=np.arange(COUNT),
        test_labels=rng.integers(10, size=COUNT, dtype=np.uint8),
        train_images=rng.integers(256, size=(images, COUNT, *size)).astype(dtype),
        test_images=rng.integers(256, size=(images, COUNT, *size)).astype(dtype),
        in_shape=size,
        classes=10,
    )


def index(rows: int, batch: int) -> Tensor:
    draw = torch.Generator().manual_seed(4)
    order = torch.stack([torch.randperm(COUNT, generator=draw) for _ in range(rows)])
    return order.split(batch, dim=1)[1]  # with gaps between the rows, as the engine cuts an epoch


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("orders", [1, REPLICAS])
@pytest.mark.parametrize(("images", "labels"), [(1, 1), (1, REPLICAS), (REPLICAS, 1), (REPLICAS, REPLICAS)])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_compiling_changes_no_bit(
    shape: str, kind: str, images: int, labels: int, orders: int, dtype: torch.dtype
) -> None:
    data, rows = drawn(shape, kind, images, labels), index(orders, 11)
    (compiled, _), (plain, _) = (examples(data, CPU, dtype, compiled=way) for way in (True, False))
    assert compiled.compiled and not plain.compiled
    x, y = compiled.batch(rows)
    expected_x, expected_y = plain.batch(rows)
    assert x.is_contiguous() and x.dtype == expected_x.dtype and y.dtype == expected_y.dtype
    assert torch.equal(x, expected_x)
    assert torch.equal(y, expected_y)
    by_hand = torch.stack([plain.span(0, COUNT)[0][r % images, rows[r % orders]] for r in range(max(images, orders))])
    assert torch.equal(x, by_hand)


def test_examples_of_some_seeds_are_cut_from_their_own_images() -> None:
    data, rows = drawn("grey", "unit", REPLICAS, REPLICAS), index(2, 11)
    (compiled, _), (plain, _) = (examples(data, CPU, torch.float32, compiled=way) for way in (True, False))
    for seeds in ([0, 1], [1, 2], [2, 0]):
        for found, expected in zip(compiled.of(seeds).batch(rows), plain.of(seeds).batch(rows), strict=True):
            assert torch.equal(found, expected)


@pytest.mark.parametrize("wrong", [-1, COUNT, 2**40])
@pytest.mark.parametrize("images", [1, REPLICAS])
def test_an_example_that_is_not_there_is_refused(wrong: int, images: int) -> None:
    (found, _), rows = examples(drawn("grey", "unit", images, 1), CPU, torch.float32, compiled=True), index(1, 11)
    rows[0, 5] = wrong
    with pytest.raises(SymbreakError, match=rf"{wrong}.*only {COUNT}"):
        found.batch(rows)


def test_only_bytes_that_an_affine_map_makes_inputs_of_are_compiled() -> None:
    for data in (drawn("grey", "unit", 1, 1, np.float32), drawn("grey", "per_image", 1, 1)):
        found, _ = examples(data, CPU, torch.float32, compiled=True)
        expected, _ = examples(data, CPU, torch.float32)
        assert found.compiled is None
        assert torch.equal(found.batch(index(1, 11))[0], expected.batch(index(1, 11))[0])

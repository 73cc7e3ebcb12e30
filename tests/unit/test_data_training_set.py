"""What reaches the engine: shapes, sharing between replicas, and streams."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from symbreak.config.specs import DataSpec, ImageSpec, LabelSpec
from symbreak.data import images, labels
from symbreak.data.prepared import Bytes, Prepared
from symbreak.data.statistics import measure
from symbreak.data.subsets import balanced
from symbreak.data.tensors import to_input
from symbreak.data.training_set import TrainingSet, build
from symbreak.errors import SymbreakError
from symbreak.seeding import derive

SEEDS = (1000, 1001, 1002)


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    rng = np.random.default_rng(0)

    def part(count: int) -> tuple[Bytes, Bytes]:
        return rng.integers(256, size=(count, 1, 8, 8), dtype=np.uint8), rng.permutation(count).astype(np.uint8) % 10

    return Prepared(*part(200), *part(100))


def built(prepared: Prepared, seeds: Sequence[int] = SEEDS, **keys: Any) -> TrainingSet:
    return build(DataSpec(set="mnist", **keys), prepared, seeds)


def test_the_whole_plain_set_is_shared_and_not_copied(prepared: Prepared) -> None:
    found = built(prepared)
    assert np.shares_memory(found.train_images, prepared.train_images)
    assert np.shares_memory(found.test_images, prepared.test_images)
    assert found.train_images.shape == (1, 200, 1, 8, 8)
    assert found.train_index.shape == found.train_labels.shape == (1, 200)
    assert (found.train_index.dtype, found.train_labels.dtype) == (np.int64, np.uint8)
    np.testing.assert_array_equal(found.test_labels, prepared.test_labels)
    assert (found.in_shape, found.classes) == ((1, 8, 8), 10)


def test_a_shared_subset_comes_from_its_own_seed(prepared: Prepared) -> None:
    found = built(prepared, train=50, test=20, subset_seed=5)
    rows = balanced(prepared.train_labels, 50, 10, derive(5, "subset"))
    np.testing.assert_array_equal(found.train_index, rows[None])
    np.testing.assert_array_equal(found.train_images[0], prepared.train_images[rows])
    np.testing.assert_array_equal(found.train_labels[0], prepared.train_labels[rows])
    np.testing.assert_array_equal(found.test_images[0], prepared.test_images[found.test_index])
    tested = balanced(prepared.test_labels, 20, 10, derive(5, "subset", "test"))
    np.testing.assert_array_equal(found.test_index, tested)
    assert not np.array_equal(found.train_index, built(prepared, train=50, subset_seed=6).train_index)


def test_own_subsets_are_the_replicas_own_whatever_the_company(prepared: Prepared) -> None:
    found = built(prepared, train=50, subset="replica")
    assert found.train_images.shape == (3, 50, 1, 8, 8)
    assert found.test_images.shape[0] == 1
    for replica, seed in enumerate(SEEDS):
        alone = built(prepared, (seed,), train=50, subset="replica")
        np.testing.assert_array_equal(found.train_index[replica], alone.train_index[0])
        np.testing.assert_array_equal(found.train_images[replica], prepared.train_images[found.train_index[replica]])
    assert not np.array_equal(found.train_index[0], found.train_index[1])


def test_own_labels_on_a_shared_subset(prepared: Prepared) -> None:
    found = built(prepared, train=50, labels={"kind": "random"})
    assert found.train_index.shape == found.train_labels.shape == (3, 50)
    assert found.train_images.shape[0] == 1
    assert (found.train_index == found.train_index[0]).all()
    for replica, seed in enumerate(SEEDS):
        truth = prepared.train_labels[found.train_index[0]]
        oracle = labels.vary(truth, LabelSpec(kind="random"), 10, derive(seed, "labels"))
        np.testing.assert_array_equal(found.train_labels[replica], oracle)
    assert not np.array_equal(found.train_labels[0], found.train_labels[1])


def test_shared_labels_are_drawn_once(prepared: Prepared) -> None:
    found = built(prepared, labels={"kind": "shuffled"}, labels_per="shared", subset_seed=3)
    oracle = labels.vary(prepared.train_labels, LabelSpec(kind="shuffled"), 10, derive(3, "labels"))
    np.testing.assert_array_equal(found.train_labels, oracle[None])


def test_shared_labels_on_own_subsets_have_a_row_a_replica(prepared: Prepared) -> None:
    found = built(prepared, train=50, subset="replica", labels={"kind": "shuffled"}, labels_per="shared")
    assert found.train_labels.shape == found.train_index.shape == (3, 50)
    for drawn, rows in zip(found.train_labels, found.train_index, strict=True):
        np.testing.assert_array_equal(np.sort(drawn), np.sort(prepared.train_labels[rows]))


@pytest.mark.parametrize("kind", ["shuffled_pixels", "random_pixels", "gaussian"])
@pytest.mark.parametrize("shared", [True, False])
def test_image_variants_of_both_parts(prepared: Prepared, kind: Any, shared: bool) -> None:
    found = built(prepared, images={"kind": kind}, labels_per="shared" if shared else "replica", crop=6)
    statistics, spec = measure(prepared.train_images), ImageSpec(kind=kind)
    for replica, seed in enumerate([0] if shared else SEEDS):
        for part in ("train", "test"):
            cropped = getattr(prepared, f"{part}_images")[..., 1:7, 1:7]
            oracle = images.vary(cropped, spec, statistics, derive(seed, "images"), part)
            np.testing.assert_array_equal(getattr(found, f"{part}_images")[replica], oracle)
    assert len(found.train_images) == len(found.test_images) == (1 if shared else 3)
    np.testing.assert_array_equal(found.test_labels, prepared.test_labels)


def test_crop_and_expansion_give_the_input_shape(prepared: Prepared) -> None:
    found = built(prepared, train=20, crop=4, expand={"factor": 2, "fill": "nearest"})
    batch = torch.from_numpy(found.train_images)[:, :5]
    inputs = to_input(batch, found.spec, found.statistics)
    assert inputs.shape == (1, 5, *found.in_shape)
    assert found.in_shape == (1, 8, 8)
    np.testing.assert_array_equal(found.train_images[0], prepared.train_images[found.train_index[0]][..., 2:6, 2:6])


def test_statistics_are_those_of_the_whole_uncropped_training_set(prepared: Prepared) -> None:
    assert built(prepared, train=20, crop=4).statistics == measure(prepared.train_images)


def test_impossible_subsets_say_why(prepared: Prepared) -> None:
    with pytest.raises(SymbreakError, match="class-balanced subset of 300 needs 30 images of class 0"):
        built(prepared, train=300)

"""Labels, subsets, images and statistics: properties, and slow loops as oracles."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from symbreak.config.specs import ImageSpec, LabelSpec
from symbreak.data import images, labels
from symbreak.data.images import Images
from symbreak.data.prepared import Bytes
from symbreak.data.statistics import Statistics, measure
from symbreak.data.subsets import balanced
from symbreak.errors import SymbreakError
from symbreak.seeding import derive

STATISTICS = Statistics((0.2, 0.5, 0.7), (0.3, 0.1, 0.2))


def some_labels(count: int = 5000) -> Bytes:
    return np.random.default_rng(4).integers(10, size=count, dtype=np.uint8)


def some_images(count: int = 40) -> Bytes:
    """Images whose pixels name their place: channel c of position p is 64 c + p."""
    place = np.arange(36, dtype=np.uint8).reshape(6, 6)
    one = np.stack([place, place + 64, place + 128])
    return np.broadcast_to(one, (count, 3, 6, 6)).copy()


def varied_labels(kind: Any, seed: int, fraction: float | None = None) -> Bytes:
    return labels.vary(some_labels(), LabelSpec(kind=kind, fraction=fraction), 10, seed)


def test_true_labels_are_a_copy() -> None:
    given = some_labels()
    same = labels.vary(given, LabelSpec(), 10, 0)
    np.testing.assert_array_equal(same, given)
    assert not np.shares_memory(same, given)


def test_random_labels_are_uniform_and_independent_of_the_true_ones() -> None:
    drawn, counts = varied_labels("random", 1), np.bincount(varied_labels("random", 1), minlength=10)
    assert drawn.dtype == np.uint8
    assert len(counts) == 10
    assert np.sum((counts - 500) ** 2 / 500) < 33.7  # chi-squared with 9 degrees of freedom, p = 1e-4
    assert abs(np.mean(drawn == some_labels()) - 0.1) < 4 * (0.09 / 5000) ** 0.5


def test_shuffled_labels_keep_the_counts_but_not_the_places() -> None:
    shuffled = varied_labels("shuffled", 1)
    np.testing.assert_array_equal(np.sort(shuffled), np.sort(some_labels()))
    assert 0.05 < np.mean(shuffled == some_labels()) < 0.15


@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
def test_partial_labels_keep_a_true_label_unless_it_is_replaced(fraction: float | None) -> None:
    kept = np.mean(varied_labels("partial", 1, fraction) == some_labels())
    truth = 1 - fraction + fraction / 10  # a replacement is the true class once in ten times
    assert abs(kept - truth) <= 4 * (truth * (1 - truth) / 5000) ** 0.5


@pytest.mark.parametrize(("kind", "fraction"), [("random", None), ("shuffled", None), ("partial", 0.5)])
def test_labels_are_a_function_of_the_seed(kind: Any, fraction: float | None) -> None:
    np.testing.assert_array_equal(varied_labels(kind, 7, fraction), varied_labels(kind, 7, fraction))
    assert np.mean(varied_labels(kind, 7, fraction) == varied_labels(kind, 8, fraction)) < 0.6


def test_balanced_subsets_are_balanced_sorted_nested_and_drawn() -> None:
    truth = some_labels()
    small, large = (balanced(truth, count, 10, 3) for count in (100, 1000))
    assert np.bincount(truth[large], minlength=10).tolist() == [100] * 10
    assert (np.diff(large) > 0).all()
    assert set(small) < set(large)
    assert small.dtype == np.int64
    assert not np.array_equal(small, balanced(truth, 100, 10, 4))
    np.testing.assert_array_equal(small, balanced(truth, 100, 10, 3))


def test_subsets_that_do_not_divide_differ_by_one() -> None:
    assert np.bincount(some_labels()[balanced(some_labels(), 123, 10, 0)]).tolist() == [13] * 3 + [12] * 7


def test_the_whole_set_is_in_its_order() -> None:
    np.testing.assert_array_equal(balanced(some_labels(), None, 10, 0), np.arange(5000))


def test_too_few_images_of_a_class_are_an_error_that_names_it() -> None:
    truth = np.repeat(np.arange(10, dtype=np.uint8), 20)[:-5]
    with pytest.raises(SymbreakError, match="200 needs 20 images of class 9, and the set has 15"):
        balanced(truth, 200, 10, 0)


def test_every_image_of_a_class_can_be_drawn() -> None:
    truth = np.repeat(np.arange(10, dtype=np.uint8), 20)
    assert set(np.concatenate([balanced(truth, 20, 10, seed) for seed in range(200)])) == set(range(200))


def varied(kind: Any, seed: int = 1, part: str = "train", given: Images | None = None) -> Images:
    return images.vary(some_images() if given is None else given, ImageSpec(kind=kind), STATISTICS, seed, part)


def test_plain_images_are_the_input() -> None:
    given = some_images()
    assert varied("plain", given=given) is given


def positions(batch: Bytes) -> npt.NDArray[np.int64]:
    """Where each pixel came from, ``[N, 36]``, after checking that the channels moved together."""
    flat = batch.reshape(len(batch), 3, 36).astype(int)
    np.testing.assert_array_equal(flat[:, 1] - 64, flat[:, 0])
    np.testing.assert_array_equal(flat[:, 2] - 128, flat[:, 0])
    np.testing.assert_array_equal(np.sort(flat[:, 0], axis=1), np.tile(np.arange(36), (len(flat), 1)))
    return flat[:, 0]


def test_shuffled_pixels_are_one_permutation_for_all_images_of_both_parts() -> None:
    train, test = positions(varied("shuffled_pixels")), positions(varied("shuffled_pixels", part="test"))
    assert (train == train[0]).all()
    np.testing.assert_array_equal(train[0], test[0])
    assert not np.array_equal(train[0], np.arange(36))
    assert not np.array_equal(train[0], positions(varied("shuffled_pixels", seed=2))[0])


def test_random_pixels_are_a_permutation_per_image_and_part() -> None:
    train, test = positions(varied("random_pixels")), positions(varied("random_pixels", part="test"))
    rows = {tuple(row) for row in np.concatenate([train, test, positions(varied("random_pixels", seed=2))])}
    assert len(rows) == 120


def test_random_pixels_equal_the_slow_loop_across_chunks() -> None:
    given = np.random.default_rng(9).integers(256, size=(images.CHUNK + 3, 2, 3, 3), dtype=np.uint8)
    rng = np.random.Generator(np.random.PCG64(derive(5, "train")))
    for before, after in zip(given, varied("random_pixels", seed=5, given=given), strict=True):
        order = rng.permuted(np.arange(9))
        for channel in range(2):
            assert [before[channel].flat[p] for p in order] == after[channel].ravel().tolist()


def test_random_pixels_reach_every_place_equally_often() -> None:
    given = np.broadcast_to(some_images(1), (7200, 3, 6, 6))
    counts = np.bincount(positions(varied("random_pixels", given=given))[:, 5], minlength=36)
    assert np.sum((counts - 200) ** 2 / 200) < 80  # chi-squared with 35 degrees of freedom, p < 1e-4


def test_gaussian_images_have_the_sets_moments_per_channel() -> None:
    noise = varied("gaussian", given=np.zeros((3000, 3, 6, 6), np.uint8))
    assert noise.dtype == np.float32
    count = noise[:, 0].size
    for channel in range(3):
        mean, std = STATISTICS.mean[channel] * 255, STATISTICS.std[channel] * 255
        assert abs(noise[:, channel].mean(dtype=np.float64) - mean) < 4 * std / count**0.5
        assert abs(noise[:, channel].std(dtype=np.float64) / std - 1) < 4 / (2 * count) ** 0.5
    assert not np.array_equal(noise, varied("gaussian", part="test", given=np.zeros((3000, 3, 6, 6), np.uint8)))
    np.testing.assert_array_equal(noise, varied("gaussian", given=np.zeros((3000, 3, 6, 6), np.uint8)))


@pytest.mark.parametrize(("side", "first"), [(6, 0), (4, 7), (5, 0), (2, 14)])
def test_crop_takes_the_centre(side: int, first: int) -> None:
    cropped = images.crop(some_images(), side)
    assert cropped.shape[-2:] == (side, side)
    assert cropped[0, 0, 0, 0] == first
    assert cropped[0, 0, -1, -1] == first + 7 * (side - 1)


def test_crop_of_nothing_and_of_too_much() -> None:
    given = some_images()
    assert images.crop(given, None) is given
    with pytest.raises(SymbreakError, match="'crop' is 7, but the images have 6 x 6 pixels"):
        images.crop(given, 7)


def test_statistics_equal_numpys_in_float64() -> None:
    given = np.random.default_rng(3).integers(256, size=(4100, 2, 3, 5), dtype=np.uint8)  # more than one chunk
    found, unit = measure(given), given.astype(np.float64) / 255
    np.testing.assert_allclose(found.mean, unit.mean(axis=(0, 2, 3)), rtol=1e-13)
    np.testing.assert_allclose(found.std, unit.std(axis=(0, 2, 3)), rtol=1e-13)


def test_statistics_of_a_constant_are_exact() -> None:
    assert measure(np.full((9, 1, 3, 3), 51, np.uint8)) == Statistics((0.2,), (0.0,))

"""What a run is trained and tested on: subsets, labels and images of all its replicas."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from symbreak.config.specs import DataSpec
from symbreak.data import images, labels
from symbreak.data.catalogue import CLASSES
from symbreak.data.images import Images
from symbreak.data.prepared import Prepared
from symbreak.data.statistics import Statistics, measure
from symbreak.data.subsets import Rows, balanced
from symbreak.seeding import derive

Item = TypeVar("Item")


@dataclass(frozen=True)
class TrainingSet:
    """Arrays of R replicas; a leading axis of 1 is shared by all of them.

    ``train_index`` int64 and ``train_labels`` uint8 ``[R or 1, N]``, of the same shape; ``test_index`` int64 and
    ``test_labels`` uint8 ``[M]``; ``train_images`` ``[R or 1, N, C, H, W]`` and ``test_images``
    ``[R or 1, M, C, H, W]``, cropped, uint8 (float32 in pixel units for ``gaussian``).
    ``symbreak.data.tensors.to_input`` makes a batch of them an input of shape ``in_shape`` (after expansion), by
    ``spec`` and ``statistics``.
    """

    spec: DataSpec
    statistics: Statistics
    train_index: Rows
    train_labels: npt.NDArray[np.uint8]
    test_index: Rows
    test_labels: npt.NDArray[np.uint8]
    train_images: Images
    test_images: Images
    in_shape: tuple[int, int, int]
    classes: int


def build(spec: DataSpec, prepared: Prepared, seeds: Sequence[int]) -> TrainingSet:
    """Draw the subsets, labels and images of the replicas ``seeds``, each from its own stream.

    The test subset is drawn once, from ``spec.subset_seed``. Images that no variant changes are not copied where the
    whole set is used.

    Raises:
        SymbreakError: If a subset or crop is impossible.
    """
    shared = (spec.subset_seed,)
    subset_seeds = tuple(seeds) if spec.subset == "replica" and spec.train is not None else shared
    variant_seeds = tuple(seeds) if spec.labels_per == "replica" else shared
    label_seeds = shared if spec.labels.kind == "true" else variant_seeds
    image_seeds = shared if spec.images.kind == "plain" else variant_seeds
    rows = [balanced(prepared.train_labels, spec.train, CLASSES, derive(s, "subset")) for s in subset_seeds]
    test = balanced(prepared.test_labels, spec.test, CLASSES, derive(spec.subset_seed, "subset", "test"))
    statistics = measure(prepared.train_images)
    varied = [
        labels.vary(prepared.train_labels[index], spec.labels, CLASSES, derive(seed, "labels"))
        for index, seed in _paired(rows, label_seeds)
    ]
    test_images = _images(prepared.test_images, spec, statistics, _paired([test], image_seeds), "test")
    return TrainingSet(
        spec=spec,
        statistics=statistics,
        train_index=np.stack([index for index, _ in _paired(rows, label_seeds)]),
        train_labels=np.stack(varied),
        test_index=test,
        test_labels=prepared.test_labels[test],
        train_images=_images(prepared.train_images, spec, statistics, _paired(rows, image_seeds), "train"),
        test_images=test_images,
        in_shape=_in_shape(test_images, spec),
        classes=CLASSES,
    )


def _paired(rows: Sequence[Rows], seeds: Sequence[int]) -> list[tuple[Rows, int]]:
    """Pair subsets with seeds; one of a kind goes with all of the other."""
    count = max(len(rows), len(seeds))
    return list(zip(_repeated(rows, count), _repeated(seeds, count), strict=True))


def _repeated(items: Sequence[Item], count: int) -> list[Item]:
    return list(items) * (count // len(items))


def _images(whole: Images, spec: DataSpec, statistics: Statistics, pairs: list[tuple[Rows, int]], part: str) -> Images:
    cropped = images.crop(whole, spec.crop)
    variants = (
        images.vary(_taken(cropped, index), spec.images, statistics, derive(seed, "images"), part)
        for index, seed in pairs
    )
    first = next(variants)
    if len(pairs) == 1:
        return np.ascontiguousarray(first)[None]
    result = np.empty((len(pairs), *first.shape), first.dtype)
    result[0] = first
    for replica, variant in enumerate(variants, start=1):
        result[replica] = variant
    return result


def _taken(whole: Images, index: Rows) -> Images:
    """Take rows; the whole set is not copied."""
    return whole if len(index) == len(whole) else whole[index]


def _in_shape(test_images: Images, spec: DataSpec) -> tuple[int, int, int]:
    channels, height, width = test_images.shape[-3:]
    factor = spec.expand.factor if spec.expand else 1
    return channels, height * factor, width * factor

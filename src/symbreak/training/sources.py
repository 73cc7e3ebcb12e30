"""Training and test examples of a run, on the device."""

from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from symbreak.data.tensors import Affine, is_affine, to_input
from symbreak.data.training_set import TrainingSet
from symbreak.training.examples import Examples, converted


def examples(data: TrainingSet, device: torch.device, dtype: torch.dtype) -> tuple[Examples, Examples]:
    """Return training and test examples whose inputs are of ``dtype``."""
    affine = is_affine(data.spec)
    convert = _affine(data, device, dtype) if affine else partial(_input, data=data, dtype=dtype)

    def place(images: npt.NDArray[np.generic], labels: npt.NDArray[np.uint8]) -> Examples:
        stored = torch.from_numpy(images).to(device)
        found = Examples(stored, torch.from_numpy(labels).to(device, torch.int64), convert)
        return found if affine else converted(found)  # to read floats costs more than an affine map of bytes

    return place(data.train_images, data.train_labels), place(data.test_images, data.test_labels[None])


def _affine(data: TrainingSet, device: torch.device, dtype: torch.dtype) -> Affine:
    return Affine(data.spec.standardise, data.statistics, data.in_shape, dtype, device)


def _input(batch: Tensor, data: TrainingSet, dtype: torch.dtype) -> Tensor:
    return to_input(batch, data.spec, data.statistics, dtype)

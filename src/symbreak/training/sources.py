"""Training and test examples of a run, on the device."""

from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from symbreak.data.tensors import Affine, is_affine, to_input
from symbreak.data.training_set import TrainingSet
from symbreak.training.examples import Examples, converted


def examples(
    data: TrainingSet, device: torch.device, dtype: torch.dtype, *, compiled: bool = False
) -> tuple[Examples, Examples]:
    """Return training and test examples whose inputs are of ``dtype``.

    Args:
        data: Images and labels.
        device: Where they are to lie.
        dtype: float32 or float64.
        compiled: Whether batches on a CPU are worth compiled code, which takes a second to load: for networks
            whose steps take less than a millisecond or so. No number depends on it.
    """
    affine = _affine(data, device, dtype) if is_affine(data.spec) else None
    convert = affine or partial(_input, data=data, dtype=dtype)

    def place(images: npt.NDArray[np.generic], labels: npt.NDArray[np.uint8]) -> Examples:
        stored = torch.from_numpy(images).to(device)
        loop = affine if compiled and (stored.device.type, stored.dtype) == ("cpu", torch.uint8) else None
        found = Examples(stored, torch.from_numpy(labels).to(device, torch.int64), convert, loop)
        return found if affine else converted(found)  # to read floats costs more than an affine map of bytes

    return place(data.train_images, data.train_labels), place(data.test_images, data.test_labels[None])


def _affine(data: TrainingSet, device: torch.device, dtype: torch.dtype) -> Affine:
    return Affine(data.spec.standardise, data.statistics, data.in_shape, dtype, device)


def _input(batch: Tensor, data: TrainingSet, dtype: torch.dtype) -> Tensor:
    return to_input(batch, data.spec, data.statistics, dtype)

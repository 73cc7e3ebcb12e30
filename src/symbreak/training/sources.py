"""Training and test examples of a run, on the device."""

from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from symbreak.data.tensors import to_input
from symbreak.data.training_set import TrainingSet
from symbreak.training.examples import Examples, resident


def examples(data: TrainingSet, device: torch.device, dtype: torch.dtype) -> tuple[Examples, Examples]:
    """Return training and test examples whose inputs are of ``dtype``."""
    convert = partial(to_input, spec=data.spec, statistics=data.statistics, dtype=dtype)

    def place(images: npt.NDArray[np.generic], labels: npt.NDArray[np.uint8]) -> Examples:
        stored = torch.from_numpy(images).to(device)
        return resident(Examples(stored, torch.from_numpy(labels).to(device, torch.int64), convert))

    return place(data.train_images, data.train_labels), place(data.test_images, data.test_labels[None])

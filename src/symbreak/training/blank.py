"""Inputs that are 0 in every image: training can do without them, as no gradient reaches their weights.

An eighth of MNIST's pixels are 0 in all of 10,000 images, and most inputs of an image that zeros expand. Sums over
fewer inputs round otherwise: last digits then depend on which inputs are left out, and so on all images of the arm.
Therefore it is done only where the arm asks for it, by ``inputs: nonzero``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from symbreak.config.specs import TrainingSpec
from symbreak.errors import SymbreakError
from symbreak.models.model import Model, Noise, State
from symbreak.models.stack import Stack
from symbreak.training.examples import CHUNK, Examples
from symbreak.training.trained import Trained

MULTIPLE = 16  # of inputs are kept: products of other sizes take longer


class Narrow:
    """A stack whose first layer has only some of its inputs.

    Args:
        whole: The stack with all inputs.
        kept: The inputs, int64 ``[I]``, ascending.
    """

    def __init__(self, whole: Model, kept: Tensor) -> None:
        assert whole.stack is not None
        self._whole, self._kept, self._first = whole, kept.cpu(), whole.stack.names[0][0]
        self.buffers, self.max_group = whole.buffers, whole.max_group
        self.stack: Stack | None = whole.stack

    def init(self, seed: int) -> State:
        """Return one replica at initialisation, without the weights of the other inputs."""
        state = self._whole.init(seed)
        return state | {self._first: state[self._first][:, self._kept]}

    def forward(self, state: State, x: Tensor, *, train: bool, noise: Noise | None = None) -> Tensor:
        """Return the outputs for inputs that are 0 elsewhere; see ``Model.forward``."""
        return self._whole.forward(state, x, train=train, noise=noise)

    def first(self, seeds: Sequence[int]) -> Tensor:
        """Return the weights of all inputs at initialisation, ``[R, units, inputs]`` on the CPU."""
        return torch.stack([self._whole.init(seed)[self._first] for seed in seeds])

    def widened(self, state: State, first: Tensor) -> State:
        """Return a state ``[R, ...]`` on the CPU with all inputs' weights: of ``first`` where they were left out."""
        weights = first.clone()
        weights[:, :, self._kept] = state[self._first]
        return state | {self._first: weights}


@dataclass(frozen=True)
class Task:
    """A model and its examples, without inputs that are 0 in all images if ``narrow`` is given."""

    model: Model
    train: Examples
    test: Examples
    narrow: Narrow | None = None

    def whole(self, trained: Trained) -> Trained:
        """Return what was trained with the weights of all inputs."""
        if self.narrow is None:
            return trained
        first = self.narrow.first(trained.seeds)
        full = {step: self.narrow.widened(state, first) for step, state in trained.checkpoints.items()}
        return replace(trained, checkpoints=full)


def without_blank(model: Model, spec: TrainingSpec, train: Examples, test: Examples) -> Task:
    """Leave out inputs that are 0 in all training and test images, if ``spec.inputs`` is ``nonzero``.

    With ``autocast`` a first layer that is left with fewer weights than are worth rounding is multiplied in float32.

    Raises:
        SymbreakError: If the network has no fully connected first layer whose gradient is written out, or if nothing is
            known of what images become.
    """
    if spec.inputs == "all":
        return Task(model, train, test)
    if model.stack is None:
        raise SymbreakError(
            "'inputs' is 'nonzero', but only fully connected networks without normalisation and dropout can do "
            "without some inputs; set 'inputs' to 'all'"
        )
    if not (train.keeps_zero and test.keeps_zero):
        raise SymbreakError(
            "'inputs' is 'nonzero', but nothing says that pixels which are 0 stay 0: set 'standardise' to {kind: unit} "
            "and leave out 'expand', or set 'inputs' to 'all'"
        )
    live = _live(train.images) | _live(test.images)
    padded = -(-max(int(live.sum()), 1) // MULTIPLE) * MULTIPLE
    if padded >= len(live):
        return Task(model, train, test)
    first_live = torch.argsort(live.logical_not().to(torch.uint8), stable=True)
    kept = first_live[:padded].sort().values
    narrow = Narrow(model, kept)
    return Task(narrow, _only(train, kept), _only(test, kept), narrow)


def _live(images: Tensor) -> Tensor:
    """Return which pixels of ``[K, N, C, H, W]`` are not 0 in some image, bool ``[C H W]``."""
    rows = images.flatten(2).flatten(0, 1)
    live = torch.zeros(rows.shape[1], dtype=torch.bool, device=images.device)
    for part in rows.split(CHUNK):
        live |= (part.amax(0) != 0) | (part.amin(0) != 0)  # in an eighth of the time of (part != 0).any(0)
        if live.all():
            break
    return live


def _only(examples: Examples, kept: Tensor) -> Examples:
    sets, count = examples.images.shape[:2]
    rows = examples.images.flatten(2).flatten(0, 1)
    columns = rows.gather(1, kept.expand(len(rows), -1))  # index_select takes three times as long
    return replace(examples, images=columns.view(sets, count, 1, 1, -1))

"""An arm's networks and examples as the probes of networks take them: its model built again, its weights read."""

from collections.abc import Sequence
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
import torch

from symbreak.config.specs import ArmSpec, DataSpec
from symbreak.data import training_set
from symbreak.data.tensors import to_input
from symbreak.data.training_set import TrainingSet
from symbreak.errors import SymbreakError
from symbreak.models.model import Model, build
from symbreak.probes.network import Data, Network, State, of_model
from symbreak.probes.piped_options import Piped
from symbreak.probes.source import Source

Member = tuple[int, int]  # a replica by its position on the replica axis, and a stored step
_DRAWN: WeakKeyDictionary[Source, TrainingSet] = WeakKeyDictionary()  # several probes of one arm draw it once


class Networks:
    """The networks and examples of an arm.

    An arm that trains nothing has one step, 0: the initialisations of its seeds.

    Args:
        source: The arm, its run and its set.
        options: Which examples, and the type of weights and inputs.

    Raises:
        SymbreakError: If the arm has no data or no model.
    """

    def __init__(self, source: Source, options: Piped) -> None:
        spec = source.spec
        if spec.data is None or spec.model is None:
            raise SymbreakError(
                f"a probe of networks needs 'data' and 'model', and arm '{spec.arm}' has not both; give both"
            )
        self._source, self._options = source, options
        self._data, self._model_spec = spec.data, spec.model
        self._loaded: dict[int, State] = {}
        self.dtype: torch.dtype = getattr(torch, options.dtype or _trained_in(spec))

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps at which there are weights, ascending."""
        return (0,) if self._source.spec.training is None else self._source.stored_steps

    @property
    def examples_shared(self) -> bool:
        """Whether all replicas have the same examples, labels included."""
        drawn = self._drawn
        if self._options.data == "train":
            return len(drawn.train_images) == len(drawn.train_labels) == 1
        return len(drawn.test_images) == 1

    def step(self, wanted: int) -> int:
        """Return a stored step; -1 is the last.

        Raises:
            SymbreakError: If nothing is stored at that step.
        """
        found = self.steps[-1] if wanted == -1 else wanted
        if found not in self.steps:
            raise SymbreakError(
                f"arm '{self._source.spec.arm}' has parameters at steps {list(self.steps)}, not at {wanted}: "
                f"name one of these as 'step', or add it to 'training.checkpoints'"
            )
        return found

    def network(self, members: Sequence[Member]) -> Network:
        """Return one network with the weights of all ``members``, in their order."""
        states = [(self._at(step), position) for position, step in members]
        names = states[0][0]
        return of_model(self._model, {n: torch.stack([state[n][r] for state, r in states]) for n in names})

    def examples(self, position: int) -> Data:
        """Return the examples of a replica, inputs ``[N, C, H, W]`` as it was trained on or tested with.

        Raises:
            SymbreakError: If fewer are there than are asked for.
        """
        drawn, number = self._drawn, self._source.replicas[position].number
        train = self._options.data == "train"
        images = drawn.train_images if train else drawn.test_images
        labels = drawn.train_labels if train else drawn.test_labels[None]
        there, count = images.shape[1], self._options.images
        if count is not None and count > there:
            raise SymbreakError(
                f"'images' is {count}, but the {self._options.data} subset of arm '{self._source.spec.arm}' has "
                f"{there}; ask for at most so many"
            )
        pixels = torch.from_numpy(np.ascontiguousarray(images[number % len(images), :count]))
        y = torch.from_numpy(labels[number % len(labels), :count].astype(np.int64))
        return Data(to_input(pixels, self._data, drawn.statistics, self.dtype), y)

    @cached_property
    def _model(self) -> Model:
        return build(self._model_spec, self._drawn.in_shape, self._drawn.classes, self.dtype)

    @property
    def _drawn(self) -> TrainingSet:
        if self._source not in _DRAWN:
            _DRAWN[self._source] = _draw(self._source, self._data)
        return _DRAWN[self._source]

    def _at(self, step: int) -> State:
        """All replicas' parameters and buffers at a step, ``[R, ...]``."""
        if step not in self._loaded:
            self._loaded[step] = self._initial() if self._source.spec.training is None else self._stored(step)
        return self._loaded[step]

    def _initial(self) -> State:
        states = [self._model.init(seed) for seed in self._source.seeds]
        return {name: torch.stack([state[name] for state in states]) for name in states[0]}

    def _stored(self, step: int) -> State:
        found = {name: torch.from_numpy(value) for name, value in self._source.weights(step).items()}
        return {name: value.to(self.dtype) if value.is_floating_point() else value for name, value in found.items()}


def _trained_in(spec: ArmSpec) -> str:
    return "float32" if spec.training is None else spec.training.dtype


def _draw(source: Source, spec: DataSpec) -> TrainingSet:
    """Draw the arm's examples again, and make sure that they are those that its run was trained on."""
    drawn = training_set.build(spec, source.data(), source.spec.seeds)
    if source.spec.training is not None:
        for name in ("train_index", "train_labels"):
            if not np.array_equal(source.tensor(f"data/{name}"), getattr(drawn, name)):
                raise SymbreakError(
                    f"the run of arm '{source.spec.arm}' was trained on another '{name}' than its specification draws "
                    f"now: the set or the code of its subsets has changed; train it again"
                )
    return drawn

"""Observers of an ensemble: found by name, called around every update."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Protocol

from torch import Tensor

from symbreak.config.specs import TrainingSpec
from symbreak.errors import SymbreakError
from symbreak.models.model import Model, State


class Observer(Protocol):
    """Records quantities of each replica at every update; see ``docs/developing.md``."""

    @property
    def needs_before(self) -> bool:
        """Whether the next ``step`` has to be given the state before it, a copy of everything."""

    def start(self, state: State) -> None:
        """See the state at initialisation."""

    def step(self, before: State, gradients: Mapping[str, Tensor], after: State) -> None:
        """See the states before (empty if no observer needs it) and after an update.

        ``gradients`` are those of the mean batch loss at ``before``: parameter -> ``[R, ...]``, in the
        dtype of the training, without weight decay; none for buffers.
        """

    def tensors(self) -> dict[str, Tensor]:
        """Return the record, ``<symmetry>/<set>/<quantity>`` -> float64 ``[T+1 or T, R, U]``."""

    def state(self) -> dict[str, Tensor]:
        """Return everything recorded so far, for ``restore``."""

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from the ``state`` of an interrupted training; called instead of ``start``."""


def observers(model: Model, spec: TrainingSpec) -> list[Observer]:
    """Build the observers that ``spec.observe`` names, from ``symbreak.training.observers.<name>``."""
    modules = [importlib.import_module(name) for name in observer_modules(spec)]
    return [module.build(model, spec, options) for module, options in zip(modules, spec.observe.values(), strict=True)]


def observer_modules(spec: TrainingSpec) -> list[str]:
    """Return the names of the modules that ``observers`` imports."""
    return [f"symbreak.training.observers.{name}" for name in spec.observe]


def observed(watching: Sequence[Observer]) -> dict[str, Tensor]:
    """Collect the records of all observers.

    Raises:
        SymbreakError: If two observers record under one name.
    """
    found: dict[str, Tensor] = {}
    for observer in watching:
        tensors = observer.tensors()
        if both := found.keys() & tensors.keys():
            raise SymbreakError(f"two observers record {sorted(both)}; give their quantities different names")
        found |= tensors
    return found

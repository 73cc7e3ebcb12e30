"""Norms of each parameter and of its gradient, and how far each update moves it.

For parameter ``p`` (``q`` its entries, ``g`` those of the gradient of the mean batch loss, without weight decay):

* ``norms/<p>/weight_norm2``: ``|q|^2`` before training and after every update, ``[T + 1, R, 1]``;
* ``norms/<p>/gradient_norm2``: ``|g|^2`` at the parameters before every update, ``[T, R, 1]``;
* ``norms/<p>/gradient_sum``: ``sum_i g_i`` there, ``[T, R, 1]``, zero under a translation symmetry of ``p``;
* ``norms/<p>/update_norm2``: ``|q' - q|^2`` of every update, ``[T, R, 1]``.

Sums are in float64; a gradient is that of the training, and a difference ``q' - q`` is rounded to its precision.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from symbreak.config.specs import TrainingSpec
from symbreak.errors import SymbreakError
from symbreak.models.model import Model, State
from symbreak.training.observers.rows import Rows, gathered, scatter


class Norms:
    """Records norms; nothing is copied to the host before ``tensors`` or ``state``.

    Args:
        chosen: Names of the parameters to watch (None: all).
        buffers: Names in a state that are no parameters.
    """

    needs_before = True

    def __init__(self, chosen: tuple[str, ...] | None, buffers: frozenset[str]) -> None:
        self._chosen = chosen
        self._buffers = buffers
        self._records = {"states": Rows(), "updates": Rows()}

    def start(self, state: State) -> None:
        """Record the norms before the first update.

        Raises:
            SymbreakError: If a parameter to watch is not in ``state``.
        """
        known = sorted(state.keys() - self._buffers)
        if self._chosen is not None and (unknown := sorted(set(self._chosen) - set(known))):
            raise SymbreakError(f"observer 'norms' is to watch {unknown}, but the model's parameters are {known}")
        self._records = {"states": Rows(), "updates": Rows()}
        self._see(state)

    def step(self, before: State, gradients: Mapping[str, Tensor], after: State) -> None:
        """Record one update.

        Args:
            before: Name -> ``[R, ...]`` state before the update.
            gradients: Parameter -> ``[R, ...]`` gradient of the mean batch loss there.
            after: The state after the update.
        """
        row: State = {}
        for name in self._watched(before):
            gradient = gradients[name]  # once: it may be multiplied out on access
            row[f"norms/{name}/gradient_norm2"] = _norm2(gradient)
            row[f"norms/{name}/gradient_sum"] = gradient.flatten(1).sum(1, keepdim=True, dtype=torch.float64)
            row[f"norms/{name}/update_norm2"] = _norm2(after[name] - before[name])
        self._records["updates"].append(row)
        self._see(after)

    def tensors(self) -> State:
        """Return the record, names as above, float64."""
        return self._records["states"].stacked() | self._records["updates"].stacked()

    def state(self) -> State:
        """Return everything recorded so far."""
        return gathered(self._records)

    def restore(self, state: State) -> None:
        """Go on from a ``state`` instead of starting."""
        scatter(self._records, state)

    def _see(self, state: State) -> None:
        self._records["states"].append(
            {f"norms/{name}/weight_norm2": _norm2(state[name]) for name in self._watched(state)}
        )

    def _watched(self, state: State) -> list[str]:
        return (
            [name for name in state if name in self._chosen] if self._chosen else sorted(state.keys() - self._buffers)
        )


def build(model: Model, spec: TrainingSpec, options: dict[str, Any]) -> Norms:
    """Return the observer.

    Args:
        model: Any model.
        spec: Its training.
        options: ``parameters``, the list of names to watch (null or left out: all).

    Raises:
        SymbreakError: Another option, or no list of names.
    """
    chosen = options.get("parameters")
    named = isinstance(chosen, list | tuple) and bool(chosen) and all(isinstance(name, str) for name in chosen)
    if options.keys() - {"parameters"} or not (chosen is None or named):
        raise SymbreakError(
            f"observer 'norms' has the option 'parameters' only, a list of parameter names or null; found: {options}"
        )
    return Norms(None if chosen is None else tuple(chosen), model.buffers)


def _norm2(values: Tensor) -> Tensor:
    """Return the sums of squares ``[R, 1]`` of ``[R, ...]``, summed in float64 without a float64 copy."""
    norm: Tensor = torch.linalg.vector_norm(values.flatten(1), dim=1, keepdim=True, dtype=torch.float64)
    return norm.square()

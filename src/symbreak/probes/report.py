"""What a probe of a network gives: named numbers with their errors and units."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
AXIS = {"unit": "unit_index"}  # columns of axes whose name another column of the table has


@dataclass(frozen=True)
class Value:
    """One result: ``value`` of any shape, ``error`` a bound or standard error of the same shape or None if exact.

    ``unit`` says in words what it is measured in, ``axes`` what the axes are, outermost first (``replica``,
    ``layer`` ...).
    """

    value: Array
    error: Array | None
    unit: str
    axes: tuple[str, ...]


@dataclass
class Report:
    """The results of a probe by name, and what a reader must know to trust them."""

    results: dict[str, Value] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def add(
        self, name: str, value: ArrayLike, *, unit: str, axes: Sequence[str] = (), error: ArrayLike | None = None
    ) -> None:
        """Add a result.

        Raises:
            ValueError: If axes or error do not fit the value's shape.
        """
        array = np.asarray(value, dtype=np.float64)
        wrong = None if error is None else np.broadcast_to(np.asarray(error, dtype=np.float64), array.shape)
        if len(axes) != array.ndim:
            raise ValueError(f"result '{name}' has {array.ndim} axes, named are {tuple(axes)}")
        self.results[name] = Value(array, wrong, unit, tuple(axes))

    def warn(self, sentence: str) -> None:
        """Add a warning, once."""
        if sentence not in self.warnings:
            self.warnings.append(sentence)

    def as_json(self) -> dict[str, Any]:
        """Return ``{name: {value, error, unit, axes, shape}}`` as JSON values; not a number becomes null."""
        return {
            name: {
                "value": _plain(v.value),
                "error": None if v.error is None else _plain(v.error),
                "unit": v.unit,
                "axes": list(v.axes),
                "shape": list(v.value.shape),
            }
            for name, v in self.results.items()
        }

    def table(self, names: Mapping[str, Sequence[int] | Sequence[str]] | None = None) -> pd.DataFrame:
        """Return one row a number: ``quantity``, ``unit``, a column an axis (null where a result lacks it; the axis
        ``unit`` is ``unit_index``), ``value``, ``error``.

        Args:
            names: Axis -> what its positions are called, for instance ``{"replica": seeds}``; default: 0, 1, ...
        """
        return pd.concat([_rows(name, v, names or {}) for name, v in self.results.items()], ignore_index=True)


def _rows(name: str, found: Value, names: Mapping[str, Sequence[int] | Sequence[str]]) -> pd.DataFrame:
    places = np.indices(found.value.shape).reshape(found.value.ndim, found.value.size)
    columns: dict[str, Any] = {"quantity": name, "unit": found.unit}
    for axis, place in zip(found.axes, places, strict=True):
        columns[AXIS.get(axis, axis)] = np.asarray(names[axis])[place] if axis in names else place
    columns["value"] = found.value.ravel()
    columns["error"] = np.zeros(found.value.size) if found.error is None else found.error.ravel()
    return pd.DataFrame(columns, index=range(found.value.size))


def _plain(array: Array) -> Any:
    if array.ndim == 0:
        return float(array) if math.isfinite(array) else None
    return [_plain(part) for part in array]

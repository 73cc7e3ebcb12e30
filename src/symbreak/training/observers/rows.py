"""A growing record of equally shaped rows, one an update."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from symbreak.errors import SymbreakError

Named = dict[str, Tensor]
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Packed:
    """Named tensors that lie one after another in one, float64.

    ``flat`` is ``[..., n]``, ``named`` has its parts, name -> ``[..., *shape]``, in the order of the names, so that all
    that have the same names and shapes lie alike.
    """

    flat: Tensor
    named: Named

    @property
    def shapes(self) -> Shapes:
        """The shapes of the parts, without what leads."""
        leading = self.flat.dim() - 1
        return {name: tuple(value.shape[leading:]) for name, value in self.named.items()}

    @cached_property
    def array(self) -> NDArray[np.float64] | None:
        """The memory of ``flat``, if it is on the CPU."""
        return self.flat.numpy() if self.flat.device.type == "cpu" else None

    def put(self, place: int, row: "Packed") -> None:
        """Copy a row to ``place``; by numpy, if it can: amid large products torch takes five times as long to start."""
        if self.array is None or row.array is None:
            self.flat[place] = row.flat
        else:
            self.array[place] = row.array


def pack(shapes: Shapes, device: torch.device, leading: tuple[int, ...] = ()) -> Packed:
    """Return zeros with room for parts of some shapes, each after the axes ``leading``."""
    names = sorted(shapes)
    sizes = [prod(shapes[name]) for name in names]
    flat = torch.zeros(*leading, sum(sizes), dtype=torch.float64, device=device)
    parts = zip(names, flat.split(sizes, -1), strict=True)
    return Packed(flat, {name: part.unflatten(-1, shapes[name]) for name, part in parts})


class Rows:
    """A growing record of equally shaped rows, float64.

    Kept in blocks: a small tensor an update, each outliving it, would break up the memory that the large
    tensors of the next update want to reuse (3,000 updates of a small network then held gigabytes).
    """

    BLOCK = 256

    def __init__(self) -> None:
        self._blocks: list[Packed] = []
        self._length = 0
        self._fitting: Packed | None = None  # whose layout has been found to be that of the blocks

    def append(self, row: Named | Packed) -> None:
        """Copy one row, name -> ``[R, n]``; at once if it is packed.

        Raises:
            SymbreakError: If a packed row has other names or shapes than those before.
        """
        place = self._length % self.BLOCK
        if place == 0:
            self._blocks.append(self._block(row.named if isinstance(row, Packed) else row))
        if isinstance(row, Packed):
            self._check(row)
            self._blocks[-1].put(place, row)
        else:
            for name, value in row.items():
                self._blocks[-1].named[name][place] = value
        self._length += 1

    def stacked(self) -> Named:
        """Return all rows, name -> ``[rows, R, n]``, on the CPU; nothing if there is no row."""
        names = self._blocks[0].named if self._blocks else {}
        return {name: torch.cat([block.named[name].cpu() for block in self._blocks])[: self._length] for name in names}

    def restore(self, rows: Named) -> None:
        """Replace the record by ``rows``, name -> ``[rows, R, n]``, as ``stacked`` returned them."""
        self._length = max((len(value) for value in rows.values()), default=0)
        self._blocks, self._fitting = [], None
        for start in range(0, self._length, self.BLOCK):
            parts = {name: value[start : start + self.BLOCK] for name, value in rows.items()}
            self._blocks.append(self._block({name: part[0] for name, part in parts.items()}))
            for name, part in parts.items():
                self._blocks[-1].named[name][: len(part)] = part

    def _check(self, row: Packed) -> None:
        if row is self._fitting:
            return
        held = self._blocks[0].shapes
        if row.shapes != held:
            raise SymbreakError(f"expected a row of the shapes {held}, as those before, found {row.shapes}")
        self._fitting = row

    def _block(self, row: Named) -> Packed:
        device = next(iter(row.values())).device
        return pack({name: tuple(value.shape) for name, value in row.items()}, device, (self.BLOCK,))


def gathered(records: Mapping[str, Rows]) -> Named:
    """Return all rows of several records, ``<record>/<name>`` -> ``[rows, R, n]``."""
    return {f"{key}/{name}": rows for key in records for name, rows in records[key].stacked().items()}


def scatter(records: Mapping[str, Rows], state: Named) -> None:
    """Replace the rows of several records by what ``gathered`` returned."""
    for key, record in records.items():
        record.restore({name.removeprefix(f"{key}/"): state[name] for name in state if name.startswith(f"{key}/")})

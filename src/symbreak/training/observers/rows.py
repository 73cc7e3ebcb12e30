"""A growing record of equally shaped rows, one an update."""

from collections.abc import Mapping

import torch
from torch import Tensor

Named = dict[str, Tensor]


class Rows:
    """A growing record of equally shaped rows.

    Kept in blocks: a small tensor an update, each outliving it, would break up the memory that the large
    tensors of the next update want to reuse (3,000 updates of a small network then held gigabytes).
    """

    BLOCK = 256

    def __init__(self) -> None:
        self._blocks: list[Named] = []
        self._length = 0

    def append(self, row: Named) -> None:
        """Copy one row, name -> ``[R, n]``."""
        place = self._length % self.BLOCK
        if place == 0:
            self._blocks.append({name: value.new_empty(self.BLOCK, *value.shape) for name, value in row.items()})
        for name, value in row.items():
            self._blocks[-1][name][place] = value
        self._length += 1

    def stacked(self) -> Named:
        """Return all rows, name -> ``[rows, R, n]``, on the CPU; nothing if there is no row."""
        names = self._blocks[0] if self._blocks else {}
        return {name: torch.cat([block[name].cpu() for block in self._blocks])[: self._length] for name in names}

    def restore(self, rows: Named) -> None:
        """Replace the record by ``rows``, name -> ``[rows, R, n]``, as ``stacked`` returned them."""
        self._length = max((len(value) for value in rows.values()), default=0)
        starts = range(0, self._length, self.BLOCK)
        self._blocks = [{name: self._block(value, start) for name, value in rows.items()} for start in starts]

    def _block(self, values: Tensor, start: int) -> Tensor:
        part = values[start : start + self.BLOCK]
        block = part.new_empty(self.BLOCK, *part.shape[1:])
        block[: len(part)] = part
        return block


def gathered(records: Mapping[str, Rows]) -> Named:
    """Return all rows of several records, ``<record>/<name>`` -> ``[rows, R, n]``."""
    return {f"{key}/{name}": rows for key in records for name, rows in records[key].stacked().items()}


def scatter(records: Mapping[str, Rows], state: Named) -> None:
    """Replace the rows of several records by what ``gathered`` returned."""
    for key, record in records.items():
        record.restore({name.removeprefix(f"{key}/"): state[name] for name in state if name.startswith(f"{key}/")})

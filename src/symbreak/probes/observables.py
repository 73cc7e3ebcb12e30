"""What a run's observers recorded at every update, as a tidy table."""

import numpy as np
import pandas as pd

from symbreak.errors import SymbreakError
from symbreak.probes.source import Source


def probe(source: Source, *, prefix: str = "", every: int = 1) -> pd.DataFrame:
    """Lay out the record of a run.

    Args:
        source: An arm whose training was observed.
        prefix: Start of the names ``<symmetry>/<set>/<quantity>`` that are wanted, for instance ``"norms/"``.
        every: Keep the steps that this divides.

    Returns:
        One row a name, step, seed and unit: ``seed``, ``step`` (from 0, before training, for quantities of a state;
        from 1 for those of an update), ``symmetry``, ``set``, ``quantity``, ``unit`` (place in the record), ``value``.

    Raises:
        SymbreakError: Nothing of that name was observed, ``every`` is not positive, or a record has not one row a step.
    """
    if every < 1:
        raise SymbreakError(f"'every' is {every}, but must be at least 1: the steps that it divides are kept")
    last = int(source.steps["step"].max())
    found = source.observed(prefix)
    return pd.concat([_rows(source.seeds, name, found[name], last, every) for name in sorted(found)], ignore_index=True)


def _rows(seeds: tuple[int, ...], name: str, values: np.ndarray, last: int, every: int) -> pd.DataFrame:
    """Table of ``values`` ``[last + 1 or last, R, U]``."""
    first = last + 1 - len(values)
    if first not in (0, 1):
        raise SymbreakError(f"'{name}' has {len(values)} rows, but the run has {last} steps; train the run again")
    symmetry, _, rest = name.partition("/")
    members, _, quantity = rest.rpartition("/")
    steps = np.arange(first, last + 1)
    kept = steps % every == 0
    step, replica, unit = (axis.ravel() for axis in np.indices(values[kept].shape))
    return pd.DataFrame(
        {
            "seed": np.asarray(seeds)[replica],
            "step": steps[kept][step],
            "symmetry": symmetry,
            "set": members,
            "quantity": quantity,
            "unit": unit,
            "value": values[kept].ravel(),
        }
    )

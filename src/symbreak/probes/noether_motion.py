"""The path of each Noether charge beside its two laws, thinned for drawing."""

import numpy as np
import pandas as pd

from symbreak.probes.noether_law import heavy_ball, trajectories
from symbreak.probes.source import Source
from symbreak.theory.noether import Array


def probe(source: Source, *, points: int = 100, units: int = 2) -> pd.DataFrame:
    """Thin the trajectories that ``noether_law`` compares.

    Args:
        source: An arm trained by SGD with a constant learning rate, observed by ``charges``.
        points: Steps kept, evenly spaced, the first and the last among them.
        units: Units kept of each set (layer sums are always kept).

    Returns:
        One row a seed, symmetry, set, unit and step: ``seed``, ``symmetry``, ``set``, ``unit``, ``control``,
        ``layer_sum``, ``step``, ``measured``, ``discrete``, ``continuous`` (the charge, in squared or plain weights).

    Raises:
        SymbreakError: Another optimiser, a schedule, or a run that was not observed.
    """
    ball = heavy_ball(source.spec)
    return pd.concat(
        [
            _thinned(source.seeds, name, np.stack([charge, *laws])[..., :units], points)
            for name, charge, laws in trajectories(source, ball)
        ],
        ignore_index=True,
    )


def _thinned(seeds: tuple[int, ...], name: str, paths: Array, points: int) -> pd.DataFrame:
    """Table of ``paths`` ``[3, T + 1, R, U]`` (measured, discrete, continuous)."""
    symmetry, members = name.split("/")
    steps = np.unique(np.linspace(0, paths.shape[1] - 1, points).round().astype(np.int64))
    step, replica, unit = (axis.ravel() for axis in np.indices(paths[0, steps].shape))
    measured, discrete, continuous = (path[steps].ravel() for path in paths)
    return pd.DataFrame(
        {
            "seed": np.asarray(seeds)[replica],
            "symmetry": symmetry,
            "set": members,
            "unit": unit,
            "control": members.startswith("control."),
            "layer_sum": members.endswith(".sum"),
            "step": steps[step],
            "measured": measured,
            "discrete": discrete,
            "continuous": continuous,
        }
    )

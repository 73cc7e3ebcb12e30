"""How far each recorded Noether charge strays from its discrete and its continuous law, relative to the charge."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from symbreak.config.models import MlpSpec
from symbreak.config.specs import ArmSpec
from symbreak.errors import SymbreakError
from symbreak.probes.source import Source
from symbreak.theory.noether import DEGREE, Array, HeavyBall, Symmetry, continuous, discrete


def probe(source: Source) -> pd.DataFrame:
    """Compare every charge that observer ``charges`` recorded with both laws, driven by the run's own increments.

    ``nErr = max_t |law - measured| / max_t |measured|`` (design catalogue, part A, section 2).

    Args:
        source: An arm trained by SGD with a constant learning rate, observed by ``charges``.

    Returns:
        One row a seed, symmetry, set and unit (position in the record): ``seed``, ``symmetry``, ``set``, ``unit``,
        ``control`` (the symmetry is absent), ``layer_sum``, ``lr``, ``momentum``, ``decay``, ``norm_eps`` (null without
        BatchNorm), ``discrete`` and ``continuous`` (nErr; not finite for a replica that diverged), ``first``, ``last``
        (the charge before and after training), ``diverged``.

    Raises:
        SymbreakError: Another optimiser, a schedule, or a run that was not observed.
    """
    ball = heavy_ball(source.spec)
    lost = set(source.epochs.loc[source.epochs["diverged"].astype(bool), "seed"])
    rows = [
        _row(seed, name, unit, errors[:, replica, unit], charge[:, replica, unit])
        for name, charge, laws in trajectories(source, ball)
        for errors in [np.stack([_error(law, charge) for law in laws])]
        for replica, seed in enumerate(source.seeds)
        for unit in range(charge.shape[2])
    ]
    table = pd.DataFrame(rows).assign(lr=ball.lr, momentum=ball.momentum, decay=ball.decay, norm_eps=_eps(source.spec))
    gone = table["seed"].isin(lost)
    # A stopped replica keeps its parameters: a frozen charge would look like a law that fails, or one that holds.
    table.loc[gone, ["discrete", "continuous"]] = np.nan
    return table.assign(diverged=gone)


def heavy_ball(spec: ArmSpec) -> HeavyBall:
    """Return the optimiser's constants.

    Raises:
        SymbreakError: The arm is not trained by SGD without dampening at a constant learning rate.
    """
    training = spec.training
    found = "no training" if training is None else f"{training.optimiser}, schedule {training.schedule}"
    constant = training is not None and training.schedule.kind == "constant" and training.schedule.warmup == 0
    if training is None or not constant or training.optimiser.name != "sgd" or training.optimiser.dampening:
        raise SymbreakError(
            f"the laws of arm '{spec.arm}' need optimiser 'sgd' without dampening and schedule 'constant' "
            f"without warm-up, found {found}: "
            "change 'training' or take the probe off the arm"
        )
    return HeavyBall(training.optimiser.lr, training.optimiser.momentum, training.optimiser.weight_decay)


def trajectories(source: Source, ball: HeavyBall) -> Iterator[tuple[str, Array, tuple[Array, Array]]]:
    """Yield every charge with its laws, in order of names.

    Args:
        source: The observed arm.
        ball: Its optimiser.

    Yields:
        Name ``<symmetry>/<set>``, measured charge and (discrete, continuous) law, each ``[T + 1, R, U]``.
    """
    for symmetry in DEGREE:
        found = source.observed(f"{symmetry}/")
        for key in sorted(name for name in found if not name.endswith("/D")):
            name, charge = key.rpartition("/")[0], found[key]
            increments = found.get(f"{name}/D", np.zeros_like(charge[1:]))
            yield name, charge, _laws(symmetry, charge, increments, ball)


def _laws(symmetry: Symmetry, charge: Array, increments: Array, ball: HeavyBall) -> tuple[Array, Array]:
    return discrete(symmetry, charge[0], increments, ball), continuous(symmetry, charge[0], increments, ball)


def _error(law: Array, charge: Array) -> Array:
    """Return nErr of every replica and unit, ``[R, U]``."""
    return np.asarray(np.abs(law - charge).max(0) / np.abs(charge).max(0))


def _row(seed: int, name: str, unit: int, errors: Array, charge: Array) -> dict[str, object]:
    symmetry, members = name.split("/")
    return {
        "seed": seed,
        "symmetry": symmetry,
        "set": members,
        "unit": unit,
        "control": members.startswith("control."),
        "layer_sum": members.endswith(".sum"),
        "discrete": errors[0],
        "continuous": errors[1],
        "first": charge[0],
        "last": charge[-1],
    }


def _eps(spec: ArmSpec) -> float:
    """BatchNorm's epsilon; not a number in a network without BatchNorm."""
    model = spec.model
    return model.norm_eps if isinstance(model, MlpSpec) and model.norm == "batch" else float("nan")

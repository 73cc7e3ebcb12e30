"""Noether charges of a network's symmetries over time, measured and predicted: sums of weights (translation, in a
weight's unit) or of their squares (scale, rescale, in its square).

For each set ``<symmetry>/<layer>`` of ``symbreak.probes.symmetries_traced`` and each of its units:

* translation ``S = sum q``, scale ``R = |q|^2``, rescale ``R = |q_out|^2 - |q_in|^2`` (Kunin et al., arXiv:2012.04728,
  sec. 3);
* consecutive moments: the exact discrete law ``x_{n+1} - (1 + beta - c eta k) x_n + beta x_{n-1} = D_n + beta D_{n-1}``
  with ``D_n`` the same sum over squared increments, ``c`` 1 for translation and 2 otherwise, and beside it the
  papers' continuous law (Kunin et al., eqs. 18-20; Tanaka and Kunin, arXiv:2105.02716, eq. 16);
* distant moments: the exact law for translation, which needs no ``D``, else the continuous one, with ``D`` estimated
  from gradients at the moments (``symbreak.probes.noether_drive``).

The optimiser is PyTorch's SGD with constant hyper-parameters, coupled decay and no dampening
(``symbreak.theory.noether``).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from symbreak.errors import SymbreakError
from symbreak.probes.network import Data, Network
from symbreak.probes.noether_drive import Drive, driven
from symbreak.probes.report import Report
from symbreak.probes.symmetries_traced import INVARIANCE, find_symmetries
from symbreak.probes.symmetry_sets import SymmetrySet
from symbreak.theory.noether import Array, HeavyBall, continuous, discrete

NEEDS: Final = "trajectory"
MOST_BYTES = 2**26  # of the weights' copies in float64, a block of moments at a time
DOUBT = 3  # errors beyond which a prediction has missed
STRAY = 1e-3  # a law that is off by more than this share of the charge is not that of the training


def measure(
    network: Network,
    data: Data,
    *,
    seed: int,
    loss: str = "cross_entropy",
    lr: float | None = None,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    steps: int = 1,
    rest: bool = True,
    batch: int | None = None,
    draws: int = 8,
) -> Report:
    """Find the symmetries of a network and follow their charges through a training.

    Args:
        network: Weights at T + 1 moments, in order of time.
        data: Training data: its first rows verify the symmetries, batches of it drive distant predictions.
        seed: Of the moves that verify symmetries, and of the batches.
        loss: ``cross_entropy`` or ``mse``, what was trained on.
        lr: Learning rate; None: charges are measured and not predicted.
        momentum: Of the heavy ball.
        weight_decay: Coupled, of all parameters.
        steps: Updates between moments.
        rest: Whether the first moment is before the first update. If not, and with momentum, the law starts from the
            first two moments, which then must be consecutive.
        batch: Size of the training's batches, for distant moments.
        draws: Batches a moment from which the drive is estimated.

    Returns:
        For each set: ``<set>/charge`` and, with ``lr``, ``<set>/predicted`` (and ``<set>/continuous`` where moments are
        consecutive), time x unit; ``<set>/stray`` ``max_t |predicted - measured|`` over the largest sum of the
        charge's terms without their signs; ``<set>/breaking``, the largest cosine between gradient and symmetry.
        Errors: of ``predicted`` from consecutive moments a bound on the rounding of the weights; of ``continuous`` its
        distance from the exact law; of distant predictions see ``noether_drive``.

    Raises:
        SymbreakError: Fewer than two moments, impossible options, no symmetry, or what ``find_symmetries`` refuses.
    """
    ball = None if lr is None else HeavyBall(lr, momentum, weight_decay)
    _check(network, ball, steps, rest)
    found = find_symmetries(network, data, seed=seed, loss=loss)
    report = Report(warnings=list(found.warnings))
    if not found.sets:
        raise SymbreakError(
            "expected a symmetry of translation, scale or rescale, found none in this network; "
            f"probe another network or loss. {' '.join(found.warnings)}".strip()
        )
    drive = None
    if ball is not None and steps > 1 and any(s.symmetry != "translation" for s in found.sets):
        drive = Drive(network, data, ball, loss, batch, draws, seed).squares(found.sets)
    for chosen in found.sets:
        _add(report, chosen, _motion(network, chosen), ball, steps, rest, (drive or {}).get(chosen.name))
        _add_breaking(report, chosen, found.breaking[chosen.name])
    if ball is None:
        report.warn("no learning rate was given, so nothing is predicted; set 'lr'")
    return report


@dataclass(frozen=True)
class Motion:
    """A set's motion: ``charge`` and ``size`` ``[T + 1, U]``, ``increments`` ``[T, U]``, ``rounding`` of a weight."""

    charge: Array
    size: Array
    increments: Array
    rounding: float


def _motion(network: Network, chosen: SymmetrySet) -> Motion:
    blocks = [_block(network, chosen, rows) for rows in _blocks(network, chosen)]
    charge, size, moved = (torch.cat(parts).numpy() for parts in zip(*blocks, strict=True))
    dtype = network.parameters[chosen.parameters[0]].dtype
    return Motion(charge, size, moved[:-1], torch.finfo(dtype).eps / 2)


def _blocks(network: Network, chosen: SymmetrySet) -> Iterator[range]:
    numbers = sum(network.parameters[name][0].numel() for name in chosen.parameters)
    rows = max(1, MOST_BYTES // (8 * numbers))
    for start in range(0, network.count, rows):
        yield range(start, min(start + rows, network.count))


def _block(network: Network, chosen: SymmetrySet, rows: range) -> tuple[Tensor, Tensor, Tensor]:
    """Charges, sizes and squared increments to the next moment (at the last: zero) of a block of moments."""
    here = {name: network.parameters[name][rows.start : rows.stop].double() for name in chosen.parameters}
    after = [min(r + 1, network.count - 1) for r in rows]
    moved = {name: network.parameters[name][after].double() - value for name, value in here.items()}
    charge = chosen.charges(here)
    increments = torch.zeros_like(charge) if chosen.symmetry == "translation" else chosen.charges(moved)
    return charge, chosen.sizes(here), increments


def _add(
    report: Report,
    chosen: SymmetrySet,
    motion: Motion,
    ball: HeavyBall | None,
    steps: int,
    rest: bool,
    drive: Array | None,
) -> None:
    unit = "weight" if chosen.symmetry == "translation" else "weight^2"
    report.add(f"{chosen.name}/charge", motion.charge, unit=unit, axes=("time", "unit"))
    if ball is None:
        return
    if steps == 1:
        law, error = consecutive(chosen, motion, ball, rest)
        if rest or ball.momentum == 0:
            smooth = continuous(chosen.symmetry, motion.charge[0], motion.increments, ball)
            report.add(f"{chosen.name}/continuous", smooth, unit=unit, axes=("time", "unit"), error=abs(smooth - law))
    elif drive is None:
        updates = np.zeros(((len(motion.charge) - 1) * steps, motion.charge.shape[1]))
        law = discrete(chosen.symmetry, motion.charge[0], updates, ball)[::steps]
        error = _rounding(motion, ball) * steps
    else:
        law, error = driven(chosen.symmetry, motion.charge[0], drive, ball, steps)
    report.add(f"{chosen.name}/predicted", law, unit=unit, axes=("time", "unit"), error=error)
    _add_stray(report, chosen, abs(law - motion.charge), error, motion.size)


def consecutive(chosen: SymmetrySet, motion: Motion, ball: HeavyBall, rest: bool) -> tuple[Array, Array]:
    """Return the exact discrete law of consecutive moments and a bound on its rounding, each ``[T + 1, U]``.

    A start in motion is a kick ``d = x_1 - (1 - c eta k) x_0 - D_0`` beside ``D_0``. The law takes ``D_n + beta
    D_{n-1}``, in which a kick has no successor: it enters as ``(-beta)^n d``.
    """
    increments = motion.increments
    if not rest and ball.momentum:
        first = discrete(chosen.symmetry, motion.charge[0], increments[:1], ball)[1]
        fading = (-ball.momentum) ** np.arange(len(increments))
        increments = increments + fading[:, None] * (motion.charge[1] - first)
    return discrete(chosen.symmetry, motion.charge[0], increments, ball), _rounding(motion, ball)


def _rounding(motion: Motion, ball: HeavyBall) -> Array:
    """How far rounded weights can take a charge from its law: each update rounds each of its terms once."""
    updates = np.arange(len(motion.charge))[:, None]
    bound: Array = 2 * motion.rounding * updates * motion.size.max(0) / (1 - ball.momentum)
    return bound


def _add_stray(report: Report, chosen: SymmetrySet, away: Array, error: Array, sizes: Array) -> None:
    size = np.where(sizes.max(0) > 0, sizes.max(0), 1.0)
    stray = away.max(0) / size
    report.add(f"{chosen.name}/stray", stray, unit="1", axes=("unit",), error=error.max(0) / size)
    if (excess := float(((away - DOUBT * error).max(0) / size).max())) > STRAY:
        report.warn(
            f"{chosen.name} strays from its law by {excess:.2g} of its size beyond {DOUBT} errors: the training had "
            f"other constants than those given, clipping or another optimiser, or its first moment was not at rest"
        )


def _add_breaking(report: Report, chosen: SymmetrySet, breaking: Tensor) -> None:
    report.add(f"{chosen.name}/breaking", breaking.numpy(), unit="1", axes=("unit",))
    if (worst := float(breaking.max())) > INVARIANCE:
        report.warn(
            f"{chosen.name} is a symmetry only without the norm's epsilon; with it the gradient has up to {worst:.2g} "
            f"of its length along the symmetry, so that its law is approximate"
        )


def _check(network: Network, ball: HeavyBall | None, steps: int, rest: bool) -> None:
    if network.count < 2:
        raise SymbreakError(f"expected weights at 2 or more moments, found {network.count}; give them in order of time")
    if steps < 1:
        raise SymbreakError(f"expected 'steps' of 1 or more, found {steps}; give the updates between two moments")
    if ball is None:
        return
    good = (0 < ball.lr < float("inf"), 0 <= ball.momentum < 1, 0 <= ball.decay < float("inf"))
    if not all(good):
        raise SymbreakError(f"expected lr > 0, 0 <= momentum < 1 and weight_decay >= 0, found {ball}; mend them")
    if not rest and ball.momentum and (steps > 1 or network.count < 3):
        raise SymbreakError(
            "a start in motion is read off the first two of three or more consecutive moments; "
            f"found {network.count} moments {steps} updates apart: start from rest, or give consecutive ones"
        )

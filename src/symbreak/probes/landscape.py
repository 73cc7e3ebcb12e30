"""Loss (its own unit, for instance nats) and accuracy along the straight line between two sets of parameters, or on the
plane through three.

Line (Goodfellow, Vinyals, Saxe 2014, arXiv:1412.6544): L(alpha) = L((1 - alpha) theta_0 + alpha theta_1), both ends
included. With the largest loss over alpha in [0, 1]:

* barrier over the chord (Frankle et al. 2020, arXiv:1912.05671, with the interpolated ends of Entezari et al. 2022,
  arXiv:2110.06296): max_alpha L(alpha) - (1 - alpha) L(0) - alpha L(1);
* barrier over the larger end: max_alpha L(alpha) - max(L(0), L(1));
* convexity: the share of second differences L(alpha - h) - 2 L(alpha) + L(alpha + h) that are positive.

Plane: L(theta_0 + a (theta_1 - theta_0) + b (theta_2 - theta_0)), a along the first axis and b along the second.

Standard errors are over the samples: of losses s/sqrt(N), of accuracies binomial, of the rest by the bootstrap (whose
resamples keep a sample's losses at all alphas together), so that the choice of the maximum is in them.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from symbreak.errors import SymbreakError
from symbreak.probes.landscape_mix import mixtures
from symbreak.probes.network import Data, Network
from symbreak.probes.report import Report
from symbreak.probes.scores import mean_error, share_error
from symbreak.probes.usable import check_labelled
from symbreak.seeding import derive
from symbreak.training.losses import LOSSES, Loss

Array = NDArray[np.float64]
NEEDS: Final = "pair"
RESAMPLES = 200  # of the bootstrap: a standard error to 5 %
BUFFERS = ("refuse", "interpolate")


@dataclass(frozen=True)
class Curve:
    """Losses and hits ``[A, N]`` of every sample at the mixing parameters ``alpha`` ``[A]``."""

    alpha: Array
    losses: Array
    hits: NDArray[np.bool_]


def measure(
    network: Network,
    data: Data,
    *,
    seed: int,
    loss: str = "cross_entropy",
    points: int = 51,
    beyond: float = 0.0,
    buffers: str = "refuse",
) -> Report:
    """Measure the line through two sets of parameters, or the plane through three.

    Args:
        network: Two or three sets of parameters.
        data: Inputs and labels.
        seed: Of the bootstrap.
        loss: ``cross_entropy`` or ``mse``.
        points: Number of alphas from 0 to 1, both included (of a plane: along each axis).
        beyond: How far the line goes on at least at both ends, in the same steps.
        buffers: What becomes of BatchNorm's running statistics where they differ: ``refuse``, or ``interpolate`` them
            like parameters.

    Returns:
        Line: ``alpha``, ``loss``, ``accuracy`` ``[A]``, ``barrier_over_chord``, ``barrier_over_ends``, ``convexity``.
        Plane: ``alpha`` ``[A]``, ``loss``, ``accuracy`` ``[A, A]``.

    Raises:
        SymbreakError: If there are not two or three sets, an option is out of range, buffers differ and are not to be
            interpolated, or a loss is not finite.
    """
    _check(network, points, beyond, buffers)
    check_labelled(network, data, loss)
    grid, single = alphas(points, beyond), LOSSES[loss]
    report = Report()
    report.add("alpha", grid, unit="share of the way from the first set to the next", axes=("alpha",))
    if network.count == 3:
        _plane(report, network, data, single, grid)
        return report
    curve = line(network, data, single, grid)
    count = len(data.x)
    report.add("loss", curve.losses.mean(1), unit="loss", axes=("alpha",), error=mean_error(curve.losses))
    error = share_error(curve.hits.sum(1), count)
    report.add("accuracy", curve.hits.mean(1), unit="share of samples", axes=("alpha",), error=error)
    for name, (value, deviation) in shape(curve, derive(seed, "landscape", "bootstrap")).items():
        report.add(name, value, unit="share of second differences" if name == "convexity" else "loss", error=deviation)
    return report


def alphas(points: int, beyond: float = 0.0) -> Array:
    """Return ``points`` equidistant numbers from 0 to 1, both exactly there, and as many as reach ``beyond``."""
    extra = int(np.ceil(beyond * (points - 1) - 1e-9))
    return np.arange(-extra, points + extra, dtype=np.float64) / (points - 1)


def line(network: Network, data: Data, loss: Loss, alpha: Array) -> Curve:
    """Evaluate (1 - alpha) theta_0 + alpha theta_1 of a network with two sets; see ``landscape_mix.mixtures``."""
    losses, hits = mixtures(network, np.stack([1 - alpha, alpha], axis=1), data, loss)
    return Curve(alpha, losses, hits)


def shape(curve: Curve, seed: int) -> dict[str, tuple[float, float]]:
    """Return barriers and convexity, each with its bootstrap standard error over the samples.

    Args:
        curve: Must hold the alphas 0 and 1.
        seed: Of the resampling.
    """
    count = curve.losses.shape[1]
    rng = np.random.default_rng(seed)
    drawn = [np.bincount(rng.integers(count, size=count), minlength=count) for _ in range(RESAMPLES)]
    means = np.stack([np.ones(count), *drawn]) @ curve.losses.T / count
    found = _shapes(curve.alpha, means)
    return {name: (float(values[0]), float(values[1:].std(ddof=1))) for name, values in found.items()}


def _shapes(alpha: Array, means: Array) -> dict[str, Array]:
    """Barriers and convexity ``[S]`` of mean losses ``[S, A]``."""
    inside = (alpha >= 0) & (alpha <= 1)
    within, share = means[:, inside], alpha[inside]
    first, last = within[:, :1], within[:, -1:]
    return {
        "barrier_over_chord": (within - (1 - share) * first - share * last).max(1),
        "barrier_over_ends": within.max(1) - np.maximum(first, last)[:, 0],
        "convexity": (np.diff(means, 2, axis=1) > 0).mean(1),
    }


def _plane(report: Report, network: Network, data: Data, loss: Loss, grid: Array) -> None:
    values: dict[str, list[Array]] = {"loss": [], "accuracy": []}
    errors: dict[str, list[Array]] = {"loss": [], "accuracy": []}
    for a in grid:  # row by row, which bounds the memory
        losses, hits = mixtures(network, np.stack([1 - a - grid, np.full_like(grid, a), grid], axis=1), data, loss)
        values["loss"].append(losses.mean(1))
        errors["loss"].append(mean_error(losses))
        values["accuracy"].append(hits.mean(1))
        errors["accuracy"].append(share_error(hits.sum(1), hits.shape[1]))
    for name, unit in (("loss", "loss"), ("accuracy", "share of samples")):
        report.add(name, np.stack(values[name]), unit=unit, axes=("a", "b"), error=np.stack(errors[name]))


def _check(network: Network, points: int, beyond: float, buffers: str) -> None:
    if network.count not in (2, 3):
        raise SymbreakError(
            f"a landscape needs two sets of parameters (line) or three (plane), found {network.count}; give that many"
        )
    if points < 3 or not 0 <= beyond < np.inf:
        raise SymbreakError(f"expected at least 3 'points' and 'beyond' >= 0, found {points} and {beyond}")
    if buffers not in BUFFERS:
        raise SymbreakError(
            f"'buffers' is '{buffers}', expected one of {', '.join(BUFFERS)}; statistics cannot be computed anew, as "
            f"that needs training data in train mode: do it beforehand and evaluate those weights directly"
        )
    changed = [n for n, b in network.buffers.items() if b.is_floating_point() and not bool((b == b[:1]).all())]
    if changed and buffers == "refuse":
        raise SymbreakError(
            f"the sets have different buffers ({', '.join(changed[:3])}{', ...' if changed[3:] else ''}), for which "
            f"a point between the ends has no statistics of its own; state buffers=interpolate to interpolate them"
        )

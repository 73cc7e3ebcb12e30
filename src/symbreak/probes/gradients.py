"""Signal and noise of the loss gradient, a parameter tensor at a time, in loss per unit of weight.

With g_i the gradient of item i of n (a sample, or the mean loss of a minibatch) at fixed weights, for one tensor:

    mean  m = sum_i g_i / n                   its norm |m|, the signal
    std   s_j^2 = sum_i (g_ij - m_j)^2 / (n-1)  of each weight j; the norm |s| = sqrt(sum_j s_j^2), the noise
    snr   |m| / |s|

(Shwartz-Ziv and Tishby 2017, arXiv:1703.00810, figure 4; Saxe et al. 2018, ICLR, divide by n). Norms need
no variance of single weights: ``|s|^2 = (sum_i |g_i|^2 - n |m|^2) / (n-1)``. Without item i, ``n m`` loses g_i, so that
all that the jackknife needs of an item is ``|g_i|^2`` and ``m . g_i``. As ``E|m|^2`` exceeds the square of the true
mean by ``|s|^2 / n``, a mean near ``|s| / sqrt(n)`` is no signal, which is warned of.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from symbreak.errors import SymbreakError
from symbreak.probes.gradients_items import Items, chunks, parts
from symbreak.probes.gradients_jackknife import KEYS, Jackknife, Signal, joined
from symbreak.probes.network import Data, Network, State
from symbreak.probes.report import Report
from symbreak.probes.usable import check_labelled
from symbreak.seeding import derive

NEEDS: Final = "model"
AXES = ("replica", "time")
UNITS = {"cross_entropy": "nats per unit of weight", "mse": "squared error per unit of weight"}
FLOOR = 2.0  # noise floors |s| / sqrt(n) below which a mean is called noise

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Mean and variance (n - 1 in its denominator) of each weight's gradient over items, ``[R, ...]``."""

    mean: Tensor
    variance: Tensor


def measure(
    network: Network,
    data: Data,
    *,
    seed: int,
    loss: str = "cross_entropy",
    batch: int | None = None,
    axis: str = "replica",
) -> Report:
    """Measure signal and noise of the gradients of single samples, and of minibatches.

    Args:
        network: R sets of parameters; a layer is a parameter tensor, in the order of ``network.parameters``.
        data: N samples.
        seed: Of the order in which samples are dealt into minibatches.
        loss: ``cross_entropy`` or ``mse``.
        batch: Samples of a minibatch; None: single samples only.
        axis: What the sets are: ``replica`` or ``time``.

    Returns:
        ``mean``, ``std`` and ``snr`` ``[R, layer]`` over samples, the same over minibatches as ``batch_mean``,
        ``batch_std`` and ``batch_snr``, and ``weight``, the norms of the tensors themselves, to divide by.

    Raises:
        SymbreakError: If network, data or options cannot be handled, or gradients are not finite.
    """
    check_labelled(network, data, loss)
    if axis not in AXES:
        raise SymbreakError(f"'axis' is one of {', '.join(AXES)}, not '{axis}'; say what the sets of weights are")
    report = Report()
    weights = [
        value.double().reshape(len(value), -1).norm(dim=1).numpy(force=True) for value in network.parameters.values()
    ]
    report.add("weight", np.stack(weights, axis=1), unit="weight", axes=(axis, "layer"))
    _add(report, "", signals(network, data, loss=loss), len(data.x), loss, axis)
    if batch is not None:
        dealt = _dealt(data, batch, seed, report)
        _add(report, "batch_", signals(network, dealt, loss=loss, batch=batch), len(dealt.x) // batch, loss, axis)
    return report


def moments(network: Network, data: Data, *, loss: str = "cross_entropy", batch: int = 1) -> dict[str, Moments]:
    """Return mean and variance over items of every single weight's gradient.

    For a fully connected stack they are two matrix products a layer, ``dZ^T X`` and ``(dZ^2)^T X^2``; for any other
    network gradients of single items, of which at most ``gradients_items.MEMORY`` bytes are held. A variance is the
    difference of two sums and as exact as the type of the data is relative to the mean square; it is at least 0.

    Args:
        network: R sets of parameters.
        data: N samples, in the order in which they form items; those after the last whole item are left out.
        loss: Key of ``symbreak.training.losses.LOSSES``; an item's loss is the mean over its samples.
        batch: Samples of an item.

    Returns:
        Parameter -> moments ``[R, ...]`` in the type of the data, in loss per unit of weight and its square.

    Raises:
        SymbreakError: If there are fewer than 2 items, or a gradient is not finite.
    """
    count = _items(data, batch, at_least=2)
    found = [_summed(part, data, loss, batch, (_total, _squares)) for part in parts(network)]
    sums = {name: [[state[name] for state in part] for part in found] for name in network.parameters}
    return {name: _moments(of_parts, count, data.x.dtype) for name, of_parts in sums.items()}


def signals(network: Network, data: Data, *, loss: str = "cross_entropy", batch: int = 1) -> dict[str, Signal]:
    """Return signal and noise of every parameter tensor, with the errors of a jackknife over items.

    Two passes over the data, of which nothing grows with the number of items; arguments as of ``moments``.

    Raises:
        SymbreakError: If there are fewer than 3 items, or a gradient is not finite.
    """
    count = _items(data, batch, at_least=3)
    found = [_signals(part, data, loss, batch, count) for part in parts(network)]
    return {name: joined([part[name] for part in found]) for name in network.parameters}


def _moments(sums: Sequence[Sequence[Tensor]], count: int, dtype: torch.dtype) -> Moments:
    """Moments of every part's sums of gradients and of their squares."""
    total, squares = (state[0] if len(state) == 1 else torch.cat(state) for state in zip(*sums, strict=True))
    mean = total.mul_(1 / count)
    variance = squares.mul_(1 / (count - 1)).addcmul_(mean, mean, value=-count / (count - 1)).clamp_min_(0)
    return Moments(mean.to(dtype), variance.to(dtype))


def _signals(part: Network, data: Data, loss: str, batch: int, count: int) -> dict[str, Signal]:
    totals, lengths = _summed(part, data, loss, batch, (_total, _length))
    means = {name: total / count for name, total in totals.items()}
    epsilon = torch.finfo(data.x.dtype).eps
    jackknifes = {name: Jackknife(mean, lengths[name], count, epsilon) for name, mean in means.items()}
    directions = {name: mean.to(data.x.dtype) for name, mean in means.items()}
    for chunk in chunks(part, data, loss, batch):
        for name, items in chunk.items():
            jackknifes[name].add(items.lengths().numpy(force=True), items.along(directions[name]).numpy(force=True))
    return {name: jackknife.signal() for name, jackknife in jackknifes.items()}


Take = Callable[[Items, Tensor | None], Tensor]


def _total(items: Items, before: Tensor | None) -> Tensor:
    return items.total(before)


def _squares(items: Items, before: Tensor | None) -> Tensor:
    return items.squares(before)


def _length(items: Items, before: Tensor | None) -> Tensor:
    length = items.lengths().sum(1)
    return length if before is None else before.add_(length)


def _summed(part: Network, data: Data, loss: str, batch: int, takes: Sequence[Take]) -> list[State]:
    """Sums over all items by parameter, ``[R, ...]``; each take adds a chunk's items to what was before them."""
    found: list[State] = [{} for _ in takes]
    for chunk in chunks(part, data, loss, batch):
        for name, items in chunk.items():
            for state, take in zip(found, takes, strict=True):
                state[name] = take(items, state.get(name))
    for name, total in found[-1].items():  # of squares or lengths, which are not finite if a gradient is not
        if not math.isfinite(float(total.sum())):
            raise SymbreakError(
                f"the gradient of '{name}' or its square is NaN or infinite; probe weights before they diverged"
            )
    return found


def _items(data: Data, batch: int, *, at_least: int) -> int:
    """The number of whole items."""
    if batch < 1 or len(data.x) // batch < at_least:
        raise SymbreakError(
            f"{len(data.x)} samples do not make {at_least} minibatches of {batch}; give more data or a smaller batch"
        )
    return len(data.x) // batch


def _dealt(data: Data, batch: int, seed: int, report: Report) -> Data:
    """The samples in random order, without those that fill no minibatch."""
    _items(data, batch, at_least=3)
    left = len(data.x) % batch
    if left:
        report.warn(f"{left} of {len(data.x)} samples, which fill no minibatch of {batch}, are left out of minibatches")
    generator = torch.Generator().manual_seed(derive(seed, "gradients", "batches"))
    rows = torch.randperm(len(data.x), generator=generator)[: len(data.x) - left].to(data.x.device)
    return Data(data.x[rows], data.y[rows])


def _add(report: Report, prefix: str, found: dict[str, Signal], count: int, loss: str, axis: str) -> None:
    """Add results over n = ``count`` items, and warn of means that are noise and of ratios that are none."""
    values, errors = (
        {key: np.stack([part[key] for part in parts], axis=1) for key in KEYS}
        for parts in ([one.values for one in found.values()], [one.errors for one in found.values()])
    )
    for key in KEYS:
        unit = "1" if key == "snr" else UNITS[loss]
        report.add(prefix + key, values[key], unit=unit, axes=(axis, "layer"), error=errors[key])
    total, what = values["mean"].size, "minibatches" if prefix else "samples"
    noise = np.sum((values["mean"] < FLOOR * values["std"] / math.sqrt(count)) & (values["std"] > 0))
    if noise:
        report.warn(
            f"over {what}, the mean gradient of {noise} of {total} tensors is below {FLOOR:g} times the noise floor "
            f"std / sqrt({count}): what is given as their mean, and as snr, is mostly noise"
        )
    undefined = np.sum(~np.isfinite(values["snr"]) | ~np.isfinite(errors["snr"]))
    if undefined:
        report.warn(
            f"over {what}, the gradients of {undefined} of {total} tensors do not differ, or would not without one of "
            f"the {what}: snr or its error is not defined there"
        )

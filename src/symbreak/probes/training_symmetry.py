"""Whether training carries a rotation of outputs and targets along (catalogue S8; arXiv:2106.00694's abstract).

Two networks with one hidden layer of ReLUs, in float64: one starts from (W0, b0, W1, b1) and learns targets y, the
other from (W0, b0, R W1, R b1) and learns R y, on the same batches, with R a Haar rotation of the outputs. Measured as
they train: ``outputs``, the largest |f' - R f| over the training images in units of the largest |R f|, and
``parameters``, the same between the parameters and those rotated, the worst of the four tensors. With SGD on squared
errors both are 0 but for rounding, as loss and update know only lengths and angles of output vectors. Adam, element by
element, and softmax single out the outputs' axes. Rotated targets are no probabilities: with cross-entropy the second
network's loss has no lower bound and it leaves all bounds within tens of updates.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot

from symbreak.data import training_set
from symbreak.data.tensors import to_input
from symbreak.errors import SymbreakError
from symbreak.probes.npoint_symmetry import haar
from symbreak.probes.source import Source
from symbreak.seeding import derive

Index = NDArray[np.int64]
Parameters = dict[str, Tensor]
SIGMA_B = 0.25  # biases that are not 0, so that a rotation moves them
OPTIMISERS: dict[str, Callable[[list[Tensor], float], torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
}
LOSSES = ("mse", "cross_entropy")
ROTATED = ("w1", "b1")


def probe(
    source: Source,
    *,
    width: int,
    batch: int,
    steps: dict[str, int],
    records: Sequence[int],
    rates: dict[str, float],
) -> pd.DataFrame:
    """Train pairs of networks on the arm's training images, with every optimiser and loss.

    Args:
        source: Gives the images, and the seeds of initialisation, rotation and batches.
        width: Number of neurons N.
        batch: Images a batch, drawn without repetition.
        steps: Updates with each loss, ``mse`` and ``cross_entropy``.
        records: Steps after which the two are compared (0: before training); those beyond a loss's steps are left out.
        rates: Learning rate of each optimiser, ``sgd`` and ``adam``.

    Returns:
        One row a (seed, optimiser, loss, step) with ``outputs``, ``parameters`` and ``loss_value``, the first
        network's mean loss over the training images.

    Raises:
        SymbreakError: An unknown optimiser or loss, a negative record, or a batch of more images than there are.
    """
    _check(rates, steps, records)
    rows: list[dict[str, Any]] = []
    for seed in source.seeds:
        x, targets = _examples(source, seed)
        if batch > len(x):
            raise SymbreakError(f"expected 'batch' of at most the {len(x)} training images, found {batch}; lower it")
        generator = np.random.default_rng(derive(seed, "training_symmetry"))
        rotation = torch.from_numpy(haar(1, targets.shape[1], targets.shape[1], generator)[0])
        start = initial(x.shape[1], width, targets.shape[1], generator)
        order = np.stack([generator.permutation(len(x))[:batch] for _ in range(max(steps.values()))])
        for optimiser, rate in rates.items():
            for loss, updates in steps.items():
                pair = rotated_pair(start, rotation)
                both = torch.stack([targets, targets @ rotation.T])
                run = _trained(pair, x, both, order[:updates], OPTIMISERS[optimiser]([*pair.values()], rate), loss)
                setting = {"seed": seed, "optimiser": optimiser, "loss": loss}
                rows += [
                    setting | {"step": step} | compared(pair, rotation, x, both, loss)
                    for step in run
                    if step in records
                ]
    return pd.DataFrame(rows)


def initial(inputs: int, width: int, outputs: int, generator: np.random.Generator) -> Parameters:
    """Draw W0 ~ N(0, 1/d), W1 ~ N(0, 1/N) and biases of standard deviation ``SIGMA_B``, float64."""
    drawn = {
        "w0": generator.standard_normal((width, inputs)) / np.sqrt(inputs),
        "b0": SIGMA_B * generator.standard_normal(width),
        "w1": generator.standard_normal((outputs, width)) / np.sqrt(width),
        "b1": SIGMA_B * generator.standard_normal(outputs),
    }
    return {name: torch.from_numpy(value) for name, value in drawn.items()}


def rotated_pair(start: Parameters, rotation: Tensor) -> Parameters:
    """Return parameters ``[2, ...]``, to be trained, of the network and of that whose last layer is rotated."""
    return {
        name: torch.stack([value, rotation @ value if name in ROTATED else value]).requires_grad_()
        for name, value in start.items()
    }


def forward(pair: Parameters, x: Tensor) -> Tensor:
    """Return the outputs ``[2, B, D]`` of both networks at inputs ``[B, d]``."""
    both = torch.relu(torch.addmm(pair["b0"].flatten(), x, pair["w0"].flatten(0, 1).T))  # one product for two networks
    hidden = both.view(len(x), 2, -1).transpose(0, 1)
    return hidden @ pair["w1"].transpose(1, 2) + pair["b1"][:, None]


def mean_losses(outputs: Tensor, targets: Tensor, loss: str) -> Tensor:
    """Return each network's loss ``[2]``, a mean over the batch; outputs and targets ``[2, B, D]``.

    ``mse``: squared error, also averaged over outputs. ``cross_entropy``: -sum_i y_i log softmax(f)_i, for any targets;
    those rotated are no probabilities.
    """
    if loss == "mse":
        return (outputs - targets).square().mean(dim=(1, 2))
    return -(targets * torch.log_softmax(outputs, dim=2)).sum(dim=2).mean(dim=1)


@torch.no_grad()
def compared(pair: Parameters, rotation: Tensor, x: Tensor, targets: Tensor, loss: str) -> dict[str, float]:
    """Return ``outputs``, ``parameters`` (see the module) and ``loss_value``."""
    f = forward(pair, x)
    differences = []
    for name, (plain, other) in pair.items():
        expected = rotation @ plain if name in ROTATED else plain
        differences.append(_relative(other, expected))
    return {
        "outputs": _relative(f[1], f[0] @ rotation.T),
        "parameters": max(differences),
        "loss_value": float(mean_losses(f, targets, loss)[0]),
    }


def _relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


def _trained(
    pair: Parameters, x: Tensor, targets: Tensor, order: Index, optimiser: torch.optim.Optimizer, loss: str
) -> Iterator[int]:
    """Train in place and yield the number of updates done, from 0."""
    yield 0
    for step, chosen in enumerate(order, start=1):
        rows = torch.from_numpy(chosen)
        optimiser.zero_grad()
        # the networks share no parameter: the gradient of the sum is that of each
        mean_losses(forward(pair, x[rows]), targets[:, rows], loss).sum().backward()
        optimiser.step()
        yield step


def _examples(source: Source, seed: int) -> tuple[Tensor, Tensor]:
    """Training images ``[N, d]`` and one-hot targets ``[N, D]``, float64."""
    if source.spec.data is None:
        raise SymbreakError(f"arm '{source.spec.arm}' has no 'data': give it the images to train on")
    made = training_set.build(source.spec.data, source.data(), [seed])
    images = torch.from_numpy(made.train_images[0])
    x = to_input(images, made.spec, made.statistics, torch.float64).flatten(1)
    return x, one_hot(torch.from_numpy(made.train_labels[0]).long(), made.classes).double()


def _check(rates: dict[str, float], steps: dict[str, int], records: Sequence[int]) -> None:
    for name, given, known in (("rates", set(rates), set(OPTIMISERS)), ("steps", set(steps), set(LOSSES))):
        if not given or given - known:
            found = sorted(given - known) or "none"
            raise SymbreakError(f"expected '{name}' for some of {sorted(known)}, found {found}; mend the option")
    if not records or min(records) < 0:
        raise SymbreakError(f"expected 'records' of steps from 0 on, found {list(records)}; mend the option")

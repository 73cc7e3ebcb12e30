"""What groups that act on the inputs of a network do to its outputs and losses."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from symbreak.errors import SymbreakError
from symbreak.models.backward import Pass
from symbreak.probes.network import Data, Network, State
from symbreak.probes.report import Report
from symbreak.probes.symmetry_defects import Array, averaged, best_image, mean_change
from symbreak.theory.groups import GROUPS, elements
from symbreak.training.losses import LOSSES

BATCH = 256  # inputs that go through the network at a time
PER_OUTPUT = 4  # inputs an output that the fit of Q' needs: its halves then have two
FORMULAS = {
    "invariance": "|f(Qx) - f(x)| / |f(x)|",
    "covariance": "|f(Qx) - Q'f(x)| / |f(x)|",
    "loss": "|l(Qx) - l(x)| / |l(x)|",
}
UNITS = {"cross_entropy": "nats", "mse": "squared error"}


def report_inputs(
    report: Report,
    network: Network,
    data: Data,
    loss: str,
    groups: Sequence[str],
    samples: int,
    seed: int,
    theta: float,
) -> None:
    """Add ``invariance``, ``covariance``, ``loss`` and ``loss_change`` of each group to the report.

    Args:
        report: Is added to.
        network: In float64.
        data: Likewise.
        loss: Key of ``LOSSES``.
        groups: Keys of ``GROUPS`` that act on such inputs.
        samples: Elements drawn of a group that is not listed.
        seed: Of the draws.
        theta: Angle of the groups that have one, radians.

    Raises:
        SymbreakError: If outputs or labels do not fit, or outputs or losses are all zero.
    """
    still = outputs(network, data.x)
    _check_outputs(still, data.y, loss)
    losses = LOSSES[loss](still, data.y[None])
    if not (still.flatten(1).any(1) & losses.any(1)).all():
        raise SymbreakError(
            "outputs or losses are zero on all inputs, and nothing is relative to them; give other weights"
        )
    needed = PER_OUTPUT * still.shape[2]
    if not (covariant := len(data.x) >= needed):
        report.warn(f"covariance is not measured: the fit of Q' needs {needed} inputs, there are {len(data.x)}")
    sizes = {"invariance": _squares(still), "covariance": _squares(still), "loss": losses.square().numpy()}
    for group in groups:
        sampled, found = not GROUPS[group].listed, []
        for element in elements(group, tuple(data.x.shape[1:]), samples, seed, theta):
            moved = outputs(network, element(data.x))
            found.append(_changes(still, moved, LOSSES[loss](moved, data.y[None]) - losses, covariant))
        stacked = {name: np.array([each[name] for each in found]) for name in found[0]}
        for name in [name for name in FORMULAS if name in stacked]:
            _add(report, f"{name}/{group}", averaged(stacked[name], sizes[name], sampled), FORMULAS[name])
        _add(report, f"loss_change/{group}", mean_change(stacked["loss_change"], sampled), UNITS[loss])


def _changes(still: Tensor, moved: Tensor, change: Tensor, covariant: bool) -> dict[str, Array]:
    """What one element does to each set and input, ``[R, N]``: squares, but of ``loss_change``."""
    found = {"invariance": _squares(moved - still), "loss": change.square().numpy(), "loss_change": change.numpy()}
    if covariant:
        found["covariance"] = np.array([best_image(a.numpy(), b.numpy()) for a, b in zip(still, moved, strict=True)])
    return found


def _squares(values: Tensor) -> Array:
    squares: Array = values.square().sum(2).numpy()
    return squares


def in_double(network: Network) -> Network:
    """Return the network with parameters and floating buffers in float64, in which zeros can be told from small."""

    def double(state: State) -> State:
        return {name: value.double() if value.is_floating_point() else value for name, value in state.items()}

    return replace(network, parameters=double(network.parameters), buffers=double(network.buffers))


@torch.no_grad()
def outputs(network: Network, x: Tensor) -> Tensor:
    """Return the outputs ``[R, N, C]`` of all sets, ``BATCH`` inputs at a time, with a stack all sets at once.

    Raises:
        SymbreakError: If the network cannot compute in float64, or its outputs are not finite or not ``[N, C]``.
    """
    try:
        found = torch.cat([_forward(network, part) for part in x.split(BATCH)], 1)
    except RuntimeError as error:
        raise SymbreakError(f"the network cannot be evaluated in float64 on inputs {list(x.shape)}: {error}") from error
    if found.ndim != 3 or found.dtype != torch.float64:
        raise SymbreakError(
            f"outputs must be [N, C] in float64 for inputs in float64, but are {list(found.shape[1:])} in {found.dtype}"
            f"; let the module compute in the type of its inputs"
        )
    if not found.isfinite().all():
        raise SymbreakError(
            "the network has outputs that are not finite; check its weights and the scale of the inputs"
        )
    return found


def _forward(network: Network, x: Tensor) -> Tensor:
    if network.stack is None:
        return network.outputs(x)
    return Pass(network.stack, network.parameters, network.parameters).forward(x[None]).transpose(1, 2)


def _check_outputs(still: Tensor, y: Tensor, loss: str) -> None:
    classes, lowest, highest = still.shape[2], int(y.min()), int(y.max())
    if y.shape != still.shape[1:2] or lowest < 0 or highest >= classes:
        raise SymbreakError(
            f"labels must be one an input, between 0 and {classes - 1}; found {list(y.shape)} between {lowest} and "
            f"{highest}"
        )
    if loss == "cross_entropy" and classes < 2:
        raise SymbreakError("the cross-entropy of a single output does not depend on it; use loss 'mse'")


def _add(report: Report, name: str, found: tuple[Array, Array], unit: str) -> None:
    report.add(name, found[0], unit=unit, axes=("replica",), error=found[1])

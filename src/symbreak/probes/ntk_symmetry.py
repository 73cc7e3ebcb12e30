"""How the neural tangent kernel of nets at initialisation answers to rotations of their outputs (catalogue S8).

Two measurements, told apart by ``kind``. ``net``: ``deviation``, the largest |Theta(A W1) - A Theta A^T| in units of
the largest |Theta| in a few nets by automatic differentiation in float64, for a rotation A = R and, as a control, for R
with its columns stretched by 1/2 to 3/2. ``mean``: of E[Theta] over many nets the part that SO(D) does not leave
invariant, ``noninvariant2`` (unbiased squared norm), and the rest, ``invariant2``. Both are of the first layer's part;
the last layer's is proportional to delta_ik in every net (``theory.ntk``).
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import jacrev

from symbreak.errors import SymbreakError
from symbreak.probes.noninvariance import squared_norms
from symbreak.probes.npoint_sampling import Ensemble, draw, weights
from symbreak.probes.npoint_symmetry import haar
from symbreak.probes.source import Source
from symbreak.seeding import derive
from symbreak.theory.correlators import Neuron, whitened
from symbreak.theory.gaussnet import log_normaliser
from symbreak.theory.ntk import first_layer_part

Array = NDArray[np.float64]
BATCHES = 10
STRETCH = (0.5, 1.5)  # of the control's columns; 1 would be a rotation
ACTIONS = ("rotation", "stretched")


def probe(
    source: Source,
    *,
    neurons: Sequence[tuple[Neuron, float]],
    outputs: int,
    width: int,
    inputs: Sequence[float],
    nets: int,
    differentiated: int,
    mean_w1: float,
) -> pd.DataFrame:
    """Measure nets with one input and sigma_w = 1.

    Args:
        source: Gives the seeds, one independent ensemble a seed and neuron.
        neurons: Pairs (``gauss`` or ``relu``, sigma_b).
        outputs: D.
        width: Number of neurons N.
        inputs: The points x; the kernel is that of all their pairs.
        nets: Number of nets of each mean.
        differentiated: Number of nets of ``net``.
        mean_w1: Mean of all of the last layer's weights in the control of ``mean``.

    Returns:
        Rows of ``net``: one a (seed, neuron, net, action). Rows of ``mean``: one a (seed, neuron, mean).

    Raises:
        SymbreakError: A number of nets that cannot be divided into batches of equal size, or a neuron whose slope is
            not known here.
    """
    _check(nets, [neuron for neuron, _ in neurons])
    x = np.array(inputs, dtype=np.float64)[:, None]
    rows: list[dict[str, Any]] = []
    for seed in source.seeds:
        for neuron, sigma_b in neurons:
            ensemble = Ensemble(neuron, width, 1.0, sigma_b, outputs, derive(seed, "ntk", f"outputs={outputs}"))
            setting = {"seed": seed, "neuron": neuron, "outputs": outputs, "width": width}
            rows += [setting | row for row in _of_nets(ensemble, x, differentiated)]
            for mean in (0.0, mean_w1):
                noninvariant2, invariant2 = squared_norms(first_layer_means(ensemble, x, nets, mean), 2)
                found = {"noninvariant2": noninvariant2, "invariant2": invariant2}
                rows.append(setting | {"kind": "mean", "nets": nets, "mean": mean} | found)
    return pd.DataFrame(rows)


def first_layer_means(ensemble: Ensemble, x: Array, nets: int, mean: float) -> Array:
    """Return the mean of the first layer's part of Theta over each of ``BATCHES`` batches, ``[B, P, P, D, D]``.

    Args:
        ensemble: The nets.
        x: Inputs [P, d].
        nets: Number of nets in all batches.
        mean: Added to all of W1.
    """
    size, found = nets // BATCHES, []
    factor = whitened(x, ensemble.sigma_w, ensemble.sigma_b)
    for batch in range(BATCHES):
        own = Ensemble(
            ensemble.neuron, ensemble.width, ensemble.sigma_w, ensemble.sigma_b, ensemble.outputs,
            derive(ensemble.seed, f"mean={mean}", f"batch={batch}"),
        )  # fmt: skip
        total: Any = 0.0
        for block in range(math.ceil(size / own.block)):
            drawn = draw(own, factor, block)
            inside = slice(size - block * own.block)
            z = (torch.from_numpy(factor).float() @ drawn.normals).double().numpy()
            slopes = _slopes(own, x, z.reshape(len(x), -1, own.width))[:, inside]
            total += first_layer_part(slopes, drawn.w1[inside].double().numpy() + mean, x)
        found.append(total / size)
    return np.stack(found)


def tangent_kernel(neuron: Neuron, parameters: dict[str, Tensor], x: Tensor, offset: Tensor) -> Array:
    """Return Theta_ik(x_p, x_q) by automatic differentiation, ``[P, P, D, D]``.

    Args:
        neuron: ``gauss`` or ``relu``.
        parameters: ``w0`` ``[N, d]``, ``b0`` ``[N]``, ``w1`` ``[D, N]``, ``b1`` ``[D]``.
        x: Inputs ``[P, d]``.
        offset: Logarithm of the Gauss-net's normaliser, ``[P]``.
    """

    def outputs(values: dict[str, Tensor]) -> Tensor:
        z = x @ values["w0"].T + values["b0"]
        s = torch.exp(z - offset[:, None]) if neuron == "gauss" else torch.relu(z)
        return s @ values["w1"].T + values["b1"]

    jacobians = [part.flatten(2) for part in jacrev(outputs)(parameters).values()]
    jacobian = torch.cat(jacobians, dim=2)
    return torch.einsum("piw,qkw->pqik", jacobian, jacobian).numpy()


def stretched(rotation: Array) -> Array:
    """Return a rotation ``[D, D]`` with its columns multiplied by numbers from 1/2 to 3/2: no rotation any more."""
    return rotation * np.linspace(*STRETCH, len(rotation))


def _of_nets(ensemble: Ensemble, x: Array, count: int) -> Iterator[dict[str, Any]]:
    generator = np.random.default_rng(derive(ensemble.seed, ensemble.neuron, "rotations"))
    points, offset = torch.from_numpy(x), torch.from_numpy(log_normaliser(x, ensemble.sigma_w, ensemble.sigma_b))
    for net, rotation in enumerate(haar(count, ensemble.outputs, ensemble.outputs, generator)):
        drawn = {name: torch.from_numpy(value) for name, value in vars(weights(ensemble, x, net)).items()}
        kernel = tangent_kernel(ensemble.neuron, drawn, points, offset)
        for action, matrix in zip(ACTIONS, (rotation, stretched(rotation)), strict=True):
            moved = drawn | {name: torch.from_numpy(matrix) @ drawn[name] for name in ("w1", "b1")}
            expected = matrix @ kernel @ matrix.T
            difference = np.abs(tangent_kernel(ensemble.neuron, moved, points, offset) - expected).max()
            deviation = float(difference / np.abs(kernel).max())
            yield {"kind": "net", "net": net, "action": action, "deviation": deviation}


def _slopes(ensemble: Ensemble, x: Array, z: Array) -> Array:
    """The slopes s' of pre-activations ``[P, M, N]``; the Gauss-net's neuron is its own slope."""
    if ensemble.neuron == "gauss":
        slopes: Array = np.exp(z - log_normaliser(x, ensemble.sigma_w, ensemble.sigma_b)[:, None, None])
        return slopes
    return np.where(z > 0, 1.0, 0.0)


def _check(nets: int, neurons: Sequence[str]) -> None:
    if nets < BATCHES or nets % BATCHES:
        raise SymbreakError(f"expected a number of 'nets' that is a multiple of {BATCHES}, found {nets}; round it")
    unknown = sorted(set(neurons) - {"gauss", "relu"})
    if unknown:
        raise SymbreakError(f"expected neurons among gauss and relu, found {unknown}; their slopes are known here")

"""What hidden layers know of the input and of the label: I(X;T) and I(T;Y), in bits, by binning and by kernel bounds.

X is uniform on the N samples, Y their labels, T a layer's activations: of a deterministic network either in bins
(``information_binning``; Shwartz-Ziv and Tishby 2017, arXiv:1703.00810), or with Gaussian noise added, for which there
are an upper and a lower bound (``information_bounds``; Kolchinsky and Tracey 2017, arXiv:1706.02419). Bins or noise
are part of the definition: without them I(X;T) of continuous inputs and activations is infinite (Saxe et al. 2018,
ICLR). No estimate exceeds H(X), log2 N bits if all inputs differ; one that reaches it says how many samples there are,
and nothing of the layer.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from symbreak.errors import SymbreakError
from symbreak.probes.information_binning import binned_information, entropy, extremes
from symbreak.probes.information_bounds import Arrangement, arrange, kernel_bounds
from symbreak.probes.information_layers import Layer, Layers, hidden_layers
from symbreak.probes.network import Data, Network
from symbreak.probes.report import Array, Report

NEEDS: Final = "model"
SATURATED = 0.99  # of H(X)
CUT = ("ity_upper", "ity_lower")
CEILINGS = (
    ("ixt_binned", "binned I(X;T)", "use fewer bins or more samples"),
    ("ixt_lower", "the lower bound on I(X;T)", "use more noise or more samples"),
    ("ixt_upper", "the upper bound on I(X;T)", "use more noise or more samples"),
)
Ids = NDArray[np.int64]


def measure(
    network: Network,
    data: Data,
    *,
    seed: int,
    loss: str = "cross_entropy",
    bins: int = 30,
    range: str = "data",
    noise_variance: float | Sequence[float] = (1e-3, 1e-2, 1e-1),
    layers: Sequence[str] = (),
) -> Report:
    """Measure all hidden layers, of every set of weights.

    Results, with V variances, L layers in order of execution and R sets, in bits: ``ixt_binned``, ``ity_binned``
    ``[R, L]``; the bounds ``ixt_upper``, ``ixt_lower``, ``ity_upper``, ``ity_lower`` and the estimate ``ity_kl`` (not a
    bound: the difference of the upper bounds of H(T) and of H(T|Y), as Saxe et al. 2018 take it) ``[R, L, V]``;
    ``input_entropy``, ``label_entropy``. Beside them ``width`` ``[L]`` and ``bin_range`` ``[L, 2]``. The bounds on
    I(T;Y) are cut to [0, H(Y)], where it lies. Memory: at most ``information_layers.MOST_BYTES`` and what the network
    takes.

    Args:
        network: With a stack, or a module whose leaf modules can be hooked.
        data: Inputs and labels; labels need not be consecutive.
        seed: Of the hash and of the jackknife's subsets.
        loss: Not used: information does not depend on it.
        bins: Number of bins of one activation.
        range: What the bins cover: ``activation``, what the activation function can give ([-1, 1] for tanh), or
            ``data``, the least to the greatest activation of a layer over all sets of weights, which are so measured by
            the same bins.
        noise_variance: Variances of the noise, in activation squared; none: no kernel bounds.
        layers: Leaf modules of a module, or ``layers.<l>`` of a stack; none: all hidden layers (see ``hidden_layers``).

    Raises:
        SymbreakError: If inputs or activations are not finite, there are too few samples, no layers are found, an
            option is out of its range, or ``range`` is ``activation`` and a layer's activations are not bounded.
    """
    variances = [float(v) for v in np.atleast_1d(noise_variance)]
    labels = _labels(data)
    found = hidden_layers(network, data.x, layers)
    edges = _edges(found, network.count, range)
    arrangement = arrange(labels, seed) if variances else None
    settings = _Settings(bins, tuple(variances), arrangement, seed)
    measured = _measured(found, network.count, edges, labels, settings)
    return _report(measured, found.found, edges, data.x, labels)


@dataclass(frozen=True)
class _Settings:
    bins: int
    variances: tuple[float, ...]
    arrangement: Arrangement | None
    seed: int


def _measured(
    layers: Layers, count: int, edges: Array, labels: Ids, settings: _Settings
) -> dict[str, tuple[Array, Array]]:
    """Return value and error of every result, ``[R, L]`` or ``[R, L, V]``."""
    rows = [
        _of_layer(activations, edge, labels, settings)
        for r in range(count)
        for activations, edge in zip(layers.activations(r), edges, strict=True)
    ]
    shape = (count, len(layers.found))
    stacked = {name: np.array([row[name] for row in rows]) for name in rows[0]}  # [R L, 2] or [R L, 2, V]
    return {
        name: (both[:, 0].reshape(shape + both.shape[2:]), both[:, 1].reshape(shape + both.shape[2:]))
        for name, both in stacked.items()
    }


def _of_layer(activations: Tensor, edge: Array, labels: Ids, settings: _Settings) -> dict[str, tuple[Any, Any]]:
    low, high = (float(value) for value in edge)
    ixt, ity = binned_information(activations, labels, bins=settings.bins, low=low, high=high, seed=settings.seed)
    found: dict[str, tuple[Any, Any]] = {"ixt_binned": (ixt.value, ixt.error), "ity_binned": (ity.value, ity.error)}
    if settings.arrangement is not None:
        found |= kernel_bounds(activations, settings.arrangement, settings.variances).combined()
    return found


def _labels(data: Data) -> Ids:
    """Return the labels numbered 0, 1, ... without gaps."""
    if len(data.x) != len(data.y) or len(data.x) < 2:
        raise SymbreakError(
            f"expected a label for each of at least 2 inputs, found {len(data.y)} labels and {len(data.x)} inputs"
        )
    if not torch.isfinite(data.x).all():
        raise SymbreakError("the inputs are not all finite; remove the samples that are not")
    labels: Ids = np.unique(data.y.cpu().numpy(), return_inverse=True)[1]
    return labels


def _edges(layers: Layers, count: int, covered: str) -> Array:
    """Return the first and the last edge of every layer's bins, ``[L, 2]``."""
    if covered == "activation":
        return np.array([_bounded(layer) for layer in layers.found])
    if covered != "data":
        raise SymbreakError(f"'range' is '{covered}', expected 'activation' or 'data'")
    seen = np.array([[extremes(activations) for activations in layers.activations(r)] for r in range(count)])
    edges: Array = np.stack([seen[..., 0].min(axis=0), seen[..., 1].max(axis=0)], axis=1)
    if not np.isfinite(edges).all():
        wrong = [layer.name for layer, edge in zip(layers.found, edges, strict=True) if not np.isfinite(edge).all()]
        raise SymbreakError(f"the activations of layers {wrong} are not all finite, so that they have no bins")
    return edges


def _bounded(layer: Layer) -> tuple[float, float]:
    if layer.bounds is None:
        raise SymbreakError(
            f"the activations of layer '{layer.name}' are not bounded by its activation function; set 'range' to "
            f"'data', or choose other layers"
        )
    return layer.bounds


def _report(
    measured: dict[str, tuple[Array, Array]], layers: Sequence[Layer], edges: Array, x: Tensor, labels: Ids
) -> Report:
    report, label_entropy = Report(), entropy(np.bincount(labels))
    input_entropy = entropy(np.array(list(Counter(row.tobytes() for row in x.flatten(1).cpu().numpy()).values())))
    for name, (value, error) in measured.items():
        cut = np.clip(value, 0, label_entropy) if name in CUT else value
        report.add(name, cut, error=error, unit="bit", axes=("replica", "layer", "noise_variance")[: value.ndim])
    report.add("input_entropy", input_entropy, unit="bit")
    report.add("label_entropy", label_entropy, unit="bit")
    report.add("width", [layer.width for layer in layers], unit="units", axes=("layer",))
    report.add("bin_range", edges, unit="activation", axes=("layer", "end"))
    _warn(report, input_entropy)
    return report


def _warn(report: Report, ceiling: float) -> None:
    """Warn of what is at its ceiling, of one class, and of constant layers."""
    for name, what, mend in CEILINGS:
        found = report.results.get(name)
        if found is not None and (full := found.value >= SATURATED * ceiling).any():
            layers = np.flatnonzero(full.any(axis=tuple(axis for axis in range(full.ndim) if axis != 1)))
            report.warn(
                f"{what} is at its ceiling, the inputs' entropy of {ceiling:.2f} bit, in layers {layers.tolist()} "
                f"({full.sum()} of {full.size} values of {name}): nearly every sample is told from all others, so that "
                f"it, and I(T;Y) with it, says how many samples there are and nothing of the layer; {mend}"
            )
    if report.results["label_entropy"].value == 0:
        report.warn("all labels are equal, so that I(T;Y) is 0 whatever the network does")
    edges = report.results["bin_range"].value
    if (constant := np.flatnonzero(edges[:, 0] == edges[:, 1])).size:
        report.warn(f"all activations of layers {constant.tolist()} are equal, so that they know nothing")

"""Distances between trained replicas, in units of a weight: Wasserstein, entry by entry, and after neuron matching.

* ``distance`` ``W_p = ((1/P) sum_i |a_(i) - b_(i)|^p)^(1/p)`` of the distributions of all parameters, ``a_(i)`` the
  i-th smallest (``replica_distance``); ``layer_distance`` the same of each parameter tensor, in the order of the
  network's parameters. The order of neurons does not change it.
* ``indexed_distance`` ``((1/P) sum_i |a_i - b_i|^p)^(1/p)``, parameter by parameter as they stand.
* ``matched_distance``: the last one minimised over the order of the hidden units (``replica_matching``);
  distance <= matched_distance <= indexed_distance.
* ``mean_...``: means over pairs, with jackknife errors over replicas.
* ``metric_...``: the replica distance metric of Zhang et al., arXiv:2409.06402 (``replica_metric``), always with W_1.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from symbreak.errors import SymbreakError
from symbreak.probes.network import Data, Network
from symbreak.probes.replica_distance import LEAST_REPLICAS, indexed, jackknife, pair_means, wasserstein
from symbreak.probes.replica_matching import layers, matched
from symbreak.probes.replica_metric import metric
from symbreak.probes.report import Report

NEEDS: Final = "ensemble"
Array = NDArray[np.float64]
Floats = NDArray[np.floating]
MOST_BYTES = 2**30  # of the matrices of all tensors, [layer, replica, other]
PAIR = ("replica", "other")


def measure(
    network: Network,
    data: Data,
    *,
    seed: int,
    loss: str = "cross_entropy",
    p: float = 1.0,
    match: bool = True,
    splits: int = 8,
) -> Report:
    """Measure the distances of all pairs of replicas; data and loss do not enter.

    Args:
        network: At least three replicas.
        data: Not used.
        seed: Of the random deals behind ``metric_floor``.
        loss: Not used.
        p: Order of the distances, at least 1.
        match: Whether to match neurons; a network that is not made of fully connected layers and elementwise functions
            alone is not matched, and the report says so.
        splits: Random deals behind ``metric_floor``, at least 2.

    Raises:
        SymbreakError: Fewer than three replicas, parameters that are not finite, p below 1, fewer than two deals,
            or matrices above 1 GiB.
    """
    flat = {name: _flat(value.detach().cpu().reshape(network.count, -1)) for name, value in network.parameters.items()}
    _check(network.count, len(flat), splits)
    everything, report = np.concatenate(list(flat.values()), axis=1), Report()
    _add(report, "distance", wasserstein(everything, p))
    _add(report, "layer_distance", np.stack([wasserstein(values, p) for values in flat.values()]), "layer")
    _add(report, "indexed_distance", indexed(everything, p))
    if match:
        _add_matched(report, network, p)
    weights = {name: flat[name] for name, value in network.parameters.items() if value.ndim > 2}
    metric(weights, seed, splits, report)
    return report


def _flat(values: Tensor) -> Floats:
    found: Floats = (values.float() if values.itemsize < 4 else values).numpy()  # numpy has no bfloat16
    return found


def _check(count: int, tensors: int, splits: int) -> None:
    if count < LEAST_REPLICAS:
        raise SymbreakError(
            f"distances of replicas need at least {LEAST_REPLICAS} sets of weights, found {count}: give more replicas"
        )
    if splits < 2:
        raise SymbreakError(f"'splits' must be at least 2 for an error of the floor, found {splits}: leave it at 8")
    if (size := 8 * tensors * count**2) > MOST_BYTES:
        raise SymbreakError(
            f"distances of {count} replicas in {tensors} tensors take {size} bytes, above {MOST_BYTES}: give fewer"
        )


def _add(report: Report, name: str, distances: Array, *more: str) -> None:
    """Add all distances, which are exact, and their mean over pairs."""
    report.add(name, distances, unit="weight", axes=(*more, *PAIR))
    mean, without = pair_means(distances)
    report.add(f"mean_{name}", mean, unit="weight", axes=more, error=jackknife(without))


def _add_matched(report: Report, network: Network, p: float) -> None:
    found = layers(network)
    if found is None:
        report.warn(
            "neurons were not matched: the network is not made of fully connected layers and elementwise functions "
            "alone (a stack, or nn.Sequential of nn.Linear and activations)"
        )
        return
    if len(found.weights) > 2:
        report.warn(
            "with more than one hidden layer the matching is a local minimum: matched_distance is an upper bound"
        )
    _add(report, "matched_distance", matched(found, p))

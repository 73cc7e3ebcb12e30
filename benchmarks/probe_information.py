"""Information of five layers: symbreak's probe against plain numpy and scipy, and against what cannot be saved (B5).

    python -m benchmarks.probes information [--json FILE] [--cores 0] [--rounds 7]

A tanh MLP 784-1024-20-20-20-10-10 on the first 10,000 MNIST training images; its weights are those of initialisation
times ``GAIN``, which brings most neurons near -1 or 1, as training does, so that samples share bins. The activations of
its five hidden layers lie in memory. I(X;T) and I(T;Y) in 30 bins of [-1, 1]:

* ``symbreak``: ``binned_information``, its errors included;
* ``unique``: numpy, ``np.unique(axis=0)`` of the bins and ``np.unique`` of the pairs with the labels;
* ``void``: the same with a row's bytes as one item, as ``get_unique_probs`` of ``artemyk/ibsgd`` does it (it is in no
  package; written out here), once for all samples and once for those of every label.

The kernel bounds for three noise variances, errors included, against

* ``scipy``: ``cdist`` and ``logsumexp`` on all of an N x N matrix, on the first 1,000 samples only and not scaled up
  (at 10,000 one matrix has 0.8 GB);
* the exp floor: a single-precision exponential a pair of samples, layer and variance (both bounds can be had from
  one), computed in one call for all pairs of a layer (``exponentials``, the floor of performance.md), or with results
  that stay in the cache (``cached``), where the same processor is ten times as fast;
* ``distances``: the products of float64 matrices for all pairs of samples, which no implementation is spared either.

No package on PyPI has these bounds or this binning. The whole takes about two minutes.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from torch import Tensor

from benchmarks.data import load
from benchmarks.harness import Bench, parser, run
from symbreak.config.models import MlpSpec
from symbreak.errors import SymbreakError
from symbreak.models.mlp import build
from symbreak.probes.information_binning import binned_information
from symbreak.probes.information_bounds import TILE, arrange, kernel_bounds
from symbreak.probes.information_layers import hidden_layers
from symbreak.probes.network import of_model

SAMPLES = 10_000
SAMPLES_SCIPY = 1_000
HIDDEN = (1024, 20, 20, 20, 10)
BINS = 30
VARIANCES = (1e-3, 1e-2, 1e-1)
GAIN = 20.0
SEED = 0
BINNING_AGREES = 1e-10  # bits (issue 4)
BOUNDS_AGREE = 1e-6  # bits (performance.md, B5)
LEAST_BINNING = 3.0  # times plain numpy (issue 4; goal 5)
MOST_BOUNDS = 3.0  # times the floor (issue 4)

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
Values = list[tuple[float, float]]  # I(X;T) and I(T;Y), a layer


def layers(images: NDArray[np.uint8]) -> list[Tensor]:
    """Return the activations of the hidden layers, each ``[N, width]``, for images ``[N, C, H, W]``."""
    shape = (int(images.shape[1]), int(images.shape[2]), int(images.shape[3]))
    model = build(MlpSpec(family="mlp", hidden=HIDDEN, activation="tanh"), shape, 10, torch.float32)
    network = of_model(model, {name: GAIN * value[None] for name, value in model.init(SEED).items()})
    x = torch.from_numpy(images).float().div_(255).sub_(0.1307).div_(0.3081)
    return hidden_layers(network, x).activations(0)


def binned(every: Sequence[Tensor], labels: Ids) -> Values:
    """Bin all layers with symbreak."""
    found = [binned_information(t, labels, bins=BINS, low=-1, high=1, seed=SEED) for t in every]
    return [(ixt.value, ity.value) for ixt, ity in found]


def binned_unique(every: Sequence[Tensor], labels: Ids) -> Values:
    """Bin all layers with ``np.unique(axis=0)``."""
    found = []
    for t in every:
        _, cells, counts = np.unique(_bins(t), axis=0, return_inverse=True, return_counts=True)
        _, joint = np.unique(np.stack([cells.ravel(), labels], axis=1), axis=0, return_counts=True)
        h = _entropy(counts)
        found.append((h, h + _entropy(np.bincount(labels)) - _entropy(joint)))
    return found


def binned_void(every: Sequence[Tensor], labels: Ids) -> Values:
    """Bin all layers as ``bin_calc_information2`` of ibsgd does."""
    found = []
    for t in every:
        bins = np.ascontiguousarray(_bins(t))
        rows = bins.view(np.dtype((np.void, bins.itemsize * bins.shape[1]))).ravel()
        h = _entropy(np.unique(rows, return_counts=True)[1])
        given = [_entropy(np.unique(rows[labels == y], return_counts=True)[1]) for y in range(labels.max() + 1)]
        found.append((h, h - float(np.bincount(labels) / len(labels) @ given)))
    return found


def _bins(t: Tensor) -> Ids:
    bins: Ids = np.minimum(np.floor((t.numpy().astype(np.float64) + 1) * (BINS / 2)), BINS - 1).astype(np.int64)
    return bins


def _entropy(counts: NDArray[np.int64]) -> float:
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log2(p)).sum())


def bounded(every: Sequence[Tensor], labels: Ids) -> list[Floats]:
    """Return symbreak's bounds on I(X;T) and estimates of I(T;Y) of every layer, ``[3, V]``."""
    arrangement = arrange(labels, SEED)
    found = (kernel_bounds(t, arrangement, VARIANCES).combined() for t in every)
    return [np.array([bounds[name][0] for name in ("ixt_upper", "ixt_lower", "ity_kl")]) for bounds in found]


def bounded_scipy(every: Sequence[Tensor], labels: Ids) -> list[Floats]:
    """Return the same by scipy, every matrix as a whole."""
    found = []
    for t in every:
        h = t.numpy().astype(np.float64)
        parts = [h[labels == y] for y in range(labels.max() + 1)]
        rows = []
        for v in VARIANCES:
            upper, lower = (_mixture(h, factor * v) for factor in (2, 8))
            within = sum(len(part) / len(h) * _mixture(part, 2 * v) for part in parts if len(part))
            rows.append((upper, lower, upper - within))
        found.append(np.array(rows).T)
    return found


def _mixture(h: Floats, scale: float) -> float:
    logs = logsumexp(-cdist(h, h, "sqeuclidean") / scale, axis=1) - math.log(len(h))
    return float(-logs.mean() / math.log(2))


def exponentials(pairs: int, tile: int) -> None:
    """Compute a float32 exponential a pair, layer and variance, ``tile`` of them a call, or all in new memory."""
    arguments = torch.linspace(-10, 0, tile)
    out = torch.empty_like(arguments) if tile < pairs else None
    for _ in range(len(HIDDEN) * len(VARIANCES) * math.ceil(pairs / tile)):
        torch.exp(arguments, out=out)


def distances(every: Sequence[Tensor]) -> None:
    """Compute the inner products of all pairs of samples in float64, tile by tile."""
    for t in every:
        h = t.double().contiguous()
        for top in range(0, len(h), TILE):
            for side in range(top, len(h), TILE):
                torch.mm(h[top : top + TILE], h[side : side + TILE].T)


def assert_equal(every: Sequence[Tensor], labels: Ids) -> dict[str, float]:
    """Return the largest differences in bits of what the contenders find.

    Raises:
        SymbreakError: If they are larger than they may be.
    """
    ours = np.array(binned(every, labels))
    plain = (np.array(work(every, labels)) for work in (binned_unique, binned_void))
    first, few = [t[:SAMPLES_SCIPY] for t in every], labels[:SAMPLES_SCIPY]
    expected = np.array(bounded_scipy(first, few))
    found = {
        "binning": max(float(np.abs(ours - other).max()) for other in plain),
        "bounds": float(np.abs(np.array(bounded(first, few)) - expected).max()),
    }
    for name, most in (("binning", BINNING_AGREES), ("bounds", BOUNDS_AGREE)):
        if not found[name] <= most:
            raise SymbreakError(
                f"{name} of the contenders differs by {found[name]:.1e} bit, expected at most {most:g}; nothing timed"
            )
    return found


def body(bench: Bench) -> None:
    """Check that all find the same, time them, and compare."""
    found, source = load("mnist")
    every, labels = layers(found.train_images[:SAMPLES]), found.train_labels[:SAMPLES].astype(np.int64)
    say("whether all find the same, about 10 s")
    equality = assert_equal(every, labels)
    ways: dict[str, Callable[[Sequence[Tensor], Ids], object]]
    ways = {"symbreak": binned, "unique": binned_unique, "void": binned_void}
    say(f"binning, {bench.count} rounds of 1 s")
    times = bench.rounds("binning", {n: lambda w=work: w(every, labels) for n, work in ways.items()})  # type: ignore[misc]
    plain = min(times[name].median for name in ("unique", "void"))
    bench.number("plain_over_symbreak_binning", plain / times["symbreak"].median, at_least=LEAST_BINNING)
    _bounds(bench, every, labels)
    bench.note(data=source, samples=len(labels), equality=equality, pypi_peers="none has these quantities")


def _bounds(bench: Bench, every: Sequence[Tensor], labels: Ids) -> None:
    first, few, pairs = [t[:SAMPLES_SCIPY] for t in every], labels[:SAMPLES_SCIPY], len(labels) ** 2 // 2
    say(f"kernel bounds, {bench.count} rounds of 7 s")
    times = bench.rounds(
        "kernel bounds",
        {
            "symbreak": lambda: bounded(every, labels),
            "exponentials": lambda: exponentials(pairs, pairs),
            "cached": lambda: exponentials(pairs, TILE**2),
            "distances": lambda: distances(every),
            f"symbreak, {len(few)} samples": lambda: bounded(first, few),
        },
    )
    say(f"scipy's, {bench.count} rounds of 6 s")
    slow = bench.rounds(f"kernel bounds of {len(few)} samples", {"scipy": lambda: bounded_scipy(first, few)})
    ours, inevitable = times["symbreak"].median, times["distances"].median
    bench.number("bounds_over_exp_floor", ours / times["exponentials"].median, at_most=MOST_BOUNDS)
    bench.number(
        "bounds_over_cached_exp_and_distances", ours / (times["cached"].median + inevitable), at_most=MOST_BOUNDS
    )
    bench.number("bounds_over_cached_exp", ours / times["cached"].median)
    bench.number("scipy_over_symbreak_bounds", slow["scipy"].median / times[f"symbreak, {len(few)} samples"].median)


def say(what: str) -> None:
    """Print what is under way."""
    print(f"{what} ...", flush=True)


if __name__ == "__main__":
    run("probe_information", body, parser(__doc__).parse_args())

"""Spectral densities of Hessians: the exact one of an MLP 196-10-10, and quadrature for 784-32-10 (B3).

    python -m benchmarks.probes spectrum [--json FILE] [--cores 0] [--rounds 7] [--exact FILE.npy] [--quick]

2,000 MNIST images. The exact spectrum of P = 2,080 is timed as a whole and checked against one assembled vector by
vector from plain autograd products. At P = 25,450 every contender runs 10 probes of 100 steps and is compared by the
Wasserstein-1 distance to the exact spectrum in float64, many minutes of work and 12 GB of memory, kept in ``--exact``
if it is given. ``--quick`` does the same at P = 2,080 with 40 steps. Peers count as finely as they give it: nodes where
they return them, else their smoothed grid.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from scipy.stats import wasserstein_distance

from benchmarks.harness import Bench, parser, run
from benchmarks.hessian_nets import Trained, trained
from benchmarks.hessian_peers import Array, Measure, densities, peers, product
from symbreak.errors import SymbreakError
from symbreak.probes import hessian
from symbreak.training.device import prepare

PROBES, STEPS, QUICK_STEPS = 10, 100, 40
MOST_SECONDS = 5.0  # of the exact spectrum (issue 4)
EQUAL = 1e-5  # of the largest eigenvalue: the plain products are in float64 on the same float32 weights


def exact(found: Trained) -> Array:
    """Return every eigenvalue."""
    values: Array = hessian.density(found.network, found.data, seed=0, k=1, spectrum="exact").exact[0]
    return values


def plain_exact(found: Trained) -> Array:
    """Return the same from the dense Hessian that products with unit vectors give, one by one."""
    module = found.module().double()
    x, y = found.flat()
    apply, n = product(module, x.double(), y), sum(p.numel() for p in module.parameters())
    values: Array = np.linalg.eigvalsh(np.stack([apply(row) for row in np.eye(n)]))
    return values


def quadrature(found: Trained, steps: int) -> Measure:
    """Return places and weights of symbreak's density."""
    density = hessian.density(found.network, found.data, seed=0, probes=PROBES, steps=steps)
    share = density.rest / PROBES * density.weights[0].ravel()
    places = np.concatenate([density.exact[0], density.nodes[0].ravel()])
    return places, np.concatenate([np.ones(density.exact.shape[1]), share])


def distance(measure: Measure, truth: Array) -> float:
    """Return the Wasserstein-1 distance of a density to the exact spectrum; weights need not sum to 1."""
    places, weights = measure
    return float(wasserstein_distance(places, truth, np.clip(weights, 0, None)))


def kept(path: Path | None, found: Trained) -> Array:
    """Return the exact spectrum, from a file if it is there."""
    if path is not None and path.is_file():
        loaded: Array = np.load(path)
        return loaded
    truth = exact(found)
    if path is not None:
        np.save(path, truth)
    return truth


def body(bench: Bench, path: Path | None, quick: bool) -> None:
    """Time the exact spectrum, then compare quadratures."""
    prepare("cpu", bench.place.threads)
    small = trained(14, 10, 1)
    truth, expected = exact(small), plain_exact(small)
    if np.max(np.abs(truth - expected)) > EQUAL * expected[-1]:
        raise SymbreakError("the exact spectra of symbreak and plain autograd differ; nothing was timed, mend it")
    times = bench.rounds("exact spectrum", {"symbreak": partial(exact, small)})
    bench.number("exact_seconds", times["symbreak"].median, at_most=MOST_SECONDS)
    found, steps = (small, QUICK_STEPS) if quick else (trained(28, 32, 1), STEPS)
    truth = truth if quick else kept(path, found)
    works: dict[str, Callable[[], Measure]] = {"symbreak": partial(quadrature, found, steps)}
    works |= densities(found.module(), *found.flat(), PROBES, steps)
    distances = {name: distance(work(), truth) for name, work in works.items()}
    times = bench.rounds("quadrature", works)
    others = [name for name in works if name != "symbreak"]
    if others:
        seconds = times["symbreak"].median
        bench.number("nearest_over_symbreak", min(distances[n] for n in others) / distances["symbreak"], at_least=1)
        bench.number("fastest_over_symbreak", min(times[n].median for n in others) / seconds, at_least=1)
    bench.note(distances=distances, parameters=len(truth), steps=steps, probes=PROBES, peers=peers(), data=small.source)


def _arguments() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--exact", type=Path, metavar="FILE.npy", help="where the large exact spectrum is kept")
    made.add_argument("--quick", action="store_true", help="compare quadratures at P = 2,080")
    return made.parse_args()


if __name__ == "__main__":
    args = _arguments()
    run("probe_spectrum", partial(body, path=args.exact, quick=args.quick), args)

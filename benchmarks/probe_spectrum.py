"""Spectral densities of Hessians: the exact one of an MLP 196-10-10, and quadrature for 784-32-10 (B3).

    python -m benchmarks.probes spectrum [--json FILE] [--cores 0] [--rounds 7] [--exact FILE.npy] [--quick]

2,000 MNIST images. The exact spectrum of P = 2,080 is timed as a whole and checked against one assembled vector by
vector from plain autograd products. At P = 25,450 every contender runs 10 probes of 100 steps and is compared by the
Wasserstein-1 distance to the exact spectrum in float64. That takes many minutes and 12 GB of memory and is not timed:
``--exact FILE.npy`` makes it if there is no such file, and else takes it from there, if its largest eigenvalues are
those that ARPACK finds for this network. The rest takes about three minutes: these contenders take 4 to 16 s each, and
so run ``QUADRATURE_ROUNDS`` times, after once untimed, whose densities are compared. ``--quick`` does the same at
P = 2,080 with 40 steps. Peers count as finely as they give it: nodes where they return them, else their smoothed grid.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from scipy.stats import wasserstein_distance

from benchmarks.harness import Bench, parser, run
from benchmarks.hessian_nets import Trained, trained
from benchmarks.hessian_peers import Array, Measure, densities, largest, peers, product
from symbreak.errors import SymbreakError
from symbreak.files import atomic
from symbreak.probes import hessian
from symbreak.training.device import prepare

PROBES, STEPS, QUICK_STEPS = 10, 100, 40
QUADRATURE_ROUNDS = 3  # at most, of contenders that take seconds
CHECKED = 5  # largest eigenvalues of a spectrum from a file
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
    """Return the exact spectrum, from a file if it is there.

    Raises:
        SymbreakError: If the file has that of another network.
    """
    if path is not None and path.is_file():
        loaded: Array = np.load(path)
        check(loaded, found, path)
        return loaded
    say("the exact spectrum: many minutes" + ("" if path is None else f", for {path}"))
    truth = exact(found)
    if path is not None:
        with atomic(path) as temporary, temporary.open("wb") as file:
            np.save(file, truth)
    return truth


def check(spectrum: Array, found: Trained, path: Path) -> None:
    """Raise a SymbreakError unless a spectrum has the size and the largest eigenvalues of a network's Hessian."""
    module = found.module().double()
    x, y = found.flat()
    size = sum(p.numel() for p in module.parameters())
    expected = np.sort(largest(product(module, x.double(), y), size, CHECKED, EQUAL / 10))
    top = np.sort(spectrum.ravel())[-CHECKED:]
    if spectrum.shape != (size,) or not np.abs(top - expected).max() <= EQUAL * expected[-1]:
        raise SymbreakError(
            f"{path} holds {spectrum.size} eigenvalues with {top} at the top, expected the {size} of this network with "
            f"{expected}; name another file with --exact, which is then made"
        )


def say(what: str) -> None:
    """Print what is under way."""
    print(f"{what} ...", flush=True)


def body(bench: Bench, path: Path | None, quick: bool) -> None:
    """Time the exact spectrum, then compare quadratures."""
    prepare("cpu", bench.place.threads)
    say("the exact spectrum of P = 2,080, checked against plain products")
    small = trained(14, 10, 1)
    truth, expected = exact(small), plain_exact(small)
    if np.max(np.abs(truth - expected)) > EQUAL * expected[-1]:
        raise SymbreakError("the exact spectra of symbreak and plain autograd differ; nothing was timed, mend it")
    say(f"its time, {bench.count} rounds")
    times = bench.rounds("exact spectrum", {"symbreak": partial(exact, small)})
    bench.number("exact_seconds", times["symbreak"].median, at_most=MOST_SECONDS)
    found, steps = (small, QUICK_STEPS) if quick else (trained(28, 32, 1), STEPS)
    truth = truth if quick else kept(path, found)
    ways: dict[str, Callable[[], Measure]] = {"symbreak": partial(quadrature, found, steps)}
    ways |= densities(found.module(), *found.flat(), PROBES, steps)
    first: dict[str, Measure] = {}
    works = {name: partial(keep, first, name, work) for name, work in ways.items()}
    bench.count = min(bench.count, QUADRATURE_ROUNDS)
    say(f"quadrature by {', '.join(works)}, {bench.count} rounds")
    times = bench.rounds("quadrature", works)
    distances = {name: distance(measure, truth) for name, measure in first.items()}
    others = [name for name in works if name != "symbreak"]
    if others:
        seconds = times["symbreak"].median
        bench.number("nearest_over_symbreak", min(distances[n] for n in others) / distances["symbreak"], at_least=1)
        bench.number("fastest_over_symbreak", min(times[n].median for n in others) / seconds, at_least=1)
    bench.note(distances=distances, parameters=len(truth), steps=steps, probes=PROBES, peers=peers(), data=small.source)


def keep(first: dict[str, Measure], name: str, work: Callable[[], Measure]) -> None:
    """Do the work and keep what it found the first time, which is not timed."""
    started = time.perf_counter()
    found = work()
    print(f"  {name}: {time.perf_counter() - started:.1f} s", flush=True)
    first.setdefault(name, found)


def _arguments() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--exact", type=Path, metavar="FILE.npy", help="where the large exact spectrum is kept")
    made.add_argument("--quick", action="store_true", help="compare quadratures at P = 2,080")
    return made.parse_args()


if __name__ == "__main__":
    args = _arguments()
    run("probe_spectrum", partial(body, path=args.exact, quick=args.quick), args)

"""B4: all Wasserstein distances of an ensemble, with one sort a replica, against scipy's and POT's one pair at a time.

    python -m benchmarks.probes replica [--json FILE] [--cores 0] [--rounds 7] [--pairs 12]

W_1 of all 19,900 pairs of 200 replicas of 7,960 weights (an MLP 784-10-10; Gaussian weights of different widths, since
no contender's time depends on more than their number), float64:

* ``symbreak``: ``symbreak.probes.replica_distance.wasserstein``, all pairs;
* ``scipy``: ``scipy.stats.wasserstein_distance``, a sample of ``--pairs`` pairs, scaled to all of them;
* ``pot``: ``ot.wasserstein_1d`` on the same sample, scaled alike, if POT is installed.

Peers sort both replicas anew for every pair, so that their time is proportional to the number of pairs.
"""

import importlib
import importlib.util
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

from benchmarks.harness import Bench, parser, run
from symbreak.errors import SymbreakError
from symbreak.probes.replica_distance import wasserstein

REPLICAS, WEIGHTS = 200, 7960  # performance.md, section 2, B4
SEED = 0  # of weights and sampled pairs
TOLERANCE = 1e-6  # absolute (issue 4)
LEAST_RATIOS = {"scipy": 100.0, "pot": 25.0}  # issue 4
MOST_SECONDS = 0.5  # performance.md, section 2, B4

Array = NDArray[np.float64]
Pairs = list[tuple[int, int]]
Peer = Callable[[Array, Array], float]


def weights() -> Array:
    """Return the replicas ``[200, 7960]``, each with its own mean and width."""
    generator = np.random.default_rng(SEED)
    widths, means = generator.uniform(0.5, 1.5, (REPLICAS, 1)), 0.1 * generator.standard_normal((REPLICAS, 1))
    return means + widths * generator.standard_normal((REPLICAS, WEIGHTS))


def sample(count: int) -> Pairs:
    """Return ``count`` of all pairs, drawn without replacement."""
    pairs = list(combinations(range(REPLICAS), 2))
    chosen = np.random.default_rng(SEED).choice(len(pairs), count, replace=False)
    return [pairs[number] for number in chosen]


def peers() -> dict[str, Peer]:
    """Return each importable peer's distance of one pair; scipy is always there."""
    found: dict[str, Peer] = {"scipy": wasserstein_distance}
    if importlib.util.find_spec("ot") is not None:
        pot: Any = importlib.import_module("ot")
        found["pot"] = lambda a, b: float(pot.wasserstein_1d(a, b, p=1))
    return found


def loop(peer: Peer, values: Array, pairs: Pairs) -> list[float]:
    """Return a peer's distances of some pairs."""
    return [peer(values[r], values[s]) for r, s in pairs]


def assert_equal(values: Array, pairs: Pairs, found: dict[str, Peer]) -> None:
    """Refuse peers whose distances are not ours.

    Raises:
        SymbreakError: If one differs by more than 1e-6.
    """
    ours = wasserstein(values)[tuple(np.transpose(pairs))]
    for name, peer in found.items():
        worst = float(np.abs(ours - loop(peer, values, pairs)).max())
        if not worst <= TOLERANCE:
            raise SymbreakError(f"'{name}' differs by {worst:.1e}, above {TOLERANCE:g}; nothing was timed, mend it")


def body(bench: Bench, count: int) -> None:
    """Check that all agree, time them, and compare."""
    values, pairs, found = weights(), sample(count), peers()
    assert_equal(values, pairs, found)
    ours = bench.rounds("all pairs", {"symbreak": partial(wasserstein, values)})["symbreak"].median
    loops = {name: partial(loop, peer, values, pairs) for name, peer in found.items()}
    times = bench.rounds(f"{count} pairs", loops)
    everything = REPLICAS * (REPLICAS - 1) // 2
    bench.number("seconds", ours, at_most=MOST_SECONDS)
    for name, time in times.items():
        scaled = time.median * everything / count
        bench.number(f"{name}_seconds_scaled", scaled)
        bench.number(f"{name}_over_symbreak", scaled / ours, at_least=LEAST_RATIOS[name])
    bench.note(
        pairs=everything,
        scaling=f"peers were timed on {count} of the {everything} pairs and scaled by their number",
        versions={name: version({"pot": "POT"}.get(name, name)) for name in found},
        equality=f"distances of these {count} pairs within {TOLERANCE:g}",
    )


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--pairs", type=int, default=12, help="pairs that peers are timed on (default: 12)")
    args = arguments.parse_args()
    run("probe_replica", partial(body, count=args.pairs), args)

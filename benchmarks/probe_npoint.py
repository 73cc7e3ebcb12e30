"""Correlators of networks at initialisation: blocks of nets that are never stored against one module a network.

    python -m benchmarks.probes npoint [--json FILE] [--cores 0] [--rounds 7]

Gauss-nets with d = 1, one output and sigma_b = sigma_w = 1 at six inputs, widths 10, 100 and 1000:

* ``symbreak``: ``npoint_sampling.sample``, drawing, evaluating and summing all products of orders 2, 4 and 6;
* ``plain``: the algorithm of nn-qft (keeganstoner, not on PyPI) written out leanly: an ``nn.Module`` a network,
  initialised, evaluated without a graph and stacked; its products are not counted, which favours it.

and the 6-point function of 20,000 stored outputs: ``symbreak`` as the probe computes it, ``plain`` as one product of
six columns and its mean an element. Times are a net's, from ``NETS`` nets of symbreak and ``PLAIN_NETS`` of the loop,
which is linear in the number of nets. Before anything is timed the same weights are fed to both (1e-5), and both
6-point functions compared (1e-10).
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.harness import Bench, parser, run
from symbreak.errors import SymbreakError
from symbreak.probes.npoint_moments import product_sums
from symbreak.probes.npoint_sampling import Ensemble, outputs, sample, weights
from symbreak.theory.wick import multisets

Array = NDArray[np.float64]
X = 0.01 * np.array([[-1.0], [-0.6], [-0.2], [0.2], [0.6], [1.0]])  # the authors' inputs of Gauss-nets
NETS = {10: 400_000, 100: 100_000, 1000: 20_000}
PLAIN_NETS = 300
STORED = 20_000
COMPARED = 20
LEAST = {10: 500.0, 100: 50.0, 1000: 10.0}  # issue 4
MOST_SECONDS = 0.2  # issue 4
WEIGHTS_TOLERANCE = 1e-5
SIX_TOLERANCE = 1e-10


class GaussNet(nn.Module):
    """One Gauss-net, written the obvious way."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(1, width), nn.Linear(width, 1)
        nn.init.normal_(self.first.weight, 0, 1)
        nn.init.normal_(self.first.bias, 0, 1)
        nn.init.normal_(self.last.weight, 0, 1 / math.sqrt(width))
        nn.init.normal_(self.last.bias, 0, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs [P, 1] at points [P, 1]."""
        norm = torch.exp(2 * (1 + x.square().sum(dim=1, keepdim=True))).sqrt()
        found: Tensor = self.last(torch.exp(self.first(x)) / norm)
        return found


@torch.no_grad()
def loop(width: int, nets: int) -> Tensor:
    """Return the outputs of as many new modules, ``[nets, P]``."""
    x = torch.from_numpy(X).float()
    return torch.stack([GaussNet(width)(x)[:, 0] for _ in range(nets)])


def plain_six(field: Array) -> Array:
    """Return the 6-point function ``[462]`` of ``[M, P]``, element by element."""
    return np.array([field[:, list(chosen)].prod(axis=1).mean() for chosen in multisets(field.shape[1], 6)])


def six(field: Array) -> Array:
    """Return the same by symbreak."""
    found: Array = product_sums(field, [6])[6] / len(field)
    return found


@torch.no_grad()
def assert_equal(width: int, count: int) -> float:
    """Return the largest difference of outputs of the same nets, relative to a net's largest output.

    Raises:
        SymbreakError: If it is above ``WEIGHTS_TOLERANCE``.
    """
    ensemble = Ensemble("gauss", width)
    ours = np.concatenate([f[:, 0] for f, _ in outputs(ensemble, X, 0, count)])
    theirs = np.stack([_module(ensemble, number)(torch.from_numpy(X))[:, 0].numpy() for number in range(count)])
    worst = float((np.abs(ours - theirs) / np.abs(theirs).max(axis=1, keepdims=True)).max())
    if not worst <= WEIGHTS_TOLERANCE:
        raise SymbreakError(
            f"outputs of the same nets of width {width} differ by {worst:.2g}; nothing was timed, mend it"
        )
    return worst


def _module(ensemble: Ensemble, number: int) -> GaussNet:
    net, module = weights(ensemble, X, number), GaussNet(ensemble.width).double()
    values = {"first.weight": net.w0, "first.bias": net.b0, "last.weight": net.w1, "last.bias": net.b1}
    module.load_state_dict({name: torch.from_numpy(value) for name, value in values.items()})
    return module


def body(bench: Bench) -> None:
    """Check that both give the same, time them, and compare."""
    torch.set_num_threads(bench.place.threads)
    worst = {width: assert_equal(width, COMPARED) for width in NETS}
    field = np.concatenate([f[:, 0] for f, _ in outputs(Ensemble("erf", 10), X, 0, STORED)])
    if not np.allclose(six(field), plain_six(field), rtol=SIX_TOLERANCE, atol=0):
        raise SymbreakError("the 6-point functions differ; nothing was timed, mend it")
    for width, nets in NETS.items():
        ensemble = Ensemble("gauss", width)
        times = bench.rounds(
            f"width {width}: {nets} nets by symbreak, {PLAIN_NETS} by the loop",
            {
                "symbreak": lambda ensemble=ensemble, nets=nets: sample(ensemble, X, nets),  # type: ignore[misc]
                "plain": lambda width=width: loop(width, PLAIN_NETS),  # type: ignore[misc]
            },
        )
        ours, theirs = times["symbreak"].median / nets, times["plain"].median / PLAIN_NETS
        bench.number(f"microseconds_per_net_{width}", 1e6 * ours)
        bench.number(f"plain_over_symbreak_{width}", theirs / ours, at_least=LEAST[width])
    contenders = {"symbreak": lambda: six(field), "plain": lambda: plain_six(field)}
    times = bench.rounds(f"6-point function of {STORED} nets", contenders)
    bench.number("six_point_seconds", times["symbreak"].median, at_most=MOST_SECONDS)
    bench.number("six_point_plain_over_symbreak", times["plain"].median / times["symbreak"].median)
    bench.note(
        points=len(X),
        equality=f"same nets to {max(worst.values()):.1e}, 6-point functions to {SIX_TOLERANCE:g}",
        scaled=f"the loop's time a net is that of {PLAIN_NETS} nets",
    )


if __name__ == "__main__":
    run("probe_npoint", body, parser(__doc__).parse_args())

"""What the loss along a line between two sets of weights costs: symbreak's probe against direct evaluation (B8).

    python -m benchmarks.probes landscape [--json FILE] [--cores 0] [--rounds 7]

An MLP 784-100-10 (tanh) before and after an epoch of training, cross entropy and accuracy at 51 points, both ends
included, on 10,000 standardised MNIST images, float32.

* ``symbreak``: ``symbreak.probes.landscape.line``, which keeps every sample's loss and hit;
* ``probe``: ``measure``, with barriers, convexity and all errors;
* ``plain``: at each point the mixed weights in an ``nn.Sequential`` and one pass of the whole set;
* ``loss_landscapes``: ``linear_interpolation`` of the package of this name, if it is installed. It gives the loss only,
  and not at the first point, so that it is asked for 50 steps.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.data import load
from benchmarks.harness import Bench, parser, run
from symbreak.config.models import MlpSpec
from symbreak.config.specs import DataSpec
from symbreak.data import training_set
from symbreak.data.tensors import to_input
from symbreak.errors import SymbreakError
from symbreak.models.mlp import build
from symbreak.probes.landscape import alphas, line, measure
from symbreak.probes.network import Data, Network, of_model
from symbreak.training import losses
from symbreak.training.device import prepare

IMAGES, WIDTH, CLASSES, POINTS = 10_000, 100, 10, 51
SEED, BATCH, RATE = 0, 128, 0.1  # of the weights and their training
CLOSE = 1e-5  # of the losses, which are of order one (performance.md, section 2)
HITS = 2 / IMAGES  # samples whose two largest outputs are as close as rounding may fall on either side
LEAST = 4.0  # times direct evaluation (issue 4)
PEERS = {"loss_landscapes": "loss-landscapes"}  # contender and module -> package

Array = NDArray[np.float64]
Contender = Callable[[], tuple[Array, Array | None]]  # losses and accuracies at the last points of the grid


def peers() -> list[str]:
    """Return the packages to compare with that are installed."""
    return [name for name in PEERS if find_spec(name) is not None]


def contenders(network: Network, data: Data) -> dict[str, Contender]:
    """Return everyone's work on a network with two sets of weights."""
    grid = alphas(POINTS)

    def ours() -> tuple[Array, Array]:
        curve = line(network, data, losses.cross_entropy, grid)
        return curve.losses.mean(1), curve.hits.mean(1)

    def probe() -> tuple[Array, Array]:
        found = measure(network, data, seed=SEED, points=POINTS).results
        return found["loss"].value, found["accuracy"].value

    found: dict[str, Contender] = {"symbreak": ours, "probe": probe, "plain": lambda: plain(network, data, grid)}
    return found | {name: lambda: (by_loss_landscapes(network, data), None) for name in peers()}


@torch.no_grad()
def plain(network: Network, data: Data, grid: Array) -> tuple[Array, Array]:
    """Evaluate point after point, as anyone would."""
    net, ends = sequential(network, 0), [network.one(0), network.one(1)]
    found = []
    for alpha in grid.tolist():
        for parameter, start, end in zip(net.parameters(), ends[0].values(), ends[1].values(), strict=True):
            parameter.copy_((1 - alpha) * start + alpha * end)
        outputs = net(data.x)
        hits = (outputs.argmax(1) == data.y).float().mean()
        found.append((cross_entropy(outputs, data.y).item(), hits.item()))
    values = np.array(found)
    return values[:, 0], values[:, 1]


def by_loss_landscapes(network: Network, data: Data) -> Array:
    """Evaluate all points but the first by the package's own function, which changes the models that it is given."""
    package, metrics = import_module("loss_landscapes"), import_module("loss_landscapes.metrics")
    start, end = sequential(network, 0), sequential(network, 1)
    metric = metrics.Loss(nn.CrossEntropyLoss(), data.x, data.y)
    with torch.no_grad():
        found: Array = np.asarray(package.linear_interpolation(start, end, metric, steps=POINTS - 1), dtype=np.float64)
    return found


def sequential(network: Network, r: int) -> nn.Sequential:
    """Return set ``r`` as the module that anyone would write."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, WIDTH), nn.Tanh(), nn.Linear(WIDTH, CLASSES))
    names = {"1": "layers.0", "3": "layers.1"}
    stored = network.one(r)
    net.load_state_dict({f"{at}.{kind}": stored[f"{name}.{kind}"] for at, name in names.items() for kind in KINDS})
    return net


KINDS = ("weight", "bias")


def assert_equal(found: dict[str, tuple[Array, Array | None]]) -> float:
    """Return the largest difference of a loss from the plain one.

    Raises:
        SymbreakError: If a loss differs by more than ``CLOSE``, or an accuracy by more than ``HITS``.
    """
    expected, hits = found["plain"]
    worst = 0.0
    for name, (values, shares) in found.items():
        worst = max(worst, float(np.abs(values - expected[-len(values) :]).max()))
        apart = 0.0 if shares is None or hits is None else float(np.abs(shares - hits).max())
        if not worst <= CLOSE or not apart <= HITS:
            raise SymbreakError(f"'{name}' differs by {worst:.1e} (loss), {apart:.1e} (accuracy); nothing was timed")
    return worst


def work(threads: int) -> tuple[Network, Data, str]:
    """Return a network before and after an epoch, images with labels, and where these are from."""
    stored, source = load("mnist")
    prepare("cpu", threads)
    made = training_set.build(DataSpec(set="mnist"), stored, [SEED])
    x = to_input(torch.from_numpy(made.train_images[0][:IMAGES]), made.spec, made.statistics)
    data = Data(x, torch.from_numpy(made.train_labels[0][:IMAGES]).to(torch.int64))
    model = build(MlpSpec(family="mlp", hidden=(WIDTH,), activation="tanh"), (1, 28, 28), CLASSES, torch.float32)
    start = model.init(SEED)
    network = of_model(model, {name: torch.stack([value, value]) for name, value in start.items()})
    end = trained(sequential(network, 0), data)
    return of_model(model, {name: torch.stack([start[name], end[name]]) for name in start}), data, source


def trained(net: nn.Sequential, data: Data) -> dict[str, Tensor]:
    """Return the weights, by symbreak's names, after an epoch of plain SGD in the data's own order."""
    optimiser = torch.optim.SGD(net.parameters(), lr=RATE)
    for x, y in zip(data.x.split(BATCH), data.y.split(BATCH), strict=True):
        optimiser.zero_grad()
        cross_entropy(net(x), y).backward()
        optimiser.step()
    return {
        f"layers.{layer}.{kind}": net.state_dict()[f"{at}.{kind}"] for layer, at in ((0, 1), (1, 3)) for kind in KINDS
    }


def body(bench: Bench) -> None:
    """Check that all find the same curve, time them, and compare."""
    network, data, source = work(bench.place.threads)
    found = contenders(network, data)
    worst = assert_equal({name: contender() for name, contender in found.items()})
    times = bench.rounds(f"{POINTS} points at {IMAGES} images", found)
    for name in ("plain", *peers()):
        ratio = times[name].median / times["symbreak"].median
        bench.number(f"{name}_over_symbreak", ratio, at_least=LEAST if name == "plain" else None)
        bench.number(f"{name}_over_probe", times[name].median / times["probe"].median)
    packages = {package: version(package) for name, package in PEERS.items() if name in peers()}
    bench.note(data=source, points=POINTS, images=IMAGES, largest_difference=worst, peers=packages)


if __name__ == "__main__":
    run("probe_landscape", body, parser(__doc__).parse_args())

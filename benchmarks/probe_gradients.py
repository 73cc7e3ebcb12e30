"""What mean and variance of every single weight's gradient cost: symbreak's against vmap(grad) and BackPACK.

    python -m benchmarks.probes gradients [--json FILE] [--cores 0] [--rounds 7]

An MLP 784-100-10 (ReLU) as initialised, cross entropy, 1,000 standardised MNIST images, float32. Variances are those
over the 1,000 samples.

* ``symbreak``: ``symbreak.probes.gradients.moments``;
* ``plain``: gradients of all samples by ``torch.func``'s ``vmap(grad)``, then their mean and variance;
* ``backpack``: BackPACK's ``Variance`` and the ordinary gradient in one backward pass, if it is installed. Its variance
  is that of the terms of a mean loss (they carry 1/N), with N in its denominator.
"""

from collections.abc import Callable, Mapping
from importlib.metadata import version
from importlib.util import find_spec

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from benchmarks.data import load
from benchmarks.harness import Bench, parser, run
from symbreak.config.models import MlpSpec
from symbreak.config.specs import DataSpec
from symbreak.data import training_set
from symbreak.data.tensors import to_input
from symbreak.errors import SymbreakError
from symbreak.models.mlp import build
from symbreak.probes.gradients import moments
from symbreak.probes.network import Data, Network, of_model
from symbreak.training.device import prepare

SAMPLES, WIDTH, CLASSES = 1000, 100, 10
SEED = 0  # of the weights
CLOSE = 1e-5  # of the largest entry of a tensor (performance.md, section 2)
NAMES = {
    f"{place}.{kind}": f"layers.{layer}.{kind}" for layer, place in enumerate((0, 2)) for kind in ("weight", "bias")
}
PEERS = {"backpack": "backpack-for-pytorch"}  # contender and module -> package
LEAST = {"plain": 50.0, "backpack": 2.0}  # times symbreak's (issue 4)

Found = dict[str, tuple[Tensor, Tensor]]  # parameter -> mean and variance
Contender = Callable[[], Found]


def contenders(network: Network, data: Data) -> dict[str, Contender]:
    """Return everyone's work: mean and variance (n - 1 in its denominator) by symbreak's names.

    Args:
        network: One MLP of two layers.
        data: Samples.
    """
    net = module(network)
    found: dict[str, Contender] = {"symbreak": lambda: symbreak(network, data), "plain": lambda: plain(net, data)}
    return found | peers(module(network), data)  # a module of their own: they hang hooks on it


def module(network: Network) -> nn.Sequential:
    """Return the same network as an ordinary module."""
    state = network.one(0)
    shapes = [state[f"layers.{layer}.weight"].shape for layer in (0, 1)]
    first, second = (nn.Linear(fan_in, out) for out, fan_in in shapes)
    net = nn.Sequential(first, nn.ReLU(), second).to(state["layers.0.weight"].dtype)
    net.load_state_dict({name: state[ours] for name, ours in NAMES.items()})
    return net


def symbreak(network: Network, data: Data) -> Found:
    """Return symbreak's."""
    return {name: (found.mean[0], found.variance[0]) for name, found in moments(network, data).items()}


def plain(net: nn.Module, data: Data) -> Found:
    """Return those of the gradients of all samples, held at once."""
    parameters = {name: value.detach() for name, value in net.named_parameters()}

    def loss(state: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(functional_call(net, state, (x[None],)), y[None])

    gradients = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, data.x, data.y)
    return {NAMES[name]: (value.mean(0), value.var(0)) for name, value in gradients.items()}


def peers(net: nn.Module, data: Data) -> dict[str, Contender]:
    """Return the work of those packages that are installed."""
    if find_spec("backpack") is None:
        return {}
    from backpack import backpack, extend  # type: ignore[import-not-found,unused-ignore]
    from backpack.extensions import Variance  # type: ignore[import-not-found,unused-ignore]

    extended, loss = extend(net), extend(nn.CrossEntropyLoss())
    n = len(data.x)

    def work() -> Found:
        extended.zero_grad()
        with backpack(Variance()):
            loss(extended(data.x), data.y).backward()
        found = {name: (value.grad, value.variance) for name, value in extended.named_parameters()}
        return {NAMES[name]: (mean, variance * (n**3 / (n - 1))) for name, (mean, variance) in found.items()}

    return {"backpack": work}


def assert_equal(works: Mapping[str, Contender]) -> None:
    """Refuse contenders that differ from ``plain``.

    Raises:
        SymbreakError: If a mean or a variance differs by more than ``CLOSE`` of its tensor's largest entry.
    """
    expected = works["plain"]()
    for name, work in works.items():
        found = work()
        for parameter, pair in expected.items():
            for kind, mine, theirs in zip(("mean", "variance"), found[parameter], pair, strict=True):
                if float((mine - theirs).abs().max()) > CLOSE * float(theirs.abs().max()):
                    raise SymbreakError(f"'{name}' finds another {kind} of '{parameter}'; nothing was timed, mend it")


def subject() -> tuple[Network, Data, str]:
    """Return the network, the samples and their source."""
    found, source = load("mnist")
    data = training_set.build(DataSpec(set="mnist"), found, [SEED])
    images = to_input(torch.from_numpy(data.train_images[0][:SAMPLES]), data.spec, data.statistics)
    labels = torch.from_numpy(data.train_labels[0][:SAMPLES]).to(torch.int64)
    model = build(MlpSpec(family="mlp", hidden=[WIDTH]), (1, 28, 28), CLASSES, torch.float32)
    network = of_model(model, {name: value[None] for name, value in model.init(SEED).items()})
    return network, Data(images.flatten(1), labels), source


def body(bench: Bench) -> None:
    """Check that all agree, time them, and compare."""
    prepare("cpu", bench.place.threads)
    network, data, source = subject()
    works = contenders(network, data)
    assert_equal(works)
    times = bench.rounds("mean and variance of every weight's gradient", works)
    ours = times["symbreak"].median
    bench.number("milliseconds", 1e3 * ours)
    bench.number("vmap_over_symbreak", times["plain"].median / ours, at_least=LEAST["plain"])
    for name in PEERS.keys() & times.keys():
        bench.number(f"{name}_over_symbreak", times[name].median / ours, at_least=LEAST[name])
    bench.note(
        samples=SAMPLES,
        layers=[784, WIDTH, CLASSES],
        close=CLOSE,
        data=source,
        peers={p: version(p) for m, p in PEERS.items() if m in works},
    )


if __name__ == "__main__":
    run("probe_gradients", body, parser(__doc__).parse_args())

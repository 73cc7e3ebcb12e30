"""64 MLPs 784-10-10 for one epoch of 10,000 MNIST images: symbreak's ensembles against a PyTorch loop and vmap (B1).

    python -m benchmarks.ensemble [--json FILE] [--cores 0] [--rounds 7] [--headline]

Batch 128, SGD 0.1, the same initial values and data orders for all; (a) one order shared by all networks, (b) an own
order each. Only updates are timed: networks, optimisers, orders and images are prepared beforehand. The peers have
theirs as floats; symbreak leaves out pixels that are 0 in all images (``inputs: nonzero``), which takes
``seconds_to_prepare`` a training (not an epoch), and the percentage of the ceiling counts what is then multiplied; it
is also timed with all pixels (``inputs: all``, ``shared_all_inputs_...``).
``--headline`` also trains 2,000 such networks for 10 epochs of 60,000 images, and scales the loop's time from a sample
of its steps.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from benchmarks import peers
from benchmarks.data import load
from benchmarks.harness import Bench, parser, run
from symbreak.config.models import MlpSpec
from symbreak.config.specs import DataSpec, StandardiseSpec, TrainingSpec
from symbreak.data import training_set
from symbreak.errors import SymbreakError
from symbreak.models.mlp import build
from symbreak.models.model import Model, State
from symbreak.training.blank import without_blank
from symbreak.training.device import prepare
from symbreak.training.ensemble import Ensemble
from symbreak.training.evaluation import evaluate
from symbreak.training.examples import Examples
from symbreak.training.plan import Plan, plan
from symbreak.training.replicas import Replica, groups, replicas
from symbreak.training.sources import examples

NETS, RATE, BATCH = 64, 0.1, 128
GROUP = {"shared": 64, "own": 64}  # one group of all: a step's fixed costs are paid once
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}
MARGIN = 0.5  # bfloat16: the mean difference must lie within half a standard deviation between networks ...
LEVEL = 0.99  # ... with its whole interval at this level, and a Kolmogorov-Smirnov test must not see the difference
HIDDEN = CLASSES = 10


@dataclass(frozen=True)
class Work:
    """The networks' task: model, examples and what to do with them."""

    model: Model
    train: Examples
    test: Examples
    images: int

    def plan(
        self, order: str, *, autocast: str = "none", dtype: torch.dtype = torch.float32, inputs: str = "nonzero"
    ) -> Plan:
        """Return an epoch with a shared or own order."""
        settings = {
            "epochs": 1,
            "batch": BATCH,
            "optimiser": {"name": "sgd", "lr": RATE},
            "order": order,
            "order_seeds": [7] if order == "shared" else [],
            "group": GROUP[order],
            "autocast": autocast,
            "dtype": str(dtype).removeprefix("torch."),
            "inputs": inputs,
        }
        return plan(TrainingSpec.model_validate(settings), self.images)


class Ours:
    """The engine's update loop: groups of replicas, one after the other."""

    def __init__(self, work: Work, made: Plan, nets: int) -> None:
        self.task, self.plan = without_blank(work.model, made.spec, work.train, work.test), made
        self.parts = groups(replicas(made.spec, range(nets)), made.spec.group)
        self.batches = [
            [made.batches(made.order(part, epoch), epoch) for epoch in range(1, made.epochs + 1)] for part in self.parts
        ]
        self.ensembles: list[Ensemble] = []

    @property
    def inputs(self) -> int:
        """Inputs a network that enter products."""
        return self.task.train.images[0, 0].numel()

    def reset(self) -> None:
        """Make the networks anew."""
        cpu = torch.device("cpu")
        made = [[replica.seed for replica in part] for part in self.parts]
        self.ensembles = [Ensemble(self.task.model, seeds, self.plan.spec, cpu) for seeds in made]

    def train(self) -> None:
        """Train all networks."""
        for epochs, ensemble in zip(self.batches, self.ensembles, strict=True):
            for batches in epochs:
                for index in batches:
                    ensemble.step(*self.task.train.batch(index), float(self.plan.rates[ensemble.steps]))

    def state(self) -> State:
        """Return the networks' parameters, ``[R, ...]``."""
        states = [ensemble.state for ensemble in self.ensembles]
        if self.task.narrow:
            firsts = (self.task.narrow.first([replica.seed for replica in part]) for part in self.parts)
            states = [self.task.narrow.widened(*found) for found in zip(states, firsts, strict=True)]
        return {name: torch.cat([state[name] for state in states]) for name in states[0]}


class Loop:
    """One network after the other in plain PyTorch."""

    def __init__(self, work: Work, made: Plan, nets: int) -> None:
        self.work, self.plan, self.count = work, made, nets
        self.orders = _orders(made, replicas(made.spec, range(nets)))
        self.inputs = _flat(work.train)

    def reset(self) -> None:
        """Make the networks anew."""
        self.nets = peers.networks(_initial(self.work.model, self.count))

    def train(self) -> None:
        """Train all networks."""
        orders = self.orders if len(self.orders) > 1 else self.orders * self.count
        peers.loop(self.nets, orders, *self.inputs, RATE)

    def state(self) -> State:
        """Return the networks' parameters, ``[R, ...]``."""
        return peers.weights(self.nets)


class Vmap(Loop):
    """All networks at once by ``torch.func``."""

    def reset(self) -> None:
        """Make the networks anew."""
        nets = peers.networks(_initial(self.work.model, self.count))
        self.vmap = peers.Vmap(nets, shared=len(self.orders) == 1)

    def train(self) -> None:
        """Train all networks."""
        self.vmap.train(self.orders, *self.inputs, RATE)

    def state(self) -> State:
        """Return the networks' parameters, ``[R, ...]``."""
        return self.vmap.weights()


def work(images: int, dtype: torch.dtype) -> tuple[Work, str]:
    """Return the task on the first ``images`` (class-balanced) MNIST images, and where they came from."""
    found, source = load("mnist")
    count = None if images == 60_000 else images
    # pixels in [0, 1]: standardised ones make some networks chaotic at this rate, and no two programs agree in float32
    spec = DataSpec(set="mnist", train=count, standardise=StandardiseSpec(kind="unit"))
    data = training_set.build(spec, found, [0])
    model = build(MlpSpec(family="mlp", hidden=(HIDDEN,)), data.in_shape, data.classes, dtype)
    return Work(model, *examples(data, torch.device("cpu"), dtype, compiled=True), images), source


def body(bench: Bench) -> None:
    """Assert equality, time all contenders, and compare."""
    prepare("cpu", bench.place.threads)
    worst = {dtype: _assert_equal(dtype) for dtype in TOLERANCE}
    bench.number("max_relative_difference", worst[torch.float32], at_most=TOLERANCE[torch.float32])
    bench.number("max_relative_difference_float64", worst[torch.float64], at_most=TOLERANCE[torch.float64])
    task, source = work(10_000, torch.float32)
    shared, own = task.plan("shared"), task.plan("own")
    narrow = Ours(task, task.plan("shared", autocast="bfloat16"), NETS)
    wide, whole = Ours(task, shared, NETS), Ours(task, task.plan("shared", inputs="all"), NETS)
    prepare_images = partial(without_blank, task.model, shared.spec, task.train, task.test)
    bench.number("seconds_to_prepare", _seconds(prepare_images))
    times = _time(
        bench,
        "shared order",
        {
            "loop": Loop(task, shared, NETS),
            "vmap": Vmap(task, shared, NETS),
            "symbreak": wide,
            "symbreak_bf16": narrow,
            "symbreak_all_inputs": whole,
        },
    )
    bench.number("shared_over_loop", times["loop"] / times["symbreak"], at_least=13)
    bench.number("shared_over_vmap", times["vmap"] / times["symbreak"], at_least=3.5)
    bench.number("shared_bf16_over_loop", times["loop"] / times["symbreak_bf16"], at_least=20)
    bench.number("shared_all_inputs_over_loop", times["loop"] / times["symbreak_all_inputs"])
    bench.number("shared_all_inputs_over_vmap", times["vmap"] / times["symbreak_all_inputs"])
    _fraction(bench, "shared_fraction_of_ceiling", wide.inputs, times["symbreak"], at_least=0.7)
    _fraction(bench, "shared_all_inputs_fraction_of_ceiling", whole.inputs, times["symbreak_all_inputs"])
    _compare_precisions(bench, task, wide, narrow)
    times = _time(
        bench,
        "own orders",
        {"loop": Loop(task, own, NETS), "vmap": Vmap(task, own, NETS), "symbreak": Ours(task, own, NETS)},
    )
    bench.number("own_over_loop", times["loop"] / times["symbreak"], at_least=3)
    bench.note(data=source, nets=NETS, images=10_000, inputs=wide.inputs, batch=BATCH, groups=GROUP, steps=shared.steps)


def _fraction(bench: Bench, name: str, inputs: int, seconds: float, at_least: float | None = None) -> None:
    flop = NETS * 10_000 * flop_a_sample(inputs)
    bench.fraction(name, flop / seconds / 1e9, "gemm_float32", at_least=at_least)


def flop_a_sample(inputs: int) -> int:
    """Return the operations of one step a network and image: forward, both weights' gradients, the hidden layer's."""
    first, last = inputs * HIDDEN, HIDDEN * CLASSES
    return 2 * (2 * (first + last) + last)


def headline(bench: Bench) -> None:
    """Train 2,000 networks for 10 epochs of 60,000 images; the loop's median time for 300 steps is scaled."""
    prepare("cpu", bench.place.threads)
    task, source = work(60_000, torch.float32)
    nets, epochs, sample = 2_000, 10, 300
    settings = task.plan("shared").spec.model_copy(update={"epochs": epochs})
    for autocast in ("none", "bfloat16"):
        ours = Ours(task, plan(settings.model_copy(update={"autocast": autocast}), task.images), nets)
        ours.reset()
        bench.number(f"minutes_{autocast}", _seconds(ours.train) / 60, at_most=8 if autocast == "none" else None)
    one = Loop(task, ours.plan, 1)
    one.orders = [one.orders[0][:sample]]
    one.reset()
    seconds = bench.rounds(f"{sample} steps of a loop", {"loop": one.train})["loop"].median
    minutes = seconds / sample * ours.plan.steps * nets / 60
    bench.number("minutes_loop_scaled_from_a_sample", minutes)
    bench.note(data=source, nets=nets, epochs=epochs, images=task.images, batch=BATCH, loop_sample_steps=sample)


def _seconds(what: Callable[[], object]) -> float:
    start = time.perf_counter()
    what()
    return time.perf_counter() - start


def _time(bench: Bench, title: str, contenders: dict[str, Ours | Loop]) -> dict[str, float]:
    runs = {name: contender.train for name, contender in contenders.items()}
    setups = {name: contender.reset for name, contender in contenders.items()}
    return {name: found.median for name, found in bench.rounds(title, runs, setups).items()}


def _assert_equal(dtype: torch.dtype) -> float:
    """Train everyone once and return the largest relative difference of a network's final weights from the loop's.

    Raises:
        SymbreakError: If it exceeds ``TOLERANCE``.
    """
    task, _ = work(10_000, dtype)
    worst = 0.0
    for order in ("shared", "own"):
        made = task.plan(order, dtype=dtype)
        ends = []
        whole = task.plan(order, dtype=dtype, inputs="all")
        peer = Loop(task, made, NETS), Vmap(task, made, NETS)
        for contender in (*peer, Ours(task, made, NETS), Ours(task, whole, NETS)):
            contender.reset()
            contender.train()
            ends.append(_laid_out(contender.state()))
        worst = max([worst, *(relative_difference(end, ends[0]) for end in ends[1:])])
    if not worst <= TOLERANCE[dtype]:
        raise SymbreakError(f"final weights differ by {worst:.1e} in {dtype}; nothing was timed, mend it")
    return worst


def relative_difference(one: Tensor, other: Tensor) -> float:
    """Return the largest Euclidean distance of two networks, ``[R, P]`` each, relative to the second's length."""
    return float(((one - other).norm(dim=1) / other.norm(dim=1)).max())


def _compare_precisions(bench: Bench, task: Work, wide: Ours, narrow: Ours) -> None:
    """Compare test loss and accuracy of the networks that were trained in float32 and in bfloat16, pair by pair."""
    for ours in (wide, narrow):
        ours.reset()
        ours.train()
    one, other = (evaluate(task.model, ours.state(), "cross_entropy", task.test) for ours in (wide, narrow))
    for name, a, b in (
        ("loss", one.loss.numpy(), other.loss.numpy()),
        ("accuracy", one.correct.numpy() / one.count, other.correct.numpy() / other.count),
    ):
        unit = a.std(ddof=1)
        half = stats.t.ppf((1 + LEVEL) / 2, len(a) - 1) * (b - a).std(ddof=1) / np.sqrt(len(a))
        bench.number(f"bf16_{name}_difference_in_sd", (b - a).mean() / unit)
        bench.number(f"bf16_{name}_largest_in_interval_in_sd", (abs((b - a).mean()) + half) / unit, at_most=MARGIN)
        bench.number(f"bf16_{name}_ks_p_value", stats.ks_2samp(a, b).pvalue, at_least=1 - LEVEL)


def _initial(model: Model, nets: int) -> State:
    made = [model.init(seed) for seed in range(nets)]
    return {name: torch.stack([state[name] for state in made]) for name in made[0]}


def _orders(made: Plan, all_replicas: list[Replica]) -> list[list[Tensor]]:
    order = torch.cat([made.order((r,), 1) for r in all_replicas[: 1 if made.spec.order == "shared" else None]])
    return [[rows[0] for rows in made.batches(one.unsqueeze(0), 1)] for one in order]


def _flat(found: Examples) -> tuple[Tensor, Tensor]:
    """All inputs as floats ``[N, 784]``, a gift to the peers: symbreak makes them of bytes, batch by batch."""
    x, y = found.span(0, found.count)
    return x[0].flatten(1), y[0]


def _laid_out(state: State) -> Tensor:
    return torch.cat([state[name].flatten(1) for name in sorted(state)], dim=1)


if __name__ == "__main__":
    commands = parser(__doc__)
    commands.add_argument("--headline", action="store_true", help="2,000 networks, 10 epochs of 60,000 images")
    args = commands.parse_args()
    run("ensemble", headline if args.headline else body, args)

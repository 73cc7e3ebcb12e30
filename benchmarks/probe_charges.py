"""What it costs to record Noether charges at every update of the BatchNorm network of experiment ``norm_law`` (B10).

    python -m benchmarks.probe_charges [--json FILE] [--cores 0] [--rounds 7] [--arm bn_k1e3] [--steps 40]

The engine's step (batch, gradient, update) of the arm as ``params.yaml`` has it (MLP 784-64-64-10, five replicas,
batch 256), in float32 and float64:

* ``step``: without observers;
* ``charges``: with observer ``charges``;
* ``copies``: without, but the parameters are copied at every step to room that is there already: increments need the
  parameters before the update, so that this pass (their bytes read once and written once) is the least to be paid;
* ``checkpoints``: without, but all parameters are copied at every step and the same sums are made of the copies
  afterwards, which is how danielkunin/neural-mechanics@0e58309 goes about it, without its files (torch 1.6, which it
  needs, cannot be installed).

Asserted before: the network with observer is the one without, bit for bit; the charges obey the exact discrete law.
"""

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from benchmarks.data import ROOT, load
from benchmarks.harness import Bench, parser, run
from symbreak.config.load import load as configuration
from symbreak.config.specs import ArmSpec
from symbreak.data import training_set
from symbreak.errors import SymbreakError
from symbreak.models.model import State, build
from symbreak.theory.noether import DEGREE, HeavyBall, discrete
from symbreak.training.device import prepare
from symbreak.training.ensemble import Ensemble
from symbreak.training.observing import Observer, observed, observers
from symbreak.training.plan import plan
from symbreak.training.replicas import replicas
from symbreak.training.sources import examples

TOLERANCE = {"float32": 1e-4, "float64": 1e-12}  # of a charge's law over the steps of a round, relative to the charge
MOST_SHARE = 0.05  # of the step (issue 4)


class Training:
    """An arm's training up to a number of steps, with or without its observers, again and again from the start."""

    def __init__(self, arm: ArmSpec, dtype: str, steps: int) -> None:
        if arm.data is None or arm.model is None or arm.training is None:
            raise SymbreakError(f"arm '{arm.arm}' does not train; name another with --arm")
        found, self.source = load(arm.data.set)
        data = training_set.build(arm.data, found, arm.seeds)
        self.spec = arm.training.model_copy(update={"dtype": dtype, "steps": steps})
        kind = getattr(torch, dtype)
        self.model = build(arm.model, data.in_shape, data.classes, kind)
        self.train_set, _ = examples(data, torch.device("cpu"), kind)
        self.plan = plan(self.spec, self.train_set.count)
        self.group = tuple(replicas(self.spec, arm.seeds))[: self.spec.group]
        epochs = range(1, self.plan.epochs + 1)
        self.batches = [b for e in epochs for b in self.plan.batches(self.plan.order(self.group, e), e)]
        self.watching: list[Observer] = []
        self.reset()

    def reset(self) -> None:
        """Make networks and observers anew."""
        self.ensemble = Ensemble(self.model, [r.seed for r in self.group], self.spec, torch.device("cpu"))
        self.watching = observers(self.model, self.spec)
        for observer in self.watching:
            observer.start(self.ensemble.state)

    def step(self, *, observe: bool) -> None:
        """Make one step of the engine."""
        number = self.ensemble.steps
        x, labels = self.train_set.batch(self.batches[number])
        self.ensemble.step(x, labels, float(self.plan.rates[number]), self.watching if observe else ())

    def train(self, *, observe: bool) -> None:
        """Make all steps."""
        for _ in self.batches:
            self.step(observe=observe)

    def copies(self) -> None:
        """Make all steps and copy the parameters at each, always to the same place."""
        weights = [value for name, value in self.ensemble.state.items() if name.startswith("layers.")]
        last = [value.clone() for value in weights]
        for _ in self.batches:
            self.step(observe=False)
            for old, new in zip(last, weights, strict=True):
                old.copy_(new)

    def checkpoints(self) -> None:
        """Make all steps, copy the parameters at each, and take the sums of all copies afterwards."""
        kept = [self.ensemble.copy()]
        for _ in self.batches:
            self.step(observe=False)
            kept.append(self.ensemble.copy())
        for before, after in zip([kept[0], *kept], kept, strict=False):
            sums(after)
            sums({name: after[name].double() - before[name].double() for name in after})


def sums(state: State) -> dict[str, Tensor]:
    """Return what charges are made of, layer by layer as one would write it: sums into and out of each unit."""
    weights = {name: value.double() for name, value in state.items() if name.startswith("layers.")}
    found: dict[str, Tensor] = {}
    for name, value in weights.items():
        if name.endswith(".weight"):
            bias = weights[name.replace(".weight", ".bias")]
            found[f"incoming/{name}"] = value.pow(2).sum(2) + bias.pow(2)
            found[f"outgoing/{name}"] = value.pow(2).sum(1)
            found[f"shift/{name}"] = value.sum(1)
    return found


def assert_equal(training: Training) -> float:
    """Return the worst relative distance of a recorded charge from its exact discrete law.

    Raises:
        SymbreakError: If it is too large, or the observer changed the training.
    """
    training.reset()
    training.train(observe=False)
    alone = training.ensemble.copy()
    training.reset()
    training.train(observe=True)
    if changed := sorted(
        name for name, value in alone.items() if not torch.equal(value, training.ensemble.state[name])
    ):
        raise SymbreakError(f"the observer changed {changed}; nothing was timed, mend it")
    worst, tolerance = law_error(training), TOLERANCE[training.spec.dtype]
    if not worst <= tolerance:
        raise SymbreakError(f"charges are {worst:.2g} off their law, expected at most {tolerance}; nothing was timed")
    return worst


def law_error(training: Training) -> float:
    """Return the worst relative distance of a unit's recorded charge from its law, over all symmetric sets."""
    optimiser, found = training.spec.optimiser, observed(training.watching)
    ball, worst = HeavyBall(optimiser.lr, optimiser.momentum, optimiser.weight_decay), 0.0
    for symmetry in DEGREE:
        for key in (name for name in found if name.startswith(f"{symmetry}/layers.") and name[-2:] in ("/R", "/S")):
            charge = found[key].numpy()
            increments = found.get(f"{key[:-2]}/D", torch.zeros(charge[1:].shape)).numpy()
            law = discrete(symmetry, charge[0], increments, ball)
            worst = max(worst, float((np.abs(law - charge).max(0) / np.abs(charge).max(0)).max()))
    return worst


def body(bench: Bench, arm: str, steps: int) -> None:
    """Check the record in both precisions, time the steps, and compare."""
    prepare("cpu", bench.place.threads)
    arms = configuration(ROOT).arms["norm_law"]
    if arm not in arms:
        raise SymbreakError(f"experiment 'norm_law' has the arms {sorted(arms)}, not '{arm}'; name one with --arm")
    for dtype in TOLERANCE:
        training = Training(arms[arm], dtype, steps)
        bench.number(f"law_error_{dtype}", assert_equal(training), at_most=TOLERANCE[dtype])
        works: dict[str, Callable[[], object]] = {
            "step": partial(training.train, observe=False),
            "charges": partial(training.train, observe=True),
            "copies": training.copies,
            "checkpoints": training.checkpoints,
        }
        times = bench.rounds(f"{steps} steps, {dtype}", works, setups=dict.fromkeys(works, training.reset))
        step = times["step"].median
        bench.number(f"charges_share_{dtype}", times["charges"].median / step - 1, at_most=MOST_SHARE)
        bench.number(f"copies_share_{dtype}", times["copies"].median / step - 1)
        bench.number(f"checkpoints_share_{dtype}", times["checkpoints"].median / step - 1)
        bench.number(f"milliseconds_per_step_{dtype}", 1e3 * step / steps)
    bench.note(data=training.source, arm=arm, replicas=len(training.group), steps=steps, batch=training.plan.batch)


def commands() -> argparse.ArgumentParser:
    """Return the command line."""
    made = parser(__doc__)
    made.add_argument("--arm", default="bn_k1e3", help="arm of norm_law in params.yaml (default: bn_k1e3)")
    made.add_argument("--steps", type=int, default=40, help="steps a round (default: 40)")
    return made


if __name__ == "__main__":
    args = commands().parse_args()
    run("probe_charges", partial(body, arm=args.arm, steps=args.steps), args)

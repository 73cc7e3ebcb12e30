"""The probes of networks by name: where they are, what they need, what they give; imported only when asked for."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

from symbreak.config.strict import nearest
from symbreak.errors import SymbreakError

Kind = Literal["model", "pair", "ensemble", "trajectory", "sweep"]
NEEDS: Mapping[Kind, str] = {
    "model": "one set of weights, or several to be probed one by one",
    "pair": "two sets of weights, or three for a plane",
    "ensemble": "the weights of several replicas",
    "trajectory": "the weights at several moments of one training, in order of time",
    "sweep": "a table with a row a training",
}
NOT_OPTIONS = ("seed", "loss")  # keyword arguments of every probe


@dataclass(frozen=True)
class Probe:
    """A probe: its name, which is its module's in ``symbreak.probes``, what it needs, and one line about it."""

    name: str
    needs: Kind
    about: str

    def load(self) -> ModuleType:
        """Import its module."""
        return importlib.import_module(f"symbreak.probes.{self.name}")

    def options(self) -> dict[str, inspect.Parameter]:
        """Return the options of its ``measure`` by name; types are evaluated."""
        measure: Callable[..., Any] = self.load().measure
        found = inspect.signature(measure, eval_str=True).parameters.values()
        return {p.name: p for p in found if p.kind is p.KEYWORD_ONLY and p.name not in NOT_OPTIONS}


PROBES: Mapping[str, Probe] = {
    probe.name: probe
    for probe in (
        Probe(
            "gradients", "model", "signal and noise of gradients a parameter tensor, per sample and over minibatches"
        ),
        Probe("hessian", "model", "eigenvalues with residual bounds, spectral density, trace, negative and flat modes"),
        Probe("information", "model", "I(X;T) and I(T;Y) of hidden layers by binning and by kernel bounds"),
        Probe("landscape", "pair", "loss and accuracy along a line or plane between weights, height of the barrier"),
        Probe("layers", "model", "correlations across layers and samples, their spectrum, |F(x)|/|x|, freeze-out"),
        Probe("lesion", "model", "accuracy without or with swapped residual blocks, gradient by length of path"),
        Probe("noether", "trajectory", "charges of translation, scale and rescale symmetry, measured and predicted"),
        Probe("npoint", "ensemble", "2-, 4- and 6-point functions of networks, connected parts, SO(D) invariance"),
        Probe("order", "sweep", "order parameter and susceptibility against learning rate, critical learning rate"),
        Probe("replica", "ensemble", "Wasserstein distances of replicas, also with neurons matched, and their metric"),
        Probe(
            "shattering", "model", "covariance and autocorrelation of input gradients, against white and brown noise"
        ),
        Probe("symmetry", "model", "invariance under groups, remnant group of non-linearities, Lie-algebra dimension"),
    )
}


def find(name: str) -> Probe:
    """Return a probe.

    Raises:
        SymbreakError: If there is none of that name.
    """
    if name not in PROBES:
        raise SymbreakError(f"there is no probe '{name}'{nearest(name, list(PROBES))}; symbreak probe --list shows all")
    return PROBES[name]

"""How many continuous transformations of its parameters a network's loss is blind to, and of which families."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from symbreak.errors import SymbreakError
from symbreak.probes.network import Network, State
from symbreak.probes.report import Report
from symbreak.probes.symmetry_lie import FAMILIES, Jacobian, Move, Parts, layers, moves
from symbreak.probes.symmetry_rank import CLEAR_GAP, Null, null_space, span
from symbreak.seeding import derive

LARGEST = 2500  # columns of a matrix whose null space is sought, as many as gl(50) has: seconds, and below 1.5 GB


def report_counts(
    report: Report, network: Network, x: Tensor, loss: str, seed: int, family: Sequence[str] | None
) -> None:
    """Add ``zero_modes``, ``generators`` of each family and pair of layers, and ``explained`` to the report.

    Args:
        report: Is added to.
        network: In float64.
        x: Inputs ``[N, ...]``, float64, whose shape, mean and standard deviation the random inputs have.
        loss: ``cross_entropy`` (two or more outputs, which count up to a common shift) or ``mse``.
        seed: Of the random inputs.
        family: Keys of ``FAMILIES``; None: all that are small enough.

    Raises:
        SymbreakError: If a family is asked for that is too large, or of a network whose layers are not known.
    """
    classes = int(network.call(network.one(0) | network.held(0), x[:1]).shape[1])
    moved = _chosen(report, network, family)
    counts = [_Count(network, r, x, classes, loss == "cross_entropy", seed) for r in range(network.count)]
    if network.size <= LARGEST:
        _add(report, "zero_modes", [[count.zero_modes()] for count in counts])
    else:
        report.warn(f"zero modes are not counted: there are {network.size} parameters, and at most {LARGEST} fit")
    for name, places in moved.items():
        _add(report, f"generators/{name}", [[count.generators([place]) for place in places] for count in counts])
    together = [place for places in moved.values() for place in places]
    if together and max(network.size, sum(place.width(network.one(0)) for place in together)) <= LARGEST:
        report.add(
            "explained",
            [count.explained(together) for count in counts],
            unit="directions in parameter space",
            axes=("replica",),
        )


class _Count:
    """Null directions of one set of parameters; the random inputs are the same for every count."""

    def __init__(self, network: Network, r: int, x: Tensor, classes: int, modulo_shift: bool, seed: int) -> None:
        self._jacobian = Jacobian(network, r, classes, modulo_shift)
        self._shape, self._mean, self._std = x.shape[1:], float(x.mean()), float(x.std())
        self._columns, self._seed = network.size, seed

    def zero_modes(self) -> Null:
        return self._null(self._jacobian.whole, self._columns)

    def generators(self, moved: Sequence[Move]) -> Null:
        return self._null(self._jacobian.along(moved), sum(move.width(self._jacobian.theta) for move in moved))

    def explained(self, moved: Sequence[Move]) -> int:
        """Dimension of the directions in which invariant generators move the parameters: some may not move them."""
        basis = self.generators(moved).basis
        vectors = self._jacobian.vectors(moved)
        return span(vectors @ basis, float(vectors.norm()) / math.sqrt(vectors.shape[1]))

    def _null(self, parts: Callable[[State], Parts], columns: int) -> Null:
        generator = np.random.default_rng(derive(self._seed, "inputs"))

        def draw(count: int) -> Tensor:
            return torch.from_numpy(self._mean + self._std * generator.standard_normal((count, *self._shape)))

        return null_space(self._jacobian.rows(parts), draw, columns, self._jacobian.informative)


def _chosen(report: Report, network: Network, family: Sequence[str] | None) -> dict[str, list[Move]]:
    """The moves of each family that is to be counted."""
    chain = layers(network)
    if chain is None:
        sentence = "generators are counted only in networks known as chains of fully connected layers; this one is not"
        if family is not None:
            raise SymbreakError(f"{sentence}: leave 'family' out")
        report.warn(sentence)
        return {}
    every = {name: moves(name, chain) for name in (FAMILIES if family is None else family)}
    largest = {name: max((m.width(network.one(0)) for m in every[name]), default=0) for name in every}
    for name in [name for name in every if largest[name] > LARGEST]:
        sentence = f"the family '{name}' has {largest[name]} generators on a pair of layers, and at most {LARGEST} fit"
        if family is not None:
            raise SymbreakError(f"{sentence}: leave it out")
        report.warn(f"{sentence}: it is not counted")
        del every[name]
    return {name: places for name, places in every.items() if places}


def _add(report: Report, name: str, found: Sequence[Sequence[Null]]) -> None:
    """Add counts ``[replica, pair]`` and the gaps that decided them."""
    axes, nulls = ("replica", "pair"), [null for row in found for null in row]
    dimension, uncertain, gap, inputs = (
        np.array([[getattr(null, of) for null in row] for row in found], dtype=np.float64)
        for of in ("dimension", "uncertain", "gap", "inputs")
    )
    report.add(name, dimension, unit="dimensions", axes=axes, error=uncertain)
    report.add(f"{name}/gap", gap, unit="ratio of singular values", axes=axes)
    report.add(f"{name}/inputs", inputs, unit="random inputs tried", axes=axes)
    if not all(null.clear for null in nulls):
        report.warn(
            f"'{name}' rests on no clear gap: neighbouring singular values differ by {gap.min():.1f} where the rank "
            f"was cut, less than {CLEAR_GAP:.0f}; the error says how far other thresholds would move it"
        )
    if not all(null.saturated for null in nulls):
        report.warn(
            f"'{name}' may be too large: fresh inputs see the directions counted, with a share of "
            f"{max(null.leak for null in nulls):.1e} of what changes at all"
        )

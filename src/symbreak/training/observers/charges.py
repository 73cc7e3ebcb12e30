"""Noether charges of a fully connected network, after every update.

Sets and charges (parameters of unit ``u``: ``w_in`` with its bias, ``w_out``; Kunin et al., arXiv:2012.04728, sec. 3):

* ``scale/<layer>``: ``R = |w_in|^2``, where BatchNorm follows the layer;
* ``rescale/<layer>``: ``R = |w_out|^2 - |w_in|^2``, across a ReLU or linear unit without BatchNorm;
* ``translation/<layer>``: ``S`` = sum over classes of the last layer's weights, one an input feature, where the loss
  is cross-entropy.

``D`` is the same combination of squared increments of the update, as the laws of ``symbreak.theory.noether`` need it.
The same sums are recorded where the symmetry is absent, as ``<symmetry>/control.<layer>``. ``<layer>.sum`` is the
sum over all units of the layer (for translation over all features and the bias, whose own sum starts at zero and so
has no relative error).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from symbreak.config.models import MlpSpec
from symbreak.config.specs import TrainingSpec
from symbreak.errors import SymbreakError
from symbreak.training.observers.charge_sums import ChargeSums, charges_and_increments
from symbreak.training.observers.rows import Rows

State = dict[str, Tensor]


class HasSpec(Protocol):
    """What the observer needs of a model: the specification it was built from."""

    spec: Any


@dataclass(frozen=True)
class ChargeSet:
    """A symmetry's sums over the parameters around one layer; ``holds`` is false for a control."""

    symmetry: str
    layer: int
    holds: bool

    @property
    def name(self) -> str:
        """``<symmetry>/<set>``."""
        return f"{self.symmetry}/{'' if self.holds else 'control.'}layers.{self.layer}"

    @property
    def summed(self) -> bool:
        """Whether the layer's sum is recorded.

        Not that of a rescale control: summed over units before a normalised layer, ``|w_out|^2`` is a sum of that
        layer's scale charges, which obeys the law although no unit does.
        """
        return self.holds or self.symmetry != "rescale"

    def units(self, sums: State) -> Tensor:
        """Return the charge of all units (translation: input features) of the layer, ``[..., units]``."""
        if self.symmetry == "translation":
            return sums[f"shift.{self.layer}"]
        incoming = sums[f"incoming.{self.layer}"]
        return incoming if self.symmetry == "scale" else sums[f"outgoing.{self.layer}"] - incoming

    def total(self, sums: State) -> Tensor:
        """Return the charge of the whole layer, ``[..., 1]``."""
        total = self.units(sums).sum(-1, keepdim=True)
        return total + sums[f"bias.{self.layer}"] if self.symmetry == "translation" else total


class Charges:
    """Records charges and increments; nothing is copied to the host before ``tensors``.

    An update costs about a pass over the parameters; sets are put together only at the end.

    Args:
        sets: What to record.
        depth: Number of layers.
        units: How many units a set, evenly spaced over the layer (all, if it has fewer).
    """

    def __init__(self, sets: tuple[ChargeSet, ...], depth: int, units: int) -> None:
        self._sets = sets
        self._depth = depth
        self._units = units
        self._sums: ChargeSums | None = None
        self._record = Rows()

    @property
    def needs_before(self) -> bool:
        """Whether the next ``step`` looks at ``before``: only the first after ``restore``, as a copy is kept."""
        return self._sums is None

    def start(self, state: State) -> None:
        """Record the charges before the first update."""
        self._record = Rows()
        self._sums = ChargeSums(state, self._depth)
        self._record.append(self._sums.update(state))

    def step(self, before: State, gradients: Mapping[str, Tensor], after: State) -> None:
        """Record increments and charges of one update.

        Args:
            before: Name -> ``[R, ...]`` parameters before the update; may be empty unless ``needs_before``.
            gradients: Not needed: the laws are about the increments.
            after: The parameters after the update.
        """
        self._sums = self._sums or ChargeSums(before, self._depth)
        self._record.append(self._sums.update(after))

    def tensors(self) -> State:
        """Return ``<symmetry>/<set>/<R|S>`` ``[T + 1, R, U]`` and ``<symmetry>/<set>/D`` ``[T, R, U]``, float64."""
        charges, increments = charges_and_increments(self._record.stacked())
        found: State = {}
        for chosen in self._sets:
            if chosen.symmetry == "translation":
                found |= self._named(chosen, "S", charges)
            else:
                found |= self._named(chosen, "R", charges) | self._named(chosen, "D", increments)
        return found

    def state(self) -> State:
        """Return everything recorded so far."""
        return self._record.stacked()

    def restore(self, state: State) -> None:
        """Go on from a ``state`` instead of starting."""
        self._sums = None
        self._record.restore(state)

    def _named(self, chosen: ChargeSet, quantity: str, sums: State) -> State:
        values = chosen.units(sums)
        last = values.shape[-1] - 1
        picked = torch.linspace(0, last, min(self._units, last + 1)).round().long()
        named = {f"{chosen.name}/{quantity}": values[..., picked].contiguous()}
        return named | {f"{chosen.name}.sum/{quantity}": chosen.total(sums)} if chosen.summed else named


def build(model: HasSpec, spec: TrainingSpec, options: dict[str, Any]) -> Charges:
    """Return the observer of the symmetries, and of the controls, that a network's structure gives.

    Args:
        model: A network of family ``mlp``: parameters ``layers.<i>.weight`` ``[R, out, in]``, ``.bias`` ``[R, out]``.
        spec: Its training; ``loss`` decides whether the last layer has the translation symmetry.
        options: ``units``, the number of units recorded a layer.

    Raises:
        SymbreakError: Another family, no hidden layer, or other options than ``units``.
    """
    network = model.spec
    if not isinstance(network, MlpSpec) or not network.hidden:
        raise SymbreakError(f"observer 'charges' needs a model of family 'mlp' with hidden layers, found: {network!r}")
    if set(options) != {"units"} or not isinstance(options["units"], int) or options["units"] < 1:
        raise SymbreakError(f"observer 'charges' needs the option 'units', a positive integer, only; found: {options}")
    return Charges(charge_sets(network, spec.loss), len(network.hidden) + 1, options["units"])


def charge_sets(network: MlpSpec, loss: str) -> tuple[ChargeSet, ...]:
    """Return the sets of a network, symmetric ones and controls.

    The translation control is the last hidden layer, summed over its units.
    """
    last, normed = len(network.hidden), network.norm == "batch"
    homogeneous = network.activation in ("relu", "linear") and not normed
    return (
        *(ChargeSet("scale", layer, normed and layer < last) for layer in range(last + 1)),
        *(ChargeSet("rescale", layer, homogeneous) for layer in range(last)),
        ChargeSet("translation", last, loss == "cross_entropy"),
        ChargeSet("translation", last - 1, False),
    )

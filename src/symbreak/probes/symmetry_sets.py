"""Sets of parameters on which a symmetry acts, the action itself, and the charge that it carries.

With ``s`` the amount (one a unit): translation ``q -> q + s``; scale ``q -> e^s q``; rescale ``q_in -> e^s q_in``,
``q_out -> e^-s q_out``. The charges are those of ``symbreak.theory.noether`` (Kunin et al., arXiv:2012.04728, sec. 3).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from symbreak.theory.noether import Symmetry

State = dict[str, Tensor]
Members = dict[str, Tensor]


@dataclass(frozen=True)
class SymmetrySet:
    """One symmetry's units around one layer.

    Attributes:
        symmetry: Which group acts.
        layer: The layer that the units belong to, as its parameters are named.
        units: How many units, each with a group parameter of its own.
        incoming: Parameter -> the unit of each of its numbers, flattened, int64; -1: of none.
        outgoing: The same, for those that are scaled inversely (rescale only).
    """

    symmetry: Symmetry
    layer: str
    units: int
    incoming: Members
    outgoing: Members = field(default_factory=dict)

    @property
    def name(self) -> str:
        """``<symmetry>/<layer>``."""
        return f"{self.symmetry}/{self.layer}"

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of all parameters on which the group acts."""
        return (*self.incoming, *self.outgoing)

    def act(self, state: Mapping[str, Tensor], amounts: Tensor) -> State:
        """Return ``state`` (one set of weights) moved by ``amounts`` ``[units]``; what is of no unit stays."""
        moved = dict(state)
        for members, sign in ((self.incoming, 1.0), (self.outgoing, -1.0)):
            for name, unit in members.items():
                shift = sign * _of_units(amounts, unit).view_as(state[name])
                moved[name] = state[name] + shift if self.symmetry == "translation" else state[name] * shift.exp()
        return moved

    def direction(self, state: Mapping[str, Tensor]) -> State:
        """Return ``dQ/ds`` at ``s = 0`` of the set's parameters when all units move at once."""
        ones = torch.ones(self.units, dtype=torch.float64)
        signs = {n: _of_units(ones, unit) for n, unit in self.incoming.items()}
        signs |= {n: -_of_units(ones, unit) for n, unit in self.outgoing.items()}
        still = self.symmetry == "translation"
        return {n: (sign if still else sign * state[n].flatten()).view_as(state[n]) for n, sign in signs.items()}

    def charges(self, state: Mapping[str, Tensor]) -> Tensor:
        """Return ``S`` or ``R`` of weights ``[R, ...]`` as float64 ``[R, units]``.

        Of increments of the weights it is the ``D`` of scale and rescale; translation has none.
        """
        if self.symmetry == "translation":
            return self._sums(self.incoming, state, _same)
        into = self._sums(self.incoming, state, torch.square)
        return self._sums(self.outgoing, state, torch.square) - into if self.outgoing else into

    def sizes(self, state: Mapping[str, Tensor]) -> Tensor:
        """Return the charges with every term taken positive, ``[R, units]``: what their errors are relative to."""
        of = torch.abs if self.symmetry == "translation" else torch.square
        return self._sums(self.incoming, state, of) + self._sums(self.outgoing, state, of)

    def dots(self, first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> Tensor:
        """Return inner products over each unit's members of two directions (without the axis R), ``[units]``."""
        products = {name: (first[name] * second[name])[None] for name in self.parameters}
        return (self._sums(self.incoming, products, _same) + self._sums(self.outgoing, products, _same))[0]

    def _sums(self, members: Members, state: Mapping[str, Tensor], of: Callable[[Tensor], Tensor]) -> Tensor:
        replicas = len(next(iter(state.values())))
        sums = torch.zeros(replicas, self.units + 1, dtype=torch.float64)  # the last column: what is of no unit
        for name, unit in members.items():
            sums.index_add_(1, unit % (self.units + 1), of(state[name].double().flatten(1)))
        return sums[:, :-1]


def _same(values: Tensor) -> Tensor:
    return values


def _of_units(amounts: Tensor, unit: Tensor) -> Tensor:
    """The amount of each number's unit, zero for those of none."""
    return torch.cat([amounts, amounts.new_zeros(1)])[unit]

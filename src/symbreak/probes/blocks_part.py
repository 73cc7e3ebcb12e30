"""What probes may ask of a residual block and of the network that it is part of."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from torch import Tensor

Step = Callable[[Tensor], Tensor]


class Block(Protocol):
    """A block h -> after(S(h) + T(h)) with the parameters of its chain; to be called within ``Chain.run`` only.

    ``rectified``: after is a ReLU, else the identity.
    """

    @property
    def name(self) -> str:
        """Where its parameters are."""

    @property
    def residual(self) -> bool:
        """Whether it has a shortcut; if not (a plain network's block), S is 0."""

    def full(self, h: Tensor) -> Tensor:
        """Return the block's output."""

    def shortcut(self, h: Tensor) -> Tensor:
        """Return the output without the branch, after(S(h)); of a plain block h, whatever shape the output has."""

    def weighted(self, h: Tensor, keep: Tensor, take: Tensor) -> Tensor:
        """Return the block's output, whose gradient is that of after(keep S + take T) at the same place.

        ``keep`` and ``take`` are numbers for each sample, ``[B]``.
        """

    def terms(self, h: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return S(h) and T(h); None if they cannot be told apart from outside."""


class Chain(Protocol):
    """One set of parameters of a network, as blocks in the order of their use, with anything before and after them."""

    @property
    def blocks(self) -> Sequence[Block]:
        """The blocks."""

    def run(self, x: Tensor, steps: Mapping[int, Step], before: Sequence[Tensor] = ()) -> Tensor:
        """Return the outputs ``[B, C]`` with the maps of some blocks replaced.

        Args:
            x: ``[B, ...]``.
            steps: Position -> what takes the block's place.
            before: Outputs of the first blocks, if known: these blocks are not computed again.
        """


def column(factor: Tensor, like: Tensor) -> Tensor:
    """Return ``factor`` ``[B]`` with as many axes as ``like`` ``[B, ...]``."""
    return factor.view(-1, *[1] * (like.dim() - 1))

"""What drives a charge between distant moments: squared increments of an update, estimated from batch gradients.

With ``u`` a batch's gradient plus decay and ``u*`` its mean over batches, the heavy ball's increments have in the
mean over batches ``|dq|^2 = eta^2 (|u - u*|^2 / (1 - beta^2) + |u*|^2 / (1 - beta)^2)``: the noise of a batch adds in
squares, what all batches share adds up (the two limits of arXiv:2105.02716, eq. 17). Between moments ``D`` is held at
its value at the earlier one and at the later one; the prediction is the mean of both, its error half their distance
plus two standard errors, of the estimate and of one training's own batches, from the scatter of the draws. The law is
that of ``symbreak.theory.noether.continuous``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from symbreak.errors import SymbreakError
from symbreak.probes.network import Data, Network
from symbreak.probes.symmetry_sets import SymmetrySet
from symbreak.probes.traced_graph import doubled, gradient, trace
from symbreak.seeding import derive
from symbreak.theory.noether import Array, HeavyBall, Symmetry, continuous

MOST_BYTES = 2**26  # of the increments that are held at once


@dataclass(frozen=True)
class Drive:
    """Where the estimate comes from: see ``symbreak.probes.noether.measure``."""

    network: Network
    data: Data
    ball: HeavyBall
    loss: str
    batch: int | None
    draws: int
    seed: int

    def squares(self, sets: Sequence[SymmetrySet]) -> dict[str, Array]:
        """Return each driven set's squared increments of an update, ``[draws, T + 1, U]``.

        Raises:
            SymbreakError: No batch size, a larger one than there is data, or fewer than two draws.
        """
        batch, count = self.batch, len(self.data.x)
        if batch is None or not 2 <= batch <= count or self.draws < 2:
            raise SymbreakError(
                f"the drive between distant moments needs 2 or more 'draws' and the training's 'batch' of 2 to {count} "
                f"samples; found draws {self.draws} and batch {batch}: set them"
            )
        driven_sets = [chosen for chosen in sets if chosen.symmetry != "translation"]
        traced = trace(self.network, self.data.x[:batch])
        generator = torch.Generator().manual_seed(derive(self.seed, "drive"))
        found: dict[str, list[Tensor]] = {chosen.name: [] for chosen in driven_sets}
        for r in range(self.network.count):
            state = doubled(self.network, r)
            pulls = []
            for _ in range(self.draws):
                rows = torch.randperm(count, generator=generator)[:batch]
                part = Data(self.data.x[rows], self.data.y[rows])
                pull = gradient(traced, state, list(self.network.parameters), part, self.loss)
                pulls.append({name: g + self.ball.decay * state[name] for name, g in pull.items()})
            for chosen in driven_sets:
                found[chosen.name].append(self._increments(chosen, pulls))
        return {name: torch.stack(parts, 1).numpy() for name, parts in found.items()}

    def _increments(self, chosen: SymmetrySet, pulls: list[dict[str, Tensor]]) -> Tensor:
        """One moment's estimate, ``[draws, U]``, whose mean over the draws is unbiased."""
        beta = self.ball.momentum
        stacked = {name: torch.stack([pull[name] for pull in pulls]) for name in chosen.parameters}
        each = chosen.charges(stacked)
        total = chosen.charges({name: value.sum(0, keepdim=True) for name, value in stacked.items()})
        others = chosen.charges({name: value.sum(0, keepdim=True) - value for name, value in stacked.items()})
        # |u*|^2 as each draw's mean product with the others, by 2ab = (a + b)^2 - a^2 - b^2: the noise drops out
        shared = (total - each - others) / (2 * (len(pulls) - 1))
        noise, drift = 1 / (1 - beta**2), 1 / (1 - beta) ** 2
        return self.ball.lr**2 * (noise * each + (drift - noise) * shared)


def driven(symmetry: Symmetry, start: Array, drive: Array, ball: HeavyBall, steps: int) -> tuple[Array, Array]:
    """Return the continuous law at the moments and its error, each ``[T + 1, U]``.

    Args:
        symmetry: Scale or rescale.
        start: ``[U]`` the charge at the first moment.
        drive: ``[draws, T + 1, U]`` squared increments of an update at each moment.
        ball: The optimiser.
        steps: Updates between moments.
    """
    draws, moments, units = drive.shape
    width = max(1, MOST_BYTES // (8 * draws * (moments - 1) * steps))
    parts = [
        _held(symmetry, start[u : u + width], drive[..., u : u + width], ball, steps) for u in range(0, units, width)
    ]
    law, error = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
    return law, error


def _held(symmetry: Symmetry, start: Array, drive: Array, ball: HeavyBall, steps: int) -> tuple[Array, Array]:
    begin = np.broadcast_to(start, (len(drive), len(start)))
    early, late = (
        continuous(symmetry, begin, np.repeat(np.moveaxis(held, 1, 0), steps, axis=0), ball)[::steps]
        for held in (drive[:, :-1], drive[:, 1:])
    )
    middle = (early + late) / 2
    # an estimate has its draws in an interval, a training its steps
    scatter = middle.std(1, ddof=1) * np.sqrt(1 / len(drive) + 1 / steps)
    law: Array = middle.mean(1)
    error: Array = np.abs(early - late).mean(1) / 2 + 2 * scatter
    return law, error

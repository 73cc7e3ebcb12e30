"""Random numbers of a step, for dropout: each replica's from its own seed, whatever its companions."""

from collections.abc import Sequence

import torch
from torch import Tensor

from symbreak.seeding import derive


class StepNoise:
    """Noise of replicas ``seeds`` in ``step``: the streams ``("noise", step, name)`` of each seed, drawn on the CPU."""

    def __init__(self, seeds: Sequence[int], step: int, device: torch.device) -> None:
        self._seeds, self._step, self._device = seeds, str(step), device

    def uniform(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Return float32 numbers in [0, 1), ``[R, *shape]``."""
        draws = [torch.rand(shape, generator=self._generator(seed, name)) for seed in self._seeds]
        return torch.stack(draws).to(self._device)

    def _generator(self, seed: int, name: str) -> torch.Generator:
        return torch.Generator().manual_seed(derive(seed, "noise", self._step, name))

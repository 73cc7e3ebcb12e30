"""What a probe may read: one arm's specification, its run and the data set it used, each read when asked for."""

from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import safe_open

from symbreak.config.specs import ArmSpec
from symbreak.data import prepared
from symbreak.errors import SymbreakError
from symbreak.training.replicas import Replica, replicas

_STEP = "step="
_OBSERVED = "observed/"


class Source:
    """The inputs of a probe, read lazily; the files are those of docs/developing.md, "A run".

    Args:
        spec: The arm.
        run: ``A.safetensors`` of the arm's run, with ``A.epochs.parquet`` and ``A.steps.parquet`` beside it;
            None for an arm that trains nothing.
        data: The prepared set ``data/SET.npz``; None if the probe needs no images.
    """

    def __init__(self, spec: ArmSpec, run: Path | None = None, data: Path | None = None) -> None:
        self.spec = spec
        self._run = run
        self._data = data

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of every replica, in the order of the replica axis ``R`` (repeated where orders are crossed)."""
        return tuple(replica.seed for replica in self.replicas)

    @cached_property
    def replicas(self) -> tuple[Replica, ...]:
        """The arm's networks, in the order of the replica axis ``R``; of an arm that trains nothing, its seeds."""
        if self.spec.training is None:
            return tuple(Replica(number, seed, None) for number, seed in enumerate(self.spec.seeds))
        return tuple(replicas(self.spec.training, self.spec.seeds))

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """The run's history, one row an epoch and replica (epoch 0: before training)."""
        return pd.read_parquet(self._beside("epochs"))

    @cached_property
    def steps(self) -> pd.DataFrame:
        """Loss and learning rate, one row a step and replica (steps count from 1)."""
        return pd.read_parquet(self._beside("steps"))

    @cached_property
    def stored_steps(self) -> tuple[int, ...]:
        """The steps whose parameters the run kept, ascending; 0 is the initialisation."""
        return tuple(sorted({int(name.split("/")[0].removeprefix(_STEP)) for name in self._names if _is_weight(name)}))

    def weights(self, step: int = -1) -> dict[str, np.ndarray]:
        """Return parameters and buffers at a stored step.

        Args:
            step: One of ``stored_steps``, or -1 for the last of them.

        Returns:
            Name as the model gives it -> array ``[R, ...]``.

        Raises:
            SymbreakError: The run kept nothing at that step.
        """
        wanted = self.stored_steps[-1] if step == -1 else step
        if wanted not in self.stored_steps:
            raise SymbreakError(
                f"{self._existing_run} holds parameters at steps {list(self.stored_steps)}, not at {wanted}: "
                f"ask for one of these or name its step in 'training.checkpoints'"
            )
        return self._read(f"{_STEP}{wanted:08d}/")

    def observed(self, prefix: str = "") -> dict[str, np.ndarray]:
        """Return what the run's observers recorded under ``prefix``.

        Args:
            prefix: Start of the name ``<symmetry>/<set>/<quantity>``, for instance ``"scale/"``.

        Returns:
            Full name ``<symmetry>/<set>/<quantity>`` -> float64 array ``[T+1, R, U]`` or ``[T, R, U]``.

        Raises:
            SymbreakError: The run observed nothing of that name.
        """
        found = self._read(_OBSERVED + prefix, strip=_OBSERVED)
        if not found:
            raise SymbreakError(
                f"{self._existing_run} holds nothing named 'observed/{prefix}...': "
                f"add the observer to 'training.observe' of arm '{self.spec.arm}'"
            )
        return found

    def tensor(self, name: str) -> np.ndarray:
        """Return one tensor of the run by its full name, for instance ``data/train_labels``.

        Raises:
            SymbreakError: The run holds no tensor of that name.
        """
        if name not in self._names:
            raise SymbreakError(f"{self._existing_run} holds no tensor '{name}'; it has {len(self._names)} others")
        return self._read(name)[""]

    def data(self) -> prepared.Prepared:
        """Return the prepared set, as it was before subset, labels and standardisation.

        Raises:
            SymbreakError: The probe was not given a set.
        """
        if self._data is None:
            raise SymbreakError(
                f"a probe of arm '{self.spec.arm}' asked for images but was given no set: "
                f"pass --data data/SET.npz and give the arm a 'data' section"
            )
        return prepared.load(self._data)

    @property
    def _existing_run(self) -> Path:
        if self._run is None:
            raise SymbreakError(
                f"a probe of arm '{self.spec.arm}' asked for its run but was given none: "
                f"pass --run A.safetensors and give the arm a 'training' section"
            )
        return self._run

    @cached_property
    def _names(self) -> frozenset[str]:
        with safe_open(self._existing_run, framework="numpy") as tensors:
            return frozenset(tensors.keys())

    def _read(self, prefix: str, *, strip: str | None = None) -> dict[str, np.ndarray]:
        """Read all tensors whose name starts with ``prefix``, named without ``strip`` (default: ``prefix``)."""
        names = sorted(name for name in self._names if name.startswith(prefix))
        with safe_open(self._existing_run, framework="numpy") as tensors:
            return {name.removeprefix(prefix if strip is None else strip): tensors.get_tensor(name) for name in names}

    def _beside(self, history: str) -> Path:
        return self._existing_run.with_name(f"{self._existing_run.stem}.{history}.parquet")


def _is_weight(name: str) -> bool:
    return name.startswith(_STEP)

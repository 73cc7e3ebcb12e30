"""The probe tables of one experiment, as evidence and figures read them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from symbreak.errors import SymbreakError


class Tables:
    """The tables ``ROOT/EXPERIMENT/ARM/PROBE.parquet``, each read when it is first asked for.

    Attributes:
        experiment: The experiment's name.
        arms: Its arms.
    """

    def __init__(self, root: Path, experiment: str, arms: Sequence[str]) -> None:
        self.experiment = experiment
        self.arms = list(arms)
        self._root = root
        self._read: dict[Path, pd.DataFrame] = {}

    def __call__(self, arm: str, probe: str) -> pd.DataFrame:
        """Return a copy of one table.

        Raises:
            SymbreakError: The experiment has no such arm, or the table has not been computed.
        """
        path = self.path(arm, probe)
        if path not in self._read:
            if not path.is_file():
                raise SymbreakError(
                    f"{path}: this table is missing; add '{probe}' to the claim's 'probes' in claims.yaml, "
                    f"or compute it with 'snakemake --cores 8 {path}'"
                )
            self._read[path] = pd.read_parquet(path)
        return self._read[path].copy()

    def path(self, arm: str, probe: str) -> Path:
        """Return where a table lies; an arm that the experiment does not have is a ``SymbreakError``."""
        if arm not in self.arms:
            raise SymbreakError(f"experiment '{self.experiment}' has the arms {self.arms}, not '{arm}'")
        return self._root / self.experiment / arm / f"{probe}.parquet"

    def lost(self, probes: Sequence[str], seeds: Mapping[str, Sequence[int]]) -> list[dict[str, str | int]]:
        """List the replicas that diverged: flagged in a table's column ``diverged`` or absent from its column ``seed``.

        Args:
            probes: The probes to look through, in every arm.
            seeds: The seeds that each arm was asked to run.

        Returns:
            ``{"arm": A, "seed": S}`` for each, sorted by arm and seed.
        """
        found = {(arm, seed) for arm in self.arms for probe in probes for seed in _lost(self(arm, probe), seeds[arm])}
        return [{"arm": arm, "seed": seed} for arm, seed in sorted(found)]


def _lost(table: pd.DataFrame, asked: Sequence[int]) -> set[int]:
    if "seed" not in table:
        return set()
    flagged = table.loc[table["diverged"].astype(bool), "seed"] if "diverged" in table else ()
    return {int(seed) for seed in flagged} | (set(asked) - {int(seed) for seed in table["seed"]})

"""Evidence of ``gaussnet-densities``: which laws of the weights give correlators that rotations leave as they are.

Arms are laws of a neuron's outgoing weights: ``normal`` and ``sphere`` have an invariant density, ``laplace`` and
``uniform`` have not. Units are settings (exact tensors) or seeds (sampled ones).
"""

import pandas as pd

from symbreak.claims.evidence import Unit
from symbreak.claims.gaussnet.extremes import closest, furthest
from symbreak.claims.tables import Tables

INVARIANT = ("normal", "sphere")
AXES = ("laplace", "uniform")
ALL = (*INVARIANT, *AXES)


def exact_g2(tables: Tables) -> list[Unit]:
    """How far rotations move exact 2-point functions, every law."""
    return _deviations(tables, ALL, 2, "rotation")


def exact_g2_shifted(tables: Tables) -> list[Unit]:
    """The same with a mean in one output."""
    return _deviations(tables, ALL, 2, "rotation", shifted=True)


def exact_g4(tables: Tables) -> list[Unit]:
    """How far rotations move exact connected 4-point functions, invariant densities."""
    return _deviations(tables, INVARIANT, 4, "rotation")


def exact_g4_axes(tables: Tables) -> list[Unit]:
    """The same for densities that single out axes."""
    return _deviations(tables, AXES, 4, "rotation")


def exact_g4_permuted(tables: Tables) -> list[Unit]:
    """How far signed permutations move the latter."""
    return _deviations(tables, AXES, 4, "signed_permutation")


def sampled_g2(tables: Tables) -> list[Unit]:
    """Sampled 2-point functions: squared norm outside the invariant subspace over that inside, worst law and width."""
    return furthest(effects(tables, ALL, 2, shifted=False), 0)


def sampled_g2_shifted(tables: Tables) -> list[Unit]:
    """The same with a mean in one output, at the law that comes closest to 0."""
    return closest(effects(tables, ALL, 2, shifted=True), 0)


def sampled_g4(tables: Tables) -> list[Unit]:
    """The same of sampled 4-point functions, invariant densities."""
    return furthest(effects(tables, INVARIANT, 4, shifted=False), 0)


def sampled_g4_axes(tables: Tables) -> list[Unit]:
    """The same of densities that single out axes, at the law and width that come closest to 0."""
    return closest(effects(tables, AXES, 4, shifted=False), 0)


def fourth_cumulant(tables: Tables) -> list[Unit]:
    """The latter's squared norm outside the invariant subspace over its exact value, where furthest from 1."""
    return furthest(over_exact(tables, {law: law for law in AXES}), 1)


def fourth_cumulant_invariant(tables: Tables) -> list[Unit]:
    """The same norm of invariant densities over the value that uniform weights have, where closest to 1."""
    return closest(over_exact(tables, dict.fromkeys(INVARIANT, "uniform")), 1)


def effects(tables: Tables, laws: tuple[str, ...], order: int, *, shifted: bool) -> pd.DataFrame:
    """Return |noninvariant|^2/|invariant|^2 of sampled tensors, one row a seed, one column a law and width."""
    columns = []
    for law in laws:
        table = _sampled(tables, law, order, shifted)
        columns.append((table["noninvariant2"] / table["invariant2"]).unstack().add_prefix(f"{law}, N="))
    return pd.concat(columns, axis=1)


def over_exact(tables: Tables, pairs: dict[str, str]) -> pd.DataFrame:
    """Return |noninvariant|^2 of G4 of sampled laws over exact ones, one row a seed, one column a law and width.

    Args:
        tables: The experiment's tables.
        pairs: Sampled law -> law of the exact value.
    """
    columns = []
    for law, other in pairs.items():
        sampled = _sampled(tables, law, 4, shifted=False)["noninvariant2"].unstack()
        exact = _exact(tables, other)
        neuron = tables(law, "invariance")["neuron"].iloc[0]
        at = exact[(exact["order"] == 4) & (exact["neuron"] == neuron) & (exact["group"] == "rotation")]
        at = at[at["width"].isin(sampled.columns)]
        columns.append(sampled.div(at.set_index("width")["noninvariant2"]).add_prefix(f"{law}, N="))
    return pd.concat(columns, axis=1)


def _deviations(tables: Tables, laws: tuple[str, ...], order: int, group: str, *, shifted: bool = False) -> list[Unit]:
    rows = pd.concat([_exact(tables, law) for law in laws])
    rows = rows[(rows["order"] == order) & (rows["group"] == group) & ((rows["mean"] > 0) == shifted)]
    names = rows["law"] + ", " + rows["neuron"] + ", N=" + rows["width"].astype(str)
    return [Unit(name, float(value)) for name, value in zip(names, rows["deviation"], strict=True)]


def _exact(tables: Tables, law: str) -> pd.DataFrame:
    return tables(law, "density_exact")


def _sampled(tables: Tables, law: str, order: int, shifted: bool) -> pd.DataFrame:
    table = tables(law, "invariance")
    chosen = table[(table["order"] == order) & ((table["mean"] > 0) == shifted)]
    return chosen.set_index(["seed", "width"])[["noninvariant2", "invariant2"]]

"""Evidence of ``gaussnet-training-symmetry``: rotations of the outputs carried through training and by the NTK.

One arm, ``mnist``. Units are seeds, seeds with optimiser and loss, or seeds with a net.
"""

import pandas as pd

from symbreak.claims.evidence import Unit
from symbreak.claims.gaussnet.extremes import closest, furthest
from symbreak.claims.tables import Tables

ARM = "mnist"


def carried(tables: Tables) -> list[Unit]:
    """The worse of outputs' and parameters' relative distance from rotated ones, SGD on squared errors, at any step."""
    table = tables(ARM, "training_symmetry")
    chosen = table[(table["optimiser"] == "sgd") & (table["loss"] == "mse")]
    worst = chosen[["outputs", "parameters"]].max(axis=1).groupby(chosen["seed"]).max()
    return [Unit(f"seed {seed}", float(value)) for seed, value in worst.items()]


def not_carried(tables: Tables) -> list[Unit]:
    """The lesser of the two distances at the end, with Adam, with cross-entropy, and with both."""
    table = tables(ARM, "training_symmetry")
    others = table[(table["optimiser"] != "sgd") | (table["loss"] != "mse")]
    last = others.loc[others.groupby(["seed", "optimiser", "loss"])["step"].idxmax()]
    names = "seed " + last["seed"].astype(str) + ", " + last["optimiser"] + ", " + last["loss"]
    values = last[["outputs", "parameters"]].min(axis=1)
    return [Unit(name, float(value)) for name, value in zip(names, values, strict=True)]


def ntk_of_net(tables: Tables) -> list[Unit]:
    """Relative distance between the NTK of a net with rotated outputs and its rotated NTK."""
    return _of_nets(tables, "rotation")


def ntk_of_net_stretched(tables: Tables) -> list[Unit]:
    """The same for a matrix that is no rotation."""
    return _of_nets(tables, "stretched")


def ntk_mean(tables: Tables) -> list[Unit]:
    """Mean NTK, first layer: squared norm of what is not proportional to delta_ik over the rest, worst neuron."""
    return furthest(ntk_effects(tables(ARM, "ntk_symmetry"), shifted=False), 0)


def ntk_mean_shifted(tables: Tables) -> list[Unit]:
    """The same for last layers with a mean, at the neuron that comes closest to 0."""
    return closest(ntk_effects(tables(ARM, "ntk_symmetry"), shifted=True), 0)


def ntk_effects(table: pd.DataFrame, *, shifted: bool) -> pd.DataFrame:
    """Return |noninvariant|^2/|invariant|^2 of the mean NTK, one row a seed, one column a neuron."""
    chosen = table[(table["kind"] == "mean") & ((table["mean"] > 0) == shifted)].set_index(["seed", "neuron"])
    return (chosen["noninvariant2"] / chosen["invariant2"]).unstack()


def _of_nets(tables: Tables, action: str) -> list[Unit]:
    table = tables(ARM, "ntk_symmetry")
    chosen = table[(table["kind"] == "net") & (table["action"] == action)]
    return [
        Unit(f"seed {seed}, {neuron}, net {net:.0f}", float(value))
        for seed, neuron, net, value in chosen[["seed", "neuron", "net", "deviation"]].itertuples(index=False)
    ]

"""Evidence of ``gaussnet-coupling``: quartic couplings fitted to connected 4-point functions, and what fits as well.

A unit is a net with exact correlators (arms ``gauss``, ``erf``, ``relu``: the inputs of the code; ``gauss_spread``:
inputs of several sizes up to 1), or a seed (arms ``gauss_sampled``, ``erf_sampled``: neurons, ``relu_sampled``: nets).
"""

from collections.abc import Sequence

import pandas as pd

from symbreak.claims.evidence import Unit
from symbreak.claims.tables import Tables

NETS = ("gauss", "erf", "relu")


def lambda_gauss(tables: Tables) -> list[Unit]:
    """lambda_0 N of Gauss-net at N = 1000."""
    return _coupling(tables, "gauss", "local")


def lambda_gauss_bias(tables: Tables) -> list[Unit]:
    """The same with sigma_b^2 left in the propagator."""
    return _coupling(tables, "gauss", "bias_kept")


def lambda_erf(tables: Tables) -> list[Unit]:
    """lambda_0 N of Erf-net at N = 5."""
    return _coupling(tables, "erf", "local")


def lambda_erf_bias(tables: Tables) -> list[Unit]:
    """The same with sigma_b^2 left in the propagator."""
    return _coupling(tables, "erf", "bias_kept")


def lambda_relu(tables: Tables) -> list[Unit]:
    """lambda_0 N L^5 of ReLU-net at N = 20 and cutoff L, by which its coupling runs."""
    return _coupling(tables, "relu", "local", power=5)


def lambda_relu_whole(tables: Tables) -> list[Unit]:
    """The same fitted to the whole G4."""
    return _coupling(tables, "relu", "whole", power=5)


def held_out_error(tables: Tables) -> list[Unit]:
    """Largest error of lambda_0 alone at the test inputs, percent."""
    return _exact(tables, "local", "max_error", NETS)


def held_out_error_spread(tables: Tables) -> list[Unit]:
    """The same of Gauss-net with inputs over [-1, 1]."""
    return _spread(tables, "local", "max_error")


def constant_error(tables: Tables) -> list[Unit]:
    """Largest error of a constant at the test inputs of Gauss- and Erf-net, percent."""
    return _exact(tables, "constant", "max_error", ["gauss", "erf"])


def constant_error_spread(tables: Tables) -> list[Unit]:
    """The same of Gauss-net with inputs over [-1, 1]."""
    return _spread(tables, "constant", "max_error")


def reciprocal_condition(tables: Tables) -> list[Unit]:
    """1/condition number of the fit of lambda_0, lambda_2 and lambda_NL."""
    return _exact(tables, "nonlocal", "reciprocal_condition", NETS)


def reciprocal_condition_spread(tables: Tables) -> list[Unit]:
    """The same of Gauss-net with inputs over [-1, 1]."""
    return _spread(tables, "nonlocal", "reciprocal_condition")


def sampled_gauss(tables: Tables) -> list[Unit]:
    """lambda_0 of sampled Gauss-net neurons over the exact one."""
    return _sampled(tables, "gauss", "local")


def sampled_gauss_whole(tables: Tables) -> list[Unit]:
    """The same fitted to the whole G4."""
    return _sampled(tables, "gauss", "whole")


def sampled_erf(tables: Tables) -> list[Unit]:
    """lambda_0 of sampled Erf-net neurons over the exact one."""
    return _sampled(tables, "erf", "local")


def sampled_erf_whole(tables: Tables) -> list[Unit]:
    """The same fitted to the whole G4."""
    return _sampled(tables, "erf", "whole")


def sampled_relu(tables: Tables) -> list[Unit]:
    """lambda_0 of sampled ReLU-nets over the exact one."""
    return _sampled(tables, "relu", "local")


def sampled_relu_whole(tables: Tables) -> list[Unit]:
    """The same fitted to the whole G4."""
    return _sampled(tables, "relu", "whole")


def ratios(tables: Tables, net: str, model: str) -> pd.Series:
    """Return the sampled coupling of each seed over the exact lambda_0."""
    exact = _of(tables, net, "local")["lambda0"].iloc[0]
    found: pd.Series = _of(tables, f"{net}_sampled", model).set_index("seed")["lambda0"] / exact
    return found


def _coupling(tables: Tables, net: str, model: str, power: int = 0) -> list[Unit]:
    """In units of 1/N, the order of Delta G4, and of the cutoff's power."""
    row = _of(tables, net, model).iloc[0]
    return [Unit(net, float(row["lambda0"] * row["width"] * row["cutoff"] ** power))]


def _exact(tables: Tables, model: str, quantity: str, nets: Sequence[str]) -> list[Unit]:
    return [Unit(net, float(_of(tables, net, model)[quantity].iloc[0])) for net in nets]


def _spread(tables: Tables, model: str, quantity: str) -> list[Unit]:
    rows = _of(tables, "gauss_spread", model)
    widest = rows.loc[rows["size"].idxmax()]
    return [Unit(f"gauss, inputs up to {widest['size']:g}", float(widest[quantity]))]


def _sampled(tables: Tables, net: str, model: str) -> list[Unit]:
    return [Unit(f"seed {seed}", float(value)) for seed, value in ratios(tables, net, model).items()]


def _of(tables: Tables, arm: str, model: str) -> pd.DataFrame:
    table = tables(arm, "quartic_fit")
    return table[table["model"] == model]

"""Evidence of ``gaussnet-four-point``: deviation m4 of the 4-point function from a Gaussian field's, against width.

A unit is a seed: an independent ensemble a net, width and estimator. Arms: ``gauss``, ``erf``,
``relu``, and ``relu_bias``, ReLU-nets with the biases that the authors' code gives them by a slip.
"""

import numpy as np

from symbreak.claims.evidence import Unit
from symbreak.claims.gaussnet.widths import PROBE, TAILS, by_width, closest, exact, furthest, slopes
from symbreak.claims.tables import Tables

VALUES = (2, 5, 10, 20)  # widths at which plain sampling tells N m4 of ReLU-nets well
FALLING = (2, 3, 4, 5, 10, 20, 50, 100)  # widths of the slopes (catalogue, Q2: N <= 100)
ALL = (2, 3, 4, 5, 10, 20, 50, 100, 500, 1000)  # the paper's


def relu_value(tables: Tables) -> list[Unit]:
    """N m4 of plainly sampled ReLU-nets at the width that reaches furthest from the exact value."""
    return furthest(by_width(tables("relu", PROBE), "plain", "m4", VALUES, 1), exact(tables, "relu", "m4", 1))


def relu_value_bias(tables: Tables) -> list[Unit]:
    """The same of ReLU-nets with sigma_b = 1 at the width that comes closest to it."""
    return closest(by_width(tables("relu_bias", PROBE), "plain", "m4", VALUES, 1), exact(tables, "relu", "m4", 1))


def relu_slope(tables: Tables) -> list[Unit]:
    """Log-log slope of m4 against N, ReLU-nets sampled plainly."""
    return slopes(by_width(tables("relu", PROBE), "plain", "m4", FALLING))


def erf_value(tables: Tables) -> list[Unit]:
    """N m4 of Erf-nets with W1 integrated out, from one neuron to N = 100, at the width that reaches furthest."""
    found = by_width(tables("erf", PROBE), "conditional", "m4", (1, *FALLING), 1)
    return furthest(found, exact(tables, "erf", "m4", 1))


def erf_value_tied(tables: Tables) -> list[Unit]:
    """The same of nets whose neurons are all one, at the width that comes closest."""
    return closest(by_width(tables("erf", PROBE), "tied", "m4", FALLING, 1), exact(tables, "erf", "m4", 1))


def erf_slope(tables: Tables) -> list[Unit]:
    """Log-log slope of m4 against N, Erf-nets with W1 integrated out."""
    return slopes(by_width(tables("erf", PROBE), "conditional", "m4", FALLING))


def gauss_value(tables: Tables) -> list[Unit]:
    """N m4 of tilted Gauss-nets with W1 integrated out, at the width that reaches furthest."""
    found = by_width(tables("gauss", PROBE), "conditional", "m4", (1, *ALL), 1)
    return furthest(found, exact(tables, "gauss", "m4", 1))


def gauss_plain(tables: Tables) -> list[Unit]:
    """Root mean square over seeds and the smallest widths of a Gauss-net's plain N m4 over the exact value, less 1."""
    off = by_width(tables("gauss", PROBE), "plain", "m4", TAILS, 1) / exact(tables, "gauss", "m4", 1) - 1
    return [Unit(f"N={TAILS[0]} to {TAILS[-1]}", float(np.sqrt(np.mean(off.to_numpy() ** 2))))]


def gauss_slope(tables: Tables) -> list[Unit]:
    """Log-log slope of m4 against N, tilted Gauss-nets with W1 integrated out."""
    return slopes(by_width(tables("gauss", PROBE), "conditional", "m4", FALLING))


def relu_slope_tied(tables: Tables) -> list[Unit]:
    """Slope of ReLU-nets whose neurons are all one."""
    return slopes(by_width(tables("relu", PROBE), "tied", "m4", FALLING))


def erf_slope_tied(tables: Tables) -> list[Unit]:
    """Slope of Erf-nets whose neurons are all one."""
    return slopes(by_width(tables("erf", PROBE), "tied", "m4", FALLING))


def gauss_slope_tied(tables: Tables) -> list[Unit]:
    """Slope of Gauss-nets whose neurons are all one."""
    return slopes(by_width(tables("gauss", PROBE), "tied", "m4", FALLING))

"""Evidence of ``gaussnet-six-point-connected``: the connected 6-point function m6c against width.

A unit is a seed: an independent ensemble a net, width and estimator. Arms: ``gauss``, ``erf``,
``relu``, and ``relu_bias``, ReLU-nets with the biases that the authors' code gives them by a slip.
"""

from symbreak.claims.evidence import Unit
from symbreak.claims.gaussnet.widths import PROBE, TAILS, by_width, closest, exact, furthest, slopes
from symbreak.claims.tables import Tables

PLAIN = (2, 5, 10, 20)  # widths at which plain sampling of ReLU-nets tells m6c (catalogue, Q4)
FEW = (1, 2, 3, 4)  # widths at which N^2 m6c of Erf-nets is told well with W1 integrated out, from one neuron on
SMOOTH = (2, 3, 4, 5, 10)  # widths of their slope
ALL = (2, 3, 4, 5, 10, 20, 50, 100, 500, 1000)  # the paper's


def relu_value(tables: Tables) -> list[Unit]:
    """N^2 m6c of plainly sampled ReLU-nets at the width that reaches furthest from the exact value."""
    return furthest(by_width(tables("relu", PROBE), "plain", "m6c", PLAIN, 2), exact(tables, "relu", "m6c", 2))


def relu_value_bias(tables: Tables) -> list[Unit]:
    """The same of ReLU-nets with sigma_b = 1 at the width that comes closest to it."""
    return closest(by_width(tables("relu_bias", PROBE), "plain", "m6c", PLAIN, 2), exact(tables, "relu", "m6c", 2))


def relu_slope(tables: Tables) -> list[Unit]:
    """Log-log slope of m6c against N, ReLU-nets sampled plainly."""
    return slopes(by_width(tables("relu", PROBE), "plain", "m6c", PLAIN))


def relu_slope_tied(tables: Tables) -> list[Unit]:
    """The same of nets whose neurons are all one, with W1 integrated out."""
    return slopes(by_width(tables("relu", PROBE), "tied", "m6c", PLAIN))


def erf_value(tables: Tables) -> list[Unit]:
    """N^2 m6c of Erf-nets with W1 integrated out, from one neuron on, at the width that reaches furthest."""
    found = by_width(tables("erf", PROBE), "conditional", "m6c", FEW, 2)
    return furthest(found, exact(tables, "erf", "m6c", 2))


def erf_value_tied(tables: Tables) -> list[Unit]:
    """The same of nets whose neurons are all one, at the width that comes closest."""
    return closest(by_width(tables("erf", PROBE), "tied", "m6c", SMOOTH, 2), exact(tables, "erf", "m6c", 2))


def erf_slope(tables: Tables) -> list[Unit]:
    """Log-log slope of m6c against N, Erf-nets with W1 integrated out."""
    return slopes(by_width(tables("erf", PROBE), "conditional", "m6c", SMOOTH))


def erf_slope_tied(tables: Tables) -> list[Unit]:
    """The same of nets whose neurons are all one."""
    return slopes(by_width(tables("erf", PROBE), "tied", "m6c", SMOOTH))


def gauss_value(tables: Tables) -> list[Unit]:
    """N^2 m6c of tilted Gauss-nets with W1 integrated out, at the width that reaches furthest."""
    found = by_width(tables("gauss", PROBE), "conditional", "m6c", (1, *ALL), 2)
    return furthest(found, exact(tables, "gauss", "m6c", 2))


def gauss_plain(tables: Tables) -> list[Unit]:
    """Median over seeds of plain estimates of a Gauss-net's m6c over the exact value, a unit a width."""
    found = by_width(tables("gauss", PROBE), "plain", "m6c", TAILS, 2).median() / exact(tables, "gauss", "m6c", 2)
    return [Unit(f"N={width}", float(value)) for width, value in found.items()]


def gauss_slope(tables: Tables) -> list[Unit]:
    """Log-log slope of m6c against N, tilted Gauss-nets with W1 integrated out."""
    return slopes(by_width(tables("gauss", PROBE), "conditional", "m6c", ALL))


def gauss_slope_tied(tables: Tables) -> list[Unit]:
    """The same of nets whose neurons are all one."""
    return slopes(by_width(tables("gauss", PROBE), "tied", "m6c", ALL))

"""Correlators of the three nets against width, as the figures of the 4- and 6-point claims draw them."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symbreak.claims.gaussnet.kernel import REACH
from symbreak.claims.gaussnet.widths import PROBE
from symbreak.claims.tables import Tables
from symbreak.figures import style

NETS = {"relu": "ReLU-net", "erf": "Erf-net", "gauss": "Gauss-net"}
MARKERS = {"relu": "o", "erf": "s", "gauss": "^"}
SYMBOLS = {"m4": "m₄", "m6": "m₆", "m6c": "m₆ᶜ"}
SHIFTS = {"relu": 0.9, "erf": 1.0, "gauss": 1.11}  # of N in panel d, so that bars stand beside each other
SHOWN = (0.0, 2.0)  # of panel d
BESIDE = 1.28  # the same of plain estimates


def against_width(tables: Tables, evidence: dict[str, Any], column: str, quantity: str) -> Figure:
    """Draw a column of the table ``correlators`` for each net, and over its exact value for all of them.

    Args:
        tables: Table ``correlators`` of the experiment ``gaussnet_correlators``.
        evidence: The claim file.
        column: ``m4``, ``m6`` or ``m6c``.
        quantity: What the column is, for the axes.
    """
    figure, axes = style.figure(ncols=2, nrows=2, figsize=(10.5, 8.4))
    for ax, (net, name), letter in zip(axes.flat, NETS.items(), "abc", strict=False):
        _net(ax, tables(net, PROBE), net, column)
        ax.set(title=f"({letter}) {name}", xlabel="width N (hidden neurons)", ylabel=quantity)
    _over_exact(axes[1, 1], {net: tables(net, PROBE) for net in NETS}, column)
    axes[1, 1].set(xlabel="width N (hidden neurons)", ylabel=f"{SYMBOLS[column]} over its exact value")
    style.verdict_title(figure, evidence)
    return figure


def _net(ax: Axes, table: pd.DataFrame, net: str, column: str) -> None:
    """Absolute values, as the paper plots: what lies at random signs is the noise of plain sampling."""
    plain, conditional, tied = (table[table["estimator"] == name] for name in ("plain", "conditional", "tied"))
    theory = table[(table["estimator"] != "tied") & (table["width"] > 1)].groupby("width")[f"{column}_exact"].first()
    ax.plot(plain["width"], plain[column].abs(), "_", color=style.COLOURS["paper"], alpha=0.7, markersize=9)
    ax.plot(theory.index, theory, color=style.COLOURS["theory"])
    means = conditional[conditional["width"] > 1].groupby("width")[column].agg(["mean", "sem"])
    told = means[means["mean"] > REACH * means["sem"]]
    ax.errorbar(
        told.index, told["mean"], REACH * told["sem"], fmt=MARKERS[net], color=style.COLOURS["measured"], markersize=4
    )
    control = tied.groupby("width")[column].mean()
    ax.plot(control.index, control, "x:", color=style.COLOURS["control"], linewidth=1)
    labels = {
        "theory": ("-", "exact"),
        "measured": (MARKERS[net], f"last layer integrated out{', tilted' if net == 'gauss' else ''}"),
        "paper": ("_", "plain sampling, |each seed|"),
        "control": ("x:", "control: all neurons are one"),
    }
    for colour, (mark, label) in labels.items():
        ax.plot([], [], mark, color=style.COLOURS[colour], label=label)
    ax.set(xscale="log", yscale="log")
    ax.legend(loc="lower left", fontsize=7)


def _over_exact(ax: Axes, data: dict[str, pd.DataFrame], column: str) -> None:
    """Estimates with W1 integrated out where they tell the value; plain ones of Gauss-nets at the smallest widths."""
    plain = _over(data["gauss"], "plain", column)
    beyond = int((~plain["over"].between(*SHOWN)).sum())
    ax.plot(
        plain["width"] * BESIDE, plain["over"], "_", color=style.COLOURS["paper"], alpha=0.8,
        label=f"Gauss-net, plain sampling, each seed\n({beyond} of {len(plain)} beyond the frame)",
    )  # fmt: skip
    for net, table in data.items():
        found = _over(table, "conditional", column).groupby("width")["over"].agg(["mean", "sem"])
        told = found[REACH * found["sem"] < 1]
        ax.errorbar(
            told.index.to_numpy(dtype=float) * SHIFTS[net], told["mean"], REACH * told["sem"], fmt=MARKERS[net],
            markersize=4, color=style.CYCLE[list(data).index(net)], label=NETS[net],
        )  # fmt: skip
    ax.axhline(1, color=style.COLOURS["theory"], linewidth=1)
    ax.set(title=f"(d) Over the exact value, mean ± {REACH:g} s.e. over seeds", xscale="log", ylim=SHOWN)
    ax.legend(loc="upper right", fontsize=7)


def _over(table: pd.DataFrame, estimator: str, column: str) -> pd.DataFrame:
    """Rows of an estimator at widths above one, with the column ``over`` its exact value."""
    chosen = table[(table["estimator"] == estimator) & (table["width"] > 1)]
    return chosen.assign(over=chosen[column] / chosen[f"{column}_exact"])

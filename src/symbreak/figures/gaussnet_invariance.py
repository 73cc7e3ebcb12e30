"""Figure of ``gaussnet-invariance``: non-invariant parts of correlators by width, and the authors' own test."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symbreak.claims.gaussnet.kernel import REACH
from symbreak.claims.tables import Tables
from symbreak.figures import style

MARKERS = {"relu": "o", "gauss": "s", "paper": "D"}
NAMES = {"relu": "ReLU-nets", "gauss": r"Gauss-nets, $\sigma_b$ = 0.25", "paper": r"Gauss-nets, $\sigma_b$ = 1"}
FILLED = {3: True, 5: False}
CORRELATORS = {2: "2-point functions", 4: "4-point functions"}


def draw(tables: Tables, evidence: dict[str, Any]) -> Figure:
    """Draw the relative size of what rotations change, and sigma_M/delta_M, for both correlators.

    Args:
        tables: Table ``invariance`` of the experiment ``gaussnet_invariance``.
        evidence: The claim file.
    """
    figure, axes = style.figure(ncols=2, nrows=2, figsize=(9.4, 7.6))
    for column, order in enumerate(CORRELATORS):
        _effects(axes[0, column], tables, order, evidence["parts"][f"g{order}_d3"]["rule"])
        _papers(axes[1, column], tables, order)
        axes[0, column].set_title(f"({'ab'[column]}) {CORRELATORS[order]}, mean ± {REACH:g} s.e.")
        axes[1, column].set_title(f"({'cd'[column]}) {CORRELATORS[order]}, the authors' test")
    style.verdict_title(figure, evidence)
    return figure


def _effects(ax: Axes, tables: Tables, order: int, rule: dict[str, float]) -> None:
    """|noninvariant|^2/|invariant|^2 of the nets that the claim is decided on."""
    within = rule["within"]
    for net in ("relu", "gauss"):
        for outputs in FILLED:
            table = tables(f"{net}_{outputs}", "invariance")
            table = table[table["order"] == order].assign(value=lambda t: t["noninvariant2"] / t["invariant2"])
            _series(ax, table, net, outputs)
    ax.axhspan(-within, within, color=style.COLOURS["paper"], alpha=0.15, linewidth=0, label=f"accepted: ± {within:g}")
    ax.axhline(0, color=style.COLOURS["theory"], linewidth=1, label="invariant")
    ax.set_yscale("symlog", linthresh=within, linscale=1.2)
    ax.set_ylim(-2 * within, 3e3)  # room for the legend
    ax.set_ylabel("|not invariant|² / |invariant|²")
    _labels(ax, "μ = 0.05 in one output (control)", ("relu", "gauss"))


def _papers(ax: Axes, tables: Tables, order: int) -> None:
    """sigma_M/delta_M: the authors' own nets, and for 4-point functions the ones that were decided on too."""
    nets = ("paper",) if order == 2 else ("paper", "gauss")
    for net in nets:
        for outputs in FILLED:
            table = tables(f"{net}_{outputs}", "invariance")
            table = table[table["order"] == order].assign(value=lambda t: t["sigma_m"] / t["delta_m"])
            _series(ax, table, net, outputs)
    ax.axhspan(
        0.01, 1, color=style.COLOURS["paper"], alpha=0.15, linewidth=0, label=r"the paper: $\sigma_M < \delta_M$"
    )
    ax.set_yscale("log")
    ax.set_ylim(0.06, 5000)
    ax.set_ylabel(r"$\sigma_M / \delta_M$")
    _labels(ax, "mean in one output (control)", nets)


def _series(ax: Axes, table: pd.DataFrame, net: str, outputs: int) -> None:
    """Mean and about the interval over seeds by width, with a last layer of mean 0 and with the control's."""
    shift = {("relu", 3): 0.88, ("relu", 5): 0.96, ("gauss", 3): 1.04, ("gauss", 5): 1.13}.get((net, outputs), 1.0)
    for mean, rows in table.groupby("mean"):
        by_width = rows.groupby("width")["value"]
        colour = style.COLOURS["control" if float(str(mean)) > 0 else "measured"]
        ax.errorbar(
            by_width.mean().index * shift,
            by_width.mean(),
            REACH * by_width.sem(),
            fmt=MARKERS[net],
            color=colour,
            markerfacecolor=colour if FILLED[outputs] else "white",
            linewidth=0.8,
            markersize=4,
        )


def _labels(ax: Axes, control: str, nets: tuple[str, ...]) -> None:
    for net in nets:
        ax.plot([], [], MARKERS[net], color=style.COLOURS["measured"], label=f"{NAMES[net]}, D = 3")
        ax.plot(
            [], [], MARKERS[net], color=style.COLOURS["measured"], markerfacecolor="white", label=f"{NAMES[net]}, D = 5"
        )
    ax.plot([], [], "o", color=style.COLOURS["control"], label=control)
    ax.set_xscale("log")
    ax.set_xlabel("width N (hidden neurons)")
    ax.legend(loc="upper left", fontsize=7, ncols=2)

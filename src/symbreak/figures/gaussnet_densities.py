"""Figure of ``gaussnet-densities``: laws of the last layer's weights, and what rotations change in the correlators."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symbreak.claims.gaussnet.densities import ALL, AXES, INVARIANT, over_exact
from symbreak.claims.gaussnet.kernel import REACH
from symbreak.claims.tables import Tables
from symbreak.figures import style

MARKERS = {"normal": "o", "sphere": "s", "laplace": "^", "uniform": "D"}
FLOOR = 1e-17  # smallest deviation drawn
COLUMNS = {
    "G2, rotations": (2, "rotation", False),
    "G2, rotations,\nmean in an output": (2, "rotation", True),
    "G4_c, rotations": (4, "rotation", False),
    "G4_c, signed\npermutations": (4, "signed_permutation", False),
}


def draw(tables: Tables, evidence: dict[str, Any]) -> Figure:
    """Draw exact deviations by law and group, sampled 4-point functions by width, and these over exact values.

    Args:
        tables: Tables ``density_exact`` and ``invariance`` of the experiment ``gaussnet_densities``.
        evidence: The claim file.
    """
    figure, axes = style.figure(ncols=3, figsize=(12.6, 4.6), width_ratios=(1.25, 1, 1))
    parts = evidence["parts"]
    _exact(axes[0], tables, parts["exact_g4"]["rule"]["at_most"])
    _sampled(axes[1], tables, parts["sampled_g4"]["rule"]["within"])
    _ratio(axes[2], tables, parts["fourth_cumulant"]["rule"])
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    style.verdict_title(figure, evidence)
    return figure


def _colour(law: str) -> str:
    return style.COLOURS["measured" if law in INVARIANT else "control"]


def _exact(ax: Axes, tables: Tables, limit: float) -> None:
    """A point a law, neuron and width, laws beside each other."""
    for place, (order, group, shifted) in enumerate(COLUMNS.values()):
        for law, offset in zip(ALL, np.linspace(-0.27, 0.27, len(ALL)), strict=True):
            rows = tables(law, "density_exact")
            rows = rows[(rows["order"] == order) & (rows["group"] == group) & ((rows["mean"] > 0) == shifted)]
            values = rows["deviation"].clip(lower=FLOOR)
            ax.plot([place + offset] * len(values), values, MARKERS[law], color=_colour(law), alpha=0.6, markersize=4)
    ax.axhline(limit, color=style.COLOURS["theory"], linestyle="--", linewidth=1)
    ax.annotate(f"rule: at most {limit:g}", (-0.4, limit), (0, 4), textcoords="offset points", fontsize=8)
    ax.set_yscale("log")
    ax.set_xticks(range(len(COLUMNS)), list(COLUMNS), fontsize=7.5)
    ax.set(title="(a) Exact tensors, every width and neuron", ylabel="largest |R G - G| / largest |G|")


def _sampled(ax: Axes, tables: Tables, within: float) -> None:
    """|noninvariant|^2/|invariant|^2 of G4 by width."""
    for law, shift in zip(ALL, np.geomspace(0.9, 1.11, len(ALL)), strict=True):
        table = tables(law, "invariance")
        table = table[(table["order"] == 4) & (table["mean"] == 0)]
        _series(ax, (table["noninvariant2"] / table["invariant2"]).groupby([table["seed"], table["width"]]), law, shift)
    ax.axhspan(-within, within, color=style.COLOURS["paper"], alpha=0.15, linewidth=0, label=f"accepted: ± {within:g}")
    ax.axhline(0, color=style.COLOURS["theory"], linewidth=1, label="invariant")
    ax.set_yscale("symlog", linthresh=within, linscale=1.0)
    ax.set_ylim(-2 * within, 0.3)
    _widths(ax, tables)
    ax.set(title="(b) Sampled 4-point functions", ylabel="|not invariant|² / |invariant|²")


def _ratio(ax: Axes, tables: Tables, rule: dict[str, float]) -> None:
    """The same norm over the exact one; of invariant densities over that of uniform weights."""
    low, high = rule["equals"] - rule["within"], rule["equals"] + rule["within"]
    pairs = {law: law if law in AXES else "uniform" for law in ALL}
    for (law, other), shift in zip(pairs.items(), np.geomspace(0.9, 1.11, len(pairs)), strict=True):
        values = over_exact(tables, {law: other})
        widths = [int(name.split("N=")[1]) for name in values.columns]
        ax.errorbar(
            np.array(widths) * shift, values.mean(), REACH * values.sem(), fmt=MARKERS[law], color=_colour(law),
            linewidth=0.8,
        )  # fmt: skip
    ax.axhspan(low, high, color=style.COLOURS["paper"], alpha=0.15, linewidth=0)
    ax.axhline(1, color=style.COLOURS["theory"], linewidth=1)
    ax.annotate(f"accepted: {low:g} to {high:g}", (0.03, 0.97), xycoords="axes fraction", va="top", fontsize=8)
    ax.set_ylim(-0.3, 1.7)
    _widths(ax, tables)
    ax.set(title="(c) Over the exact value", ylabel="|not invariant|² / exact (blue: of uniform)")


def _series(ax: Axes, groups: Any, law: str, shift: float) -> None:
    """Mean and about the interval over seeds."""
    values: pd.DataFrame = groups.mean().unstack()
    widths = values.columns.to_numpy(dtype=float)
    ax.errorbar(
        widths * shift, values.mean(), REACH * values.sem(), fmt=MARKERS[law], color=_colour(law),
        linewidth=0.8, label=f"W1 {law}",
    )  # fmt: skip


def _widths(ax: Axes, tables: Tables) -> None:
    table = tables("normal", "invariance")
    widths = sorted(table.loc[table["mean"] == 0, "width"].unique())
    ax.set(xscale="log", xlabel="width N (hidden neurons)")
    ax.set_xticks(widths, [str(width) for width in widths])
    ax.minorticks_off()

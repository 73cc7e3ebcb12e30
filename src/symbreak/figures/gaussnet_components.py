"""Figure of ``gaussnet-components``: output components of Gauss-nets are uncorrelated but dependent."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symbreak.claims.gaussnet.components import ARM, by_width
from symbreak.claims.gaussnet.kernel import REACH
from symbreak.claims.tables import Tables
from symbreak.figures import style

COLOURS = {"net": "measured", "gaussian": "control", "shifted": "control"}
MARKERS = ("o", "s", "^", "D")


def draw(tables: Tables, evidence: dict[str, Any]) -> Figure:
    """Draw correlations, covariances of squares, and the latter over their exact values, by width.

    Args:
        tables: Table ``components`` of the experiment ``gaussnet_components``.
        evidence: The claim file.
    """
    figure, axes = style.figure(ncols=3, figsize=(12.0, 4.3))
    table = tables(ARM, "components")
    parts = evidence["parts"]
    _correlation(axes[0], table, parts["uncorrelated"]["rule"])
    _covariance(axes[1], table)
    _ratio(axes[2], table, parts["dependent"]["rule"])
    for ax in axes:
        ax.set(xscale="log", xlabel="width N (hidden neurons)")
        widths = sorted(table["width"].unique())
        ax.set_xticks(widths, [str(width) for width in widths])
        ax.minorticks_off()
    style.verdict_title(figure, evidence)
    return figure


def _correlation(ax: Axes, table: pd.DataFrame, rule: dict[str, float]) -> None:
    within = rule["within"]
    _series(ax, by_width(table, "net", "correlation2"), "measured", "Gauss-nets")
    mean = "control: last layer with a mean"
    _series(ax, by_width(table, "shifted", "correlation2"), "control", mean)
    ax.axhspan(-within, within, color=style.COLOURS["paper"], alpha=0.15, linewidth=0, label=f"accepted: ± {within:g}")
    ax.axhline(0, color=style.COLOURS["theory"], linewidth=1, label="exact")
    ax.set_yscale("symlog", linthresh=within, linscale=1.2)
    ax.set_ylim(-2 * within, 3e3)  # room for the legend
    ax.set(title="(a) Correlation of components", ylabel="corr(fᵢ, fⱼ)², mean over pairs, i ≠ j")
    ax.legend(loc="upper left", fontsize=7)


def _covariance(ax: Axes, table: pd.DataFrame) -> None:
    """A marker an input; the Gaussian process falls to both sides of 0 and is drawn on a linear part of the axis."""
    for (x, rows), marker in zip(table.groupby("x"), MARKERS, strict=False):
        for kind, label in (("net", f"Gauss-nets, x = {x:g}"), ("gaussian", "control: Gaussian process, same kernel")):
            values = rows[rows["kind"] == kind].groupby("width")["covariance"]
            ax.errorbar(
                values.mean().index,
                values.mean(),
                REACH * values.sem(),
                fmt=marker,
                color=style.COLOURS[COLOURS[kind]],
                linewidth=0.8,
                label=label if kind == "net" or marker == MARKERS[0] else None,
            )
        exact = rows.groupby("width")["exact"].mean()
        ax.plot(exact.index, exact, color=style.COLOURS["theory"], linewidth=1)
    ax.plot([], [], color=style.COLOURS["theory"], linewidth=1, label="exact: (M₄ - M₂²)/N")
    ax.set_yscale("symlog", linthresh=0.003, linscale=0.8)
    ax.set_ylim(-0.004, 30)
    ax.set(title="(b) Dependence of components", ylabel="cov(fᵢ², fⱼ²), mean over pairs, i ≠ j")
    ax.legend(loc="upper right", fontsize=7)


def _ratio(ax: Axes, table: pd.DataFrame, rule: dict[str, float]) -> None:
    low, high = rule["equals"] - rule["within"], rule["equals"] + rule["within"]
    _series(ax, by_width(table, "net", "covariance"), "measured", "Gauss-nets")
    _series(ax, by_width(table, "gaussian", "covariance"), "control", "control: Gaussian process, same kernel")
    ax.axhspan(low, high, color=style.COLOURS["paper"], alpha=0.15, linewidth=0, label=f"accepted: {low:g} to {high:g}")
    ax.axhline(1, color=style.COLOURS["theory"], linewidth=1, label="exact")
    ax.set(title=f"(c) Over the exact value, mean ± {REACH:g} s.e.", ylabel="cov(fᵢ², fⱼ²) / exact, sums over inputs")
    ax.set_ylim(-0.3, 1.9)
    ax.legend(loc="upper left", fontsize=7)


def _series(ax: Axes, values: pd.DataFrame, colour: str, label: str) -> None:
    """Mean and about the interval over seeds."""
    widths = [int(name.removeprefix("N=")) for name in values.columns]
    ax.errorbar(
        widths, values.mean(), REACH * values.sem(), fmt="o", color=style.COLOURS[colour], linewidth=0.8, label=label
    )

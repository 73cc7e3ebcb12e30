"""Figure of ``gaussnet-two-point``: sampled 2-point functions over the kernel, by net, dimension and width."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symbreak.claims.gaussnet.kernel import REACH
from symbreak.claims.gaussnet.two_point import ratios
from symbreak.claims.tables import Tables
from symbreak.figures import style
from symbreak.figures.gaussnet_widths import NETS

MARKERS = {"d1": "o", "d2": "s", "d3": "^"}


def draw(tables: Tables, evidence: dict[str, Any]) -> Figure:
    """Draw every pair's G2/K against width for each net, and the control.

    Args:
        tables: Table ``two_point`` of the experiment ``gaussnet_two_point``.
        evidence: The claim file.
    """
    figure, axes = style.figure(ncols=2, nrows=2, figsize=(10.5, 8.0))
    for ax, (net, name), letter in zip(axes.flat, NETS.items(), "abc", strict=False):
        _net(ax, tables, net, evidence["parts"][f"{net}_ratio"]["rule"])
        ax.set(title=f"({letter}) {name}, every pair of inputs, mean ± {REACH:g} s.e. over seeds")
    _control(axes[1, 1], tables)
    style.verdict_title(figure, evidence)
    return figure


def _net(ax: Axes, tables: Tables, net: str, rule: dict[str, float]) -> None:
    """Pairs and dimensions of one width stand beside each other."""
    found = ratios(tables, net, "plain")
    mean, reach = found.mean(), REACH * found.sem()
    widths = found.columns.unique("width")
    for place, (dimension, marker) in enumerate(MARKERS.items()):
        for number, width in enumerate(widths):
            chosen = (found.columns.get_level_values("arm") == f"{net}_{dimension}") & (
                found.columns.get_level_values("width") == width
            )
            at = place + np.linspace(0.1, 0.9, chosen.sum()) - 1.5
            ax.errorbar(
                number + at / 4.2, mean[chosen], reach[chosen], fmt=marker, markersize=1.8, linewidth=0.35,
                color=style.CYCLE[place], label=f"d = {dimension[1:]}" if number == 0 else None,
            )  # fmt: skip
    low, high = rule["equals"] - rule["within"], rule["equals"] + rule["within"]
    ax.axhspan(low, high, color=style.COLOURS["paper"], alpha=0.15, linewidth=0, label=f"accepted: {low:g} to {high:g}")
    ax.axhline(1, color=style.COLOURS["theory"], linewidth=1, label="kernel K, at every width")
    ax.set_xticks(range(len(widths)), [str(width) for width in widths])
    ax.set(xlabel="width N (hidden neurons)", ylabel="E[f(x) f(y)] / K")
    ax.margins(y=0.35)
    ax.legend(loc="upper center", ncols=3, fontsize=7)


def _control(ax: Axes, tables: Tables) -> None:
    """Means over pairs and dimensions."""
    for number, (net, name) in enumerate(NETS.items()):
        for variant, line in (("plain", "-"), ("shifted", ":")):
            found = ratios(tables, net, variant).mean().groupby(level="width").mean()
            ax.plot(
                found.index, found, f"{'os^'[number]}{line}", color=style.CYCLE[number],
                label=f"{name}{', control' if variant == 'shifted' else ''}",
            )  # fmt: skip
    ax.set(title="(d) With the control, a last layer with a mean", xscale="log", yscale="log")
    ax.set(xlabel="width N (hidden neurons)", ylabel="E[f(x) f(y)] / K, mean over pairs and d")
    ax.legend(loc="upper left", fontsize=7)

"""Figure of ``gaussnet-kernel``: sampled two-point functions on the talk's kernel, at every width and dimension."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symbreak.claims.gaussnet.kernel import REACH, ratios
from symbreak.claims.tables import Tables
from symbreak.figures import style

MARKERS = {"d1": "o", "d2": "s", "d3": "^", "d784": "D"}
HIDDEN_BUG = "d1"  # the arm at which the authors' normaliser is the formula


def draw(tables: Tables, evidence: dict[str, Any]) -> Figure:
    """Draw G2 against distance, G2/K against width enlarged, and the same with the controls.

    Args:
        tables: Table ``kernel`` of the experiment ``gaussnet_kernel``.
        evidence: The claim file.
    """
    figure, axes = style.figure(ncols=3, figsize=(12.0, 4.2))
    data = {arm: tables(arm, "kernel") for arm in tables.arms}
    _distance(axes[0], data)
    _width(axes[1], data, evidence["parts"]["d1"]["rule"])
    _controls(axes[2], data)
    style.verdict_title(figure, evidence)
    return figure


def _distance(ax: Axes, data: dict[str, pd.DataFrame]) -> None:
    """All widths and seeds pooled: the formula does not know the width."""
    for arm, table in data.items():
        size: dict[str, Any] = {"marker": MARKERS[arm], "linestyle": "none", "alpha": 0.8}
        pooled = table.groupby(["variant", "i", "j"], as_index=False)[["distance2", "g2", "theory"]].mean()
        formula, authors = (pooled[pooled["variant"] == name] for name in ("formula", "authors"))
        ax.plot(np.sqrt(formula["distance2"]), formula["g2"], color=style.COLOURS["measured"], label=_d(arm), **size)
        if arm != HIDDEN_BUG:
            lines = authors.sort_values("distance2")
            ax.plot(np.sqrt(lines["distance2"]), lines["theory"], ":", color=style.COLOURS["control"], linewidth=1)
            ax.plot(np.sqrt(authors["distance2"]), authors["g2"], color=style.COLOURS["control"], **size)
    end = max(np.sqrt(table["distance2"]).max() for table in data.values())
    r = np.linspace(0, end, 100)
    ax.plot(r, 1 + np.exp(-(r**2) / 2), color=style.COLOURS["theory"], label="talk: K = 1 + exp(-|x-y|²/2d)")
    ax.plot([], [], "o:", color=style.COLOURS["control"], label="control: normaliser of\nthe authors' code (d > 1)")
    ax.set(title="(a) All widths pooled", xlabel="distance of the inputs |x-y|/√d", ylabel="E[f(x) f(y)]", yscale="log")
    ax.set_yticks([2, 4, 8], ["2", "4", "8"])
    ax.minorticks_off()
    ax.set_ylim(1.4, 22)
    ax.legend(loc="upper right", ncols=1, fontsize=7)


def _width(ax: Axes, data: dict[str, pd.DataFrame], rule: dict[str, float]) -> None:
    """Means with about their intervals over seeds; the dimensions stand beside each other to be told apart."""
    shifts = dict(zip(data, np.geomspace(0.85, 1.18, len(data)), strict=True))
    for arm, table in data.items():
        by_seed = ratios(table, "formula")
        ax.errorbar(
            by_seed.columns * shifts[arm],
            by_seed.mean(),
            REACH * by_seed.sem(),
            fmt=MARKERS[arm],
            color=style.COLOURS["measured"],
            label=f"{_d(arm)}",
            linewidth=0.8,
            markersize=3.5,
        )
    low, high = rule["equals"] - rule["within"], rule["equals"] + rule["within"]
    ax.axhspan(low, high, color=style.COLOURS["paper"], alpha=0.15, linewidth=0, label=f"accepted: {low:g} to {high:g}")
    ax.axhline(1, color=style.COLOURS["theory"], label="talk, at every width")
    ax.set(title=f"(b) The talk's net, mean ± {REACH:g} s.e. over seeds", xscale="log")
    ax.set(xlabel="width N (hidden neurons)", ylabel="E[f(x) f(y)] / K, mean over pairs")
    ax.margins(y=0.45)
    ax.legend(loc="upper center", ncols=3, fontsize=7)


def _controls(ax: Axes, data: dict[str, pd.DataFrame]) -> None:
    """Measured points on the closed form of each variant, by dimension."""
    for arm, table in data.items():
        for variant, colour in (("formula", "measured"), ("authors", "control"), ("shifted", "paper")):
            if variant == "authors" and arm == HIDDEN_BUG:
                continue
            measured = ratios(table, variant).mean()
            theory = ratios(table.assign(g2=table["theory"]), variant).mean()
            ax.plot(theory.index, theory, "-", color=style.COLOURS["theory"], linewidth=0.8)
            ax.plot(measured.index, measured, MARKERS[arm], color=style.COLOURS[colour], alpha=0.8)
        if arm != HIDDEN_BUG:
            ax.annotate(
                _d(arm), (2, ratios(table, "authors").mean().iloc[0] * 1.07), color=style.COLOURS["control"], fontsize=8
            )
    labels = {
        "measured": "talk's net",
        "control": "authors' normaliser",
        "paper": "last layer with a mean",
        "theory": "closed forms",
    }
    for colour, label in labels.items():
        ax.plot([], [], "-" if colour == "theory" else "o", color=style.COLOURS[colour], label=label)
    ax.set(title="(c) With the controls", xscale="log", yscale="log", xlabel="width N (hidden neurons)")
    ax.set_ylabel("E[f(x) f(y)] / K, mean over pairs")
    ax.set_yticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
    ax.minorticks_off()
    ax.legend(loc="upper left", fontsize=7)


def _d(arm: str) -> str:
    return f"d = {arm[1:]}"

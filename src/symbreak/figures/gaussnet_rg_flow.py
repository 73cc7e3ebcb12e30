"""Figure of ``gaussnet-rg-flow``: ReLU-net's quartic coupling against the cutoff in one, two and three dimensions."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symbreak.claims.gaussnet.rg_flow import regressions
from symbreak.claims.tables import Tables
from symbreak.figures import style

DIMENSIONS = (1, 2, 3)
MARKERS = {1: "o", 2: "s", 3: "^"}


def draw(tables: Tables, evidence: dict[str, Any]) -> Figure:
    """Draw the flow, the flow times its power of the cutoff, and the intercepts by ensemble.

    Args:
        tables: Table ``quartic_flow`` of the experiment ``gaussnet_rg_flow``.
        evidence: The claim file.
    """
    figure, axes = style.figure(ncols=3, figsize=(13.0, 4.6))
    _flow(axes[0], tables)
    _scaled(axes[1], tables)
    _intercepts(axes[2], tables, evidence)
    style.verdict_title(figure, evidence)
    return figure


def _flow(ax: Axes, tables: Tables) -> None:
    for d in DIMENSIONS:
        sampled, exact = (_means(tables, arm, ["cutoff"])["coupling"] for arm in (f"d{d}", f"d{d}_exact"))
        slope = regressions(tables, f"d{d}")["slope"].mean()
        label = f"d = {d}: slope {slope:.3f}"
        ax.plot(sampled.index, sampled, MARKERS[d], color=style.COLOURS["measured"], label=label)
        ax.plot(exact.index, exact, color=style.COLOURS["theory"], linewidth=0.8)
        biased = _means(tables, f"d{d}_bias", ["cutoff"])["coupling"]
        ax.plot(biased.index, biased, MARKERS[d], fillstyle="none", color=style.COLOURS["control"])
    slopes = ", ".join(f"{regressions(tables, f'd{d}_bias')['slope'].mean():.3f}" for d in DIMENSIONS)
    ax.plot([], [], "o", fillstyle="none", color=style.COLOURS["control"], label=f"control, biases:\n{slopes}")
    ax.plot([], [], color=style.COLOURS["theory"], linewidth=0.8, label="exact ΔG4")
    ax.set(title="(a) N = 20, mean over quadruples", xscale="log", yscale="log")
    ax.set(xlabel="cutoff Λ", ylabel="quartic coupling λ = ΔG4 / T0")
    ax.legend(loc="lower left", fontsize=7)


def _scaled(ax: Axes, tables: Tables) -> None:
    """Dimensions stand beside each other to be told apart; at d = 1 all quadruples have the same coupling."""
    for d in DIMENSIONS:
        rows = _means(tables, f"d{d}", ["cutoff", "element"]).reset_index()
        scaled, beside = rows["coupling"] * rows["cutoff"] ** (4 + d), rows["cutoff"] * 1.12 ** (d - 2)
        ax.plot(beside, scaled, MARKERS[d], color=style.COLOURS["measured"], markersize=2)
        biased = _means(tables, f"d{d}_bias", ["cutoff"])["coupling"]
        look: dict[str, Any] = {"fillstyle": "none", "color": style.COLOURS["control"], "linewidth": 0.8}
        ax.plot(biased.index, biased * biased.index ** (4.0 + d), f"{MARKERS[d]}-", **look)
        exact = _means(tables, f"d{d}_exact", ["cutoff"])["coupling"]
        ax.plot(exact.index, exact * exact.index ** (4.0 + d), color=style.COLOURS["theory"], linewidth=0.8)
        ax.plot([], [], MARKERS[d], color=style.COLOURS["measured"], markersize=4, label=f"d = {d}")
    ax.plot([], [], "o-", **look, label="control: biases, mean")
    ax.plot([], [], color=style.COLOURS["theory"], linewidth=0.8, label="exact, mean over quadruples")
    ax.set(title="(b) By quadruple of inputs", xscale="log", xlabel="cutoff Λ", ylabel="λ · Λ$^{4+d}$")
    ax.set_yscale("log")
    ax.set_ylim(0.5, 12)
    ax.set_yticks([0.5, 1, 2, 5, 10], ["0.5", "1", "2", "5", "10"])
    ax.minorticks_off()
    ax.legend(loc="upper right", fontsize=7, ncols=2)


def _intercepts(ax: Axes, tables: Tables, evidence: dict[str, Any]) -> None:
    for d in DIMENSIONS:
        rule = evidence["parts"][f"intercept_d{d}"]["rule"]
        band = (rule["equals"] - rule["within"], rule["equals"] + rule["within"])
        ax.fill_between([d - 0.35, d + 0.35], *band, color=style.COLOURS["paper"], alpha=0.35, linewidth=0)
        exact = regressions(tables, f"d{d}_exact")["intercept"].iloc[0]
        ax.hlines(exact, d - 0.35, d + 0.35, color=style.COLOURS["theory"], linewidth=0.8)
        for arm, colour, at in ((f"d{d}", "measured", d - 0.15), (f"d{d}_wide", "control", d + 0.15)):
            found = regressions(tables, arm)["intercept"]
            ax.plot(np.full(len(found), at), found, ".", color=style.COLOURS[colour], alpha=0.6)
    labels = {"measured": "N = 20, a seed", "control": "control: N = 100"}
    for name, label in labels.items():
        ax.plot([], [], ".", color=style.COLOURS[name], label=label)
    ax.plot([], [], color=style.COLOURS["theory"], linewidth=0.8, label="exact, N = 20")
    ax.fill_between([], [], color=style.COLOURS["paper"], alpha=0.35, label="accepted")
    ax.set_xticks(DIMENSIONS, [f"d = {d}" for d in DIMENSIONS])
    ax.set(title="(c) Height: the networks", ylabel="intercept of log10 λ at Λ = 1")
    ax.set_ylim(top=0.35)
    ax.legend(loc="upper left", fontsize=7, ncols=2)


def _means(tables: Tables, arm: str, by: list[str]) -> pd.DataFrame:
    return tables(arm, "quartic_flow").groupby(by)[["coupling"]].mean()

"""Figure of ``gaussnet-coupling``: how well each model fits, where it stops to, and the sampled couplings."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symbreak.claims.gaussnet.coupling import NETS, ratios
from symbreak.claims.tables import Tables
from symbreak.figures import style

LABELS = {"local": "λ0", "squared": "λ0, λ2", "nonlocal": "λ0, λ2, λNL", "constant": "constant, no integral"}
COLOURS = dict(zip(LABELS, (style.COLOURS["measured"], *style.CYCLE[4:6], style.COLOURS["control"]), strict=True))
MARKERS = dict(zip(LABELS, "osD^", strict=True))
FLOOR = 1e-8  # percent; below it an error is rounding


def draw(tables: Tables, evidence: dict[str, Any]) -> Figure:
    """Draw errors by model and by size of the inputs, condition numbers, and sampled couplings by seed.

    Args:
        tables: Table ``quartic_fit`` of the experiment ``gaussnet_coupling``.
        evidence: The claim file.
    """
    figure, axes = style.figure(ncols=2, nrows=2, figsize=(10.5, 8.2))
    exact = {net: tables(net, "quartic_fit").set_index("model") for net in NETS}
    spread = tables("gauss_spread", "quartic_fit")
    bound = evidence["parts"]["held_out"]["rule"]["at_most"]
    _models(axes[0, 0], exact, bound)
    _sizes(axes[0, 1], spread, bound)
    _condition(axes[1, 0], exact, spread, evidence["parts"]["collinear"]["rule"]["at_most"])
    _sampled(axes[1, 1], tables)
    style.verdict_title(figure, evidence)
    return figure


def _models(ax: Axes, exact: dict[str, pd.DataFrame], bound: float) -> None:
    """Models beside each other at each net."""
    for shift, model in zip(np.linspace(-0.24, 0.24, len(LABELS)), LABELS, strict=True):
        errors = [max(float(table["max_error"][model]), FLOOR) for table in exact.values()]
        ax.plot(np.arange(len(exact)) + shift, errors, MARKERS[model], color=COLOURS[model], label=LABELS[model])
    ax.axhline(bound, color=style.COLOURS["paper"], label=f"accepted: at most {bound:g} %")
    ax.set_xticks(range(len(exact)), ["Gauss, N = 1000", "Erf, N = 5", "ReLU, N = 20"])
    ax.set(title="(a) Inputs of the code, exact ΔG4", yscale="log", ylabel="largest error at test inputs (%)")
    ax.set_ylim(FLOOR / 4, 3e6)
    ax.text(2.3, FLOOR * 3, f"at or below {FLOOR:g}: rounding", fontsize=7, ha="right")
    ax.legend(loc="upper left", ncols=2, fontsize=7)


def _sizes(ax: Axes, spread: pd.DataFrame, bound: float) -> None:
    for model, label in LABELS.items():
        rows = spread[spread["model"] == model]
        ax.plot(rows["size"], rows["max_error"], f"{MARKERS[model]}-", color=COLOURS[model], label=label)
    ax.axhline(bound, color=style.COLOURS["paper"], label=f"accepted: at most {bound:g} %")
    ax.set(title="(b) Gauss-net, inputs ±1, ±0.6, ±0.2 times a size", xscale="log", yscale="log")
    ax.set(xlabel="size of the inputs (the code's: 0.01; control: 1)", ylabel="largest error at test inputs (%)")
    ax.legend(loc="upper left", fontsize=7)


def _condition(ax: Axes, exact: dict[str, pd.DataFrame], spread: pd.DataFrame, bound: float) -> None:
    rows = spread[spread["model"] == "nonlocal"]
    curve: dict[str, Any] = {"color": style.COLOURS["control"], "label": "Gauss, by size of the inputs"}
    ax.plot(rows["size"], rows["reciprocal_condition"], "s-", **curve)
    for net, marker, at in zip(NETS, "oD^", (0.01, 0.01, 1.0), strict=True):
        value = float(exact[net]["reciprocal_condition"]["nonlocal"])
        ax.plot(at, value, marker, color=style.COLOURS["measured"], label=f"{_name(net)}, inputs of the code")
    ax.axhline(bound, color=style.COLOURS["paper"], label=f"accepted: at most {bound:g}")
    ax.set(title="(c) λ0, λ2, λNL together: collinear?", xscale="log", yscale="log", xlabel="size of the inputs")
    ax.set(ylabel="1 / condition number (0: collinear)")
    ax.set_ylim(top=1e3)
    ax.legend(loc="upper left", fontsize=7, ncols=2)


def _sampled(ax: Axes, tables: Tables) -> None:
    """Every seed, and beside it mean and standard error."""
    for at, net in enumerate(NETS):
        found = ratios(tables, net, "local")
        ax.plot(np.full(len(found), at), found, "o", color=style.COLOURS["measured"], alpha=0.4, markersize=3)
        error = found.std() / np.sqrt(len(found))
        ax.errorbar(at + 0.15, found.mean(), error, fmt="s", color=style.COLOURS["measured"], linewidth=1)
    ax.plot([], [], "o", color=style.COLOURS["measured"], alpha=0.4, label="a seed")
    ax.plot([], [], "s", color=style.COLOURS["measured"], label="mean ± s.e.")
    ax.axhline(1, color=style.COLOURS["theory"], label="exact")
    whole = {net: ratios(tables, net, "whole").mean() for net in NETS}
    words = ", ".join(f"{_name(net)} {value:.3g}" for net, value in whole.items())
    ax.plot([], [], " ", label=f"control, fitted to the whole G4:\n{words} (off scale)")
    ax.set_xticks(range(len(NETS)), ["Gauss, neurons", "Erf, neurons", "ReLU, networks"])
    ax.set(title="(d) Sampled", ylabel="λ0 / exact λ0")
    ax.set_xlim(-0.5, len(NETS) - 0.5)
    ax.legend(loc="upper left", fontsize=7)


def _name(net: str) -> str:
    return {"gauss": "Gauss", "erf": "Erf", "relu": "ReLU"}[net]

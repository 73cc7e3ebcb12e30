"""Figure of ``gaussnet-fashion-collapse``: accuracy against mu k^p for three exponents, and the misfit by exponent."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from symbreak.claims.gaussnet.fashion import KS, MUS, Floats, accuracies, maps
from symbreak.claims.gaussnet.fashion_collapse import DEGREE, MU, K, misfit
from symbreak.claims.gaussnet.fashion_direction import turned
from symbreak.claims.gaussnet.published_fashion import ACCURACY
from symbreak.claims.tables import Tables
from symbreak.figures import style
from symbreak.figures.fashion import SHADES, TURNED, mean_bar

SHOWN = ((0.0, "(a) p = 0: against μ"), (0.5, "(b) p = 1/2: against μ√k"), (1.0, "(c) p = 1: against μk"))
EXPONENTS = np.linspace(-1, 1.5, 126)


def draw(tables: Tables, evidence: dict[str, Any]) -> Figure:
    """Draw the cells against mu k^p, and how badly one curve fits them by p.

    Args:
        tables: Tables ``accuracy`` of the experiment ``fashion_means``.
        evidence: The claim file.
    """
    figure, axes = style.figure(ncols=4, figsize=(14, 4.2), width_ratios=(1, 1, 1, 1.15))
    found = maps(tables)[1]
    for ax, (p, title) in zip(axes[:3], SHOWN, strict=True):
        _against(ax, found, p)
        ax.set(title=title, xlabel="μ kᵖ")
    axes[0].set_ylabel("accuracy on test images (%)")
    _turned(axes[1], tables)
    axes[1].legend(loc="lower left", fontsize=7)
    _misfits(axes[3], found, evidence["parts"]["exponent"])
    style.verdict_title(figure, evidence)
    return figure


def _weighted(found: Floats) -> tuple[Floats, Floats]:
    cells = found.reshape(len(found), -1)
    return cells.mean(axis=0), np.sqrt(len(cells)) / cells.std(axis=0, ddof=1)


def _against(ax: Axes, found: Floats, p: float) -> None:
    means, weights = _weighted(found)
    x = MU * K**p
    for k in KS:
        where = k == K
        ax.errorbar(x[where], 100 * means[where], 100 / weights[where], fmt="o", color=SHADES[k], label=f"k = {k}")
        published = [100 * ACCURACY[mu, k] for mu in MUS]
        ax.plot(x[where], published, "x", color=SHADES[k], alpha=0.6, markersize=6)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.plot([], [], "x", color="grey", label="published")
    curve = np.polynomial.Polynomial.fit(x, means, DEGREE, w=weights)
    grid = np.linspace(x.min(), x.max(), 100)
    ax.plot(grid, 100 * curve(grid), color="black", linewidth=1, label="common curve")


def _turned(ax: Axes, tables: Tables) -> None:
    for mu in (0.10, 0.20):
        mean, half = mean_bar(accuracies(tables, turned(mu)))
        label = "random direction" if mu == 0.10 else None
        at = mu * np.sqrt(10)
        ax.errorbar(at, mean, half, fmt="*", color=TURNED, markersize=11, zorder=3, label=label)


def _misfits(ax: Axes, found: Floats, part: dict[str, Any]) -> None:
    """Mean square of the residuals in standard errors: about one minus parameters over cells for a right curve."""
    means, weights = _weighted(found)
    exchanged, their_weights = _weighted(found[:, :, ::-1])
    free = len(means) - DEGREE - 2
    curves = {"measured": (means, weights), "control": (exchanged, their_weights)}
    for key, label in (("measured", "measured"), ("control", "control: k = 2 and 10 exchanged")):
        values = [misfit(p, *curves[key]) / free for p in EXPONENTS]
        ax.plot(EXPONENTS, values, color=style.COLOURS[key], label=label)
    low, high = (part["rule"]["equals"] + sign * part["rule"]["within"] for sign in (-1, 1))
    ax.axvspan(low, high, color=style.COLOURS["paper"], alpha=0.2, linewidth=0, label=f"accepted: {low:g} to {high:g}")
    for key, it, y in (("measured", part, 0.03), ("control", part["control"], 0.08)):
        _interval(ax, it, y, style.COLOURS[key])
    ax.axhline(1, color="black", linewidth=0.8, linestyle=":")
    ax.set_yscale("log")
    ax.set_ylim(top=6 * ax.get_ylim()[1])  # room for the legend
    ax.set(title="(d) Misfit, and intervals of p", xlabel="exponent p", ylabel="χ² per degree of freedom")
    ax.legend(loc="upper right", fontsize=7)


def _interval(ax: Axes, it: dict[str, Any], y: float, colour: str) -> None:
    look: dict[str, Any] = {"transform": ax.get_xaxis_transform(), "color": colour, "linewidth": 3}
    if it["low"] is not None:
        ax.plot(np.clip([it["low"], it["high"]], EXPONENTS[0], EXPONENTS[-1]), [y, y], **look)
    if it["estimate"] is not None:
        ax.plot(it["estimate"], y, "o", **look)

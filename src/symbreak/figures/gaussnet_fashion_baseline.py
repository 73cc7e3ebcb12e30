"""Figure of ``gaussnet-fashion-baseline``: accuracy with k = 0 by the mean that is not used."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symbreak.claims.gaussnet.fashion import MUS, accuracies, hot
from symbreak.claims.gaussnet.published_fashion import ACCURACY
from symbreak.claims.tables import Tables
from symbreak.figures import style
from symbreak.figures.fashion import intervals, mean_bar, strip


def draw(tables: Tables, evidence: dict[str, Any]) -> Figure:
    """Draw every network with k = 0 by its mu, and the slopes decided on.

    Args:
        tables: Tables ``accuracy`` of the experiment ``fashion_means``.
        evidence: The claim file.
    """
    figure, axes = style.figure(ncols=2, figsize=(9.5, 4.2), width_ratios=(1.4, 1))
    _networks(axes[0], tables, evidence["parts"]["level"]["rule"])
    intervals(axes[1], evidence["parts"], {"slope": "k = 0 (control: k = 10)"}, scale=100)
    axes[1].set(title="(b) Slope against μ", xlabel="percentage points per 0.1 of μ")
    axes[1].legend(loc="lower left")
    style.verdict_title(figure, evidence)
    return figure


def _networks(ax: Axes, tables: Tables, rule: dict[str, float]) -> None:
    low, high = (100 * (rule["equals"] + sign * rule["within"]) for sign in (-1, 1))
    label = f"accepted for the mean: {low:.1f} to {high:.1f} %"
    ax.axhspan(low, high, color=style.COLOURS["paper"], alpha=0.15, linewidth=0, label=label)
    for place, mu in enumerate(MUS):
        found = accuracies(tables, hot(mu, 0))
        strip(ax, place - 0.12, found, style.COLOURS["measured"])
        strip(ax, place + 0.2, accuracies(tables, hot(mu, 0), "test"), style.COLOURS["measured"], alpha=0.25)
        mean, half = mean_bar(found)
        ax.errorbar(place - 0.12, mean, half, fmt="_", color="black", markersize=14, zorder=3)
    ax.plot([], [], "o", color=style.COLOURS["measured"], alpha=0.6, label="a network, best epoch (pale: last epoch)")
    ax.errorbar([], [], [], fmt="_", color="black", label="mean with 95 % interval")
    published = 100 * np.array([ACCURACY[mu, 0] for mu in MUS])
    ax.plot(range(len(MUS)), published, "x", color=style.COLOURS["paper"], markersize=8, label="published (read off)")
    ax.set_xticks(range(len(MUS)), [f"{mu:.2f}" for mu in MUS])
    ax.set(title="(a) k = 0", xlabel="mean that no output has, μ", ylabel="accuracy on test images (%)")
    ax.margins(y=0.4)
    ax.legend(loc="lower center", ncols=2, fontsize=7)

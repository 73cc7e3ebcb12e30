"""Figure of ``gaussnet-fashion-direction``: means of one length along all outputs and in a random direction."""

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symbreak.claims.gaussnet.fashion import accuracies, hot
from symbreak.claims.gaussnet.fashion_direction import turned
from symbreak.claims.tables import Tables
from symbreak.figures import style
from symbreak.figures.fashion import TURNED, intervals, mean_bar, strip

LENGTHS = (0.10, 0.20)


def draw(tables: Tables, evidence: dict[str, Any]) -> Figure:
    """Draw the networks of both directions and lengths, and the difference decided on.

    Args:
        tables: Tables ``accuracy`` of the experiment ``fashion_means``.
        evidence: The claim file.
    """
    figure, axes = style.figure(ncols=2, figsize=(9.5, 4.2), width_ratios=(1.3, 1))
    _networks(axes[0], tables)
    names = {"difference": "random direction less k = 10, μ = 0.20\n(control: k = 0 less k = 10)"}
    intervals(axes[1], evidence["parts"], names, scale=100)
    axes[1].set(title="(b) Difference decided on", xlabel="percentage points", ylim=(-0.5, 0.9))
    axes[1].legend(loc="lower right", fontsize=7)
    style.verdict_title(figure, evidence)
    return figure


def _networks(ax: Axes, tables: Tables) -> None:
    order = {"k = 0": (hot(0.20, 0), style.COLOURS["theory"])}
    for mu in LENGTHS:
        order[f"k = 10,\nμ = {mu:.2f}"] = (hot(mu, 10), style.COLOURS["measured"])
        order[f"random,\nμ√10 = {mu * math.sqrt(10):.2f}"] = (turned(mu), TURNED)
    for place, (arm, colour) in enumerate(order.values()):
        found = accuracies(tables, arm)
        strip(ax, place, found, colour)
        mean, half = mean_bar(found)
        ax.errorbar(place + 0.22, mean, half, fmt="_", color="black", markersize=10, zorder=3)
    ax.errorbar([], [], [], fmt="_", color="black", label="mean with 95 % interval")
    ax.set_xticks(range(len(order)), list(order))
    ax.set(title="(a) A marker a network, best epoch", ylabel="accuracy on test images (%)")
    ax.legend(loc="lower left", fontsize=7)

"""Figure of ``gaussnet-fashion-spread``: how much accuracy varies between runs, by mean and shifted outputs."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symbreak.claims.gaussnet.fashion import KS, MUS, Floats, accuracies, hot
from symbreak.claims.gaussnet.fashion_spread import log_relative_spread, pseudo_values
from symbreak.claims.gaussnet.published_fashion import SPREAD
from symbreak.claims.intervals import t_interval
from symbreak.claims.tables import Tables
from symbreak.figures import style
from symbreak.figures.fashion import SHADES, intervals

FLOOR = 0.4  # percent: where the published colours end
PARTS = {"points": "spread in points", "percent": "spread in percent of the mean"}


def draw(tables: Tables, evidence: dict[str, Any]) -> Figure:
    """Draw spread against mu with the published one, and the log ratios decided on.

    Args:
        tables: Tables ``accuracy`` of the experiment ``fashion_means``.
        evidence: The claim file.
    """
    figure, axes = style.figure(ncols=2, figsize=(10, 4.4), width_ratios=(1.3, 1))
    _spreads(axes[0], tables)
    intervals(axes[1], evidence["parts"], PARTS)
    axes[1].set(title="(b) Log ratio of the spread at μ = 0.20, k = 10 to k = 0", xlabel="log ratio (0: equal)")
    ratios = (1, 2, 5, 10, 20, 50, 100)
    top = axes[1].secondary_xaxis("top")
    top.set_xticks([math.log(r) for r in ratios], [f"{r}:1" for r in ratios])
    top.tick_params(labelsize=7, pad=0)
    axes[1].title.set_position((0, 1.1))
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower right", ncols=3)
    style.verdict_title(figure, evidence)
    return figure


def _spreads(ax: Axes, tables: Tables) -> None:
    for shift, k in zip(np.linspace(-0.003, 0.003, len(KS) + 1), (0, *KS), strict=True):
        found = [accuracies(tables, hot(mu, k)) for mu in MUS]
        ends = np.array([_interval(values) for values in found])
        middle = np.array([100 * math.exp(log_relative_spread(values)) for values in found])
        where = np.array(MUS) + shift
        errors = np.abs(ends.T - middle)
        ax.errorbar(where, middle, errors, fmt="o-", color=SHADES[k], linewidth=1, label=f"k = {k}, measured")
        ax.plot(where, [100 * SPREAD[mu, k] for mu in MUS], "x", color=SHADES[k], markersize=7, markeredgewidth=1.6)
    ax.plot([], [], "x", color="black", markersize=7, markeredgewidth=1.6, label="published")
    ax.axhline(FLOOR, color=style.COLOURS["paper"], linestyle=":", label="published colours end")
    ax.set(title="(a) Spread over runs", xlabel="mean of the weights, μ", ylabel="standard deviation / mean (%)")
    ax.set(yscale="log")
    ax.set_yticks([0.2, 0.5, 1, 2, 5, 10, 20], ["0.2", "0.5", "1", "2", "5", "10", "20"])
    ax.set_xticks(MUS, [f"{mu:.2f}" for mu in MUS])
    ax.minorticks_off()
    ax.legend(loc="upper left", fontsize=7, ncols=2)


def _interval(values: Floats) -> tuple[float, float]:
    low, high = t_interval(pseudo_values(values, log_relative_spread), 0.95)
    return 100 * math.exp(low), 100 * math.exp(high)

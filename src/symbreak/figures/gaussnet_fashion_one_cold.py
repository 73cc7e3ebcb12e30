"""Figure of ``gaussnet-fashion-one-cold``: accuracy against the mean with one-cold targets, on the published curve."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symbreak.claims.gaussnet.fashion import HELPFUL, accuracies, baseline, cold, hot
from symbreak.claims.gaussnet.fashion_means import REACH
from symbreak.claims.gaussnet.fashion_one_cold import GRID, vertex
from symbreak.claims.gaussnet.published_fashion import ONE_COLD
from symbreak.claims.tables import Tables
from symbreak.figures import style
from symbreak.figures.fashion import Floats, intervals, mean_bar

PARTS = {
    "hurts": "μ = 0.03 over 0.10\n(control: μ = -0.03 over 0)",
    "helps": "μ = 0.03 over 0\n(control: the same, one-hot)",
}
READING = 0.01  # percent, of the published curve
NORMAL_95 = 1.96


def draw(tables: Tables, evidence: dict[str, Any]) -> Figure:
    """Draw the curve with the published band and its controls, and the intervals decided on.

    Args:
        tables: Tables ``accuracy`` of the experiment ``fashion_means``.
        evidence: The claim file.
    """
    figure, axes = style.figure(ncols=2, figsize=(11, 5.2), width_ratios=(1.6, 1))
    _published(axes[0])
    _curve(axes[0], tables)
    _controls(axes[0], tables)
    _vertex(axes[0], tables)
    axes[0].set(title="(a) k = 10, targets 1 - one-hot", xlabel="mean of the weights, μ")
    axes[0].set_ylabel("accuracy on test images (%)")
    intervals(axes[1], evidence["parts"], PARTS, scale=100)
    axes[1].set(title="(b) Differences decided on", xlabel="percentage points", ylim=(-0.5, 1.75))
    axes[1].legend(loc="lower right", fontsize=7)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=3)
    style.verdict_title(figure, evidence)
    return figure


def _published(ax: Axes) -> None:
    mean, low, high = np.array(list(ONE_COLD.values())).T
    ax.fill_between(list(ONE_COLD), low, high, color=style.COLOURS["paper"], alpha=0.25, linewidth=0)
    ax.plot(list(ONE_COLD), mean, "--", color=style.COLOURS["paper"], label="published, with its 95 % band")


def _curve(ax: Axes, tables: Tables) -> None:
    bars = np.array([mean_bar(accuracies(tables, cold(mu))) for mu in GRID])
    last = [100 * accuracies(tables, cold(mu), "test").mean() for mu in GRID]
    ax.errorbar(GRID, bars[:, 0], bars[:, 1], fmt="o-", color=style.COLOURS["measured"], label="measured, best epoch")
    ax.plot(GRID, last, "o-", color=style.COLOURS["measured"], alpha=0.35, markersize=3, label="measured, last epoch")
    away = [mu for mu in GRID if _differs(accuracies(tables, cold(mu)), mu)]
    named = ", ".join(f"{mu:.2f}" for mu in away) or "none"
    rings = [100 * accuracies(tables, cold(mu)).mean() for mu in away]
    ring: dict[str, Any] = {"markersize": 12, "markerfacecolor": "none", "linestyle": "none"}
    ax.plot(away, rings, "o", color="black", label=f"beyond {REACH:g} s.e. of the published: {named}", **ring)


def _differs(found: Floats, mu: float) -> bool:
    mean, low, high = ONE_COLD[mu]
    theirs = (high - low) / (2 * NORMAL_95)
    ours = 100 * found.std(ddof=1) / np.sqrt(len(found))
    return bool(abs(100 * found.mean() - mean) > REACH * np.sqrt(ours**2 + theirs**2 + READING**2))


def _controls(ax: Axes, tables: Tables) -> None:
    colour = style.COLOURS["control"]
    unshifted = np.array([unit.value for unit in baseline(tables)])
    one_hot = np.array([mean_bar(v) for v in (unshifted, accuracies(tables, hot(HELPFUL, 10)))])
    ax.errorbar((0, HELPFUL), one_hot[:, 0], one_hot[:, 1], fmt="s:", color=colour, label="control: one-hot targets")
    mean, half = mean_bar(accuracies(tables, cold(-HELPFUL)))
    ax.errorbar(-HELPFUL, mean, half, fmt="D", color=colour, label=f"control: μ = -{HELPFUL:g}")


def _vertex(ax: Axes, tables: Tables) -> None:
    """Where the parabola peaks, as a bar at the top with its interval."""
    at, low, high = vertex(tables)
    y, label = 0.97, f"vertex of a parabola: {at:.3f} ({low:.3f} to {high:.3f}), not decided"
    look: dict[str, Any] = {"transform": ax.get_xaxis_transform(), "color": "black"}
    ax.plot([low, high], [y, y], linewidth=1, **look)
    ax.plot(at, y, "v", label=label, **look)
    ax.margins(y=0.12)

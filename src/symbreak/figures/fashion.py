"""What the figures of the claims on Fashion-MNIST (arXiv:2106.00694) share."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.markers import CARETLEFTBASE, CARETRIGHTBASE
from numpy.typing import NDArray

from symbreak.claims.intervals import t_interval
from symbreak.figures import style

Floats = NDArray[np.float64]
PATCH = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.8}  # keeps words readable on lines
TURNED = style.CYCLE[2]  # of means in a random direction
SHADES = {0: "#999999", 2: "#56B4E9", 6: "#0072B2", 10: "#00304A"}  # by k


def mean_bar(values: Floats) -> tuple[float, float]:
    """Return mean and half width of its 95 % interval (Student), in percent, of accuracies ``values [n]``."""
    low, high = t_interval(100 * values, 0.95)
    return float((low + high) / 2), float((high - low) / 2)


def strip(ax: Axes, at: float, values: Floats, colour: str, **look: Any) -> None:
    """Draw one marker a network, spread sideways in the order that they have so that they do not hide each other."""
    across = at + np.linspace(-0.1, 0.1, len(values))
    ax.plot(across, 100 * values, "o", color=colour, **({"alpha": 0.6, "markersize": 3} | look))


def intervals(ax: Axes, parts: dict[str, Any], names: dict[str, str], scale: float = 1.0) -> None:
    """Draw the interval of each part and of its control, one above the other, and the set that the rule wants.

    Args:
        ax: Where.
        parts: The claim file's parts.
        names: Parts to draw, in order from below, and their words.
        scale: From the quantity's unit to the axis's.
    """
    for row, (name, words) in enumerate(names.items()):
        part = parts[name]
        for offset, key, it in ((0.12, "measured", part), (-0.12, "control", part["control"])):
            label = {"measured": "claim", "control": "its control"}[key] if row == 0 else None
            _interval(ax, row + offset, it, scale, style.COLOURS[key], label)
        _rule(ax, row + 0.12, part["rule"], scale, "accepted" if row == 0 else None)
        ax.annotate(words, (0.02, row + 0.27), xycoords=("axes fraction", "data"), fontsize=8, bbox=PATCH)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_yticks([])
    ax.set(ylim=(-0.5, len(names) - 0.3))
    ax.margins(x=0.12)


def _interval(ax: Axes, at: float, it: dict[str, Any], scale: float, colour: str, label: str | None) -> None:
    """A bar from end to end; only the estimate, or nothing, where there is no interval."""
    if it["low"] is not None:
        ax.plot([scale * it["low"], scale * it["high"]], [at, at], color=colour, linewidth=3)
    if it["estimate"] is not None:
        ax.plot(scale * it["estimate"], at, "o", color=colour)
    ax.plot([], [], "o-", color=colour, linewidth=3, label=label)


def _rule(ax: Axes, at: float, rule: dict[str, float], scale: float, label: str | None) -> None:
    """The accepted band as a wide pale bar; of a rule with one edge, a wedge that points inside."""
    colour = style.COLOURS["paper"]
    if "equals" in rule:
        ends = [scale * (rule["equals"] + sign * rule["within"]) for sign in (-1, 1)]
        ax.plot(ends, [at, at], color=colour, linewidth=11, alpha=0.3, solid_capstyle="butt", zorder=0, label=label)
        return
    kind, edge = next(iter(rule.items()))
    inside = CARETRIGHTBASE if kind in ("above", "at_least") else CARETLEFTBASE
    ax.plot(scale * edge, at, marker=inside, color=colour, markersize=10, linestyle="none", label=label)

"""Figure of ``expansion-accuracy``: what input dimension expansion gains, and what plain upsampling gains."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symbreak.claims.accuracy import paired_gain
from symbreak.claims.tables import Tables
from symbreak.figures import style

ARMS = {
    "raw": "raw\n32 x 32",
    "sham": "control:\nraw again",
    "constant": "expanded,\nfill 0.5",
    "zero": "expanded,\nfill 0",
    "nearest": "upsampled,\nnearest",
}
PARTS = {
    "constant_over_zero": "fill 0.5 over fill 0",
    "constant_over_nearest": "fill 0.5 over upsampling",
    "gain": "fill 0.5 over raw",
}

PATCH = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}  # keeps words readable on lines


def draw(tables: Tables, evidence: dict[str, Any]) -> Figure:
    """Draw accuracies, gains over raw images paired by seed, and the intervals that were decided.

    Args:
        tables: Tables ``accuracy`` of the experiment ``expansion``.
        evidence: The claim file.
    """
    figure, axes = style.figure(ncols=3, nrows=1, figsize=(11.5, 4), width_ratios=(1.25, 1.05, 1))
    _accuracies(axes[0], tables)
    _gains(axes[1], tables)
    _decided(axes[2], evidence["parts"])
    _operator(axes[2], evidence["parts"]["operator"])
    figure.legend(*axes[2].get_legend_handles_labels(), loc="outside lower right", ncols=3)
    style.verdict_title(figure, evidence)
    return figure


def _strip(ax: Axes, position: int, percent: Sequence[float], arm: str) -> None:
    """One marker a seed and their mean."""
    colour = style.COLOURS["control" if arm == "sham" else "measured"]
    ax.plot([position] * len(percent), percent, "o", color=colour, alpha=0.5)
    ax.plot(position, np.mean(percent), "_", color="black", markersize=20)


def _accuracies(ax: Axes, tables: Tables) -> None:
    for position, arm in enumerate(ARMS):
        table = tables(arm, "accuracy")
        _strip(ax, position, list(100 * table["test_correct"] / table["test_count"]), arm)
    ax.set_xticks(range(len(ARMS)), list(ARMS.values()))
    ax.set(title="Test accuracy, a marker a seed", ylabel="accuracy (%)")


def _gains(ax: Axes, tables: Tables) -> None:
    """Differences to the raw arm of the same seed."""
    arms = [arm for arm in ARMS if arm != "raw"]
    for position, arm in enumerate(arms):
        _strip(ax, position, [100 * unit.value for unit in paired_gain(tables, arm, "raw")], arm)
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_xticks(range(len(arms)), [ARMS[arm] for arm in arms])
    ax.set(title="Gain over raw, same seed", ylabel="percentage points")


def _decided(ax: Axes, parts: dict[str, Any]) -> None:
    """Intervals of the statistical parts and of their controls, and the edge that the claim must lie beyond."""
    for row, (name, words) in enumerate(PARTS.items()):
        for offset, key, it in ((0.12, "measured", parts[name]), (-0.12, "control", parts[name]["control"])):
            label = {"measured": "claim", "control": "its control"}[key] if row == 0 else None
            _interval(ax, row + offset, it, style.COLOURS[key], label)
        rule = parts[name]["rule"]
        edge = 100 * rule.get("at_least", rule.get("above"))
        ax.plot(edge, row + 0.12, "|", color=style.COLOURS["paper"], markersize=22, markeredgewidth=2)
        ax.annotate(words, (0.02, row + 0.27), xycoords=("axes fraction", "data"), fontsize=8, bbox=PATCH)
    ax.plot([], [], "|", color=style.COLOURS["paper"], markersize=12, label="claimed: right of this")
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_yticks([])
    ax.set(title="Intervals decided on", xlabel="percentage points", ylim=(-1.1, len(PARTS) - 0.3))


def _interval(ax: Axes, at: float, it: dict[str, Any], colour: str, label: str | None) -> None:
    """A bar from end to end; only the estimate where there are too few units for an interval."""
    ends = [] if it["low"] is None else [100 * it["low"], 100 * it["high"]]
    ax.plot(ends, [at] * len(ends), color=colour, linewidth=3, label=label)
    ax.plot(100 * it["estimate"], at, "o", color=colour)


def _operator(ax: Axes, part: dict[str, Any]) -> None:
    """The exact part in words: it has another unit than the intervals."""
    exact, upsampled = (sum(unit["value"] == 0 for unit in it["units"]) for it in (part, part["control"]))
    text = (
        f"operator exact in {exact} of {len(part['units'])} configurations\n"
        f"(control, upsampling: in {upsampled} of {len(part['control']['units'])})"
    )
    ax.annotate(text, (0.02, 0.03), xycoords="axes fraction", fontsize=8, bbox=PATCH)

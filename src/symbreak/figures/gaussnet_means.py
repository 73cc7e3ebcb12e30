"""Figure of ``gaussnet-means``: test accuracy of Gauss-nets against the mean of their last layer's weights."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symbreak.claims.gaussnet.means import MEANS
from symbreak.claims.tables import Tables
from symbreak.figures import style

FAMILIES = {
    "mse": ("mean squared error", "measured"),
    "ce": ("control: cross-entropy", "control"),
    "half_ce": ("cross-entropy, mean on five of ten outputs", "paper"),
    "all": ("mean squared error, mean on every parameter", "theory"),
}
EVERYWHERE = {"001": 0.01}  # the mean of the arm in which every parameter has one
RULE: dict[str, Any] = {"ha": "right", "va": "top", "fontsize": 8}
SHIFT = {"mse": -0.012, "ce": 0.012, "half_ce": 0.03, "all": -0.03}  # markers of one mean beside each other


def draw(tables: Tables, evidence: dict[str, Any]) -> Figure:
    """Draw every seed's accuracy by mean, and the slopes that the claim is decided on.

    Args:
        tables: Table ``accuracy`` of the experiment ``gaussnet_means``.
        evidence: The claim file.
    """
    figure, axes = style.figure(ncols=2, figsize=(9, 4.2), width_ratios=[2.2, 1])
    for family in FAMILIES:
        _accuracies(axes[0], tables, family)
    epochs = tables("mse_000", "accuracy")["epochs"].max()
    axes[0].set(title=f"After {epochs} epochs, a marker a seed (hollow: best epoch)")
    axes[0].set(xlabel="mean of the last layer's weights", ylabel="accuracy on test images (%)")
    _slopes(axes[1], evidence["parts"]["trend"])
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    style.verdict_title(figure, evidence)
    return figure


def _accuracies(ax: Axes, tables: Tables, family: str) -> None:
    label, colour = FAMILIES[family][0], style.COLOURS[FAMILIES[family][1]]
    means = EVERYWHERE if family == "all" else MEANS
    found = {mean: tables(f"{family}_{name}", "accuracy") for name, mean in means.items() if _ran(tables, family, name)}
    for mean, table in found.items():
        for column, face in (("test_correct", colour), ("best_test_correct", "none")):
            percent = 100 * table[column] / table["test_count"]
            ax.plot(
                np.full(len(percent), mean + SHIFT[family]),
                percent,
                "o",
                color=colour,
                mfc=face,
                markersize=3,
                alpha=0.5,
            )
    centres = [100 * (table["test_correct"] / table["test_count"]).mean() for table in found.values()]
    ax.plot([mean + SHIFT[family] for mean in found], centres, color=colour, label=label)


def _ran(tables: Tables, family: str, name: str) -> bool:
    return f"{family}_{name}" in tables.arms


def _slopes(ax: Axes, part: dict[str, Any]) -> None:
    """The slope of every seed, of the claim and of its control, with interval and rule."""
    for place, (side, name) in enumerate(((part, "measured"), (part["control"], "control"))):
        values = [100 * unit["value"] for unit in side["units"]]
        spread = np.linspace(-0.15, 0.15, len(values))
        ax.plot(place + spread, values, "o", color=style.COLOURS[name], markersize=3, alpha=0.6)
        if side["low"] is not None:
            ax.plot([place] * 2, [100 * side["low"], 100 * side["high"]], color=style.COLOURS[name], linewidth=3)
    ax.axhline(100 * part["rule"]["below"], color=style.COLOURS["theory"], linestyle=":")
    ax.annotate(f"rule: below {part['rule']['below']:g}", (1.45, 0), (0, -5), textcoords="offset points", **RULE)
    ax.set(title="Slope a seed, and its interval", ylabel="points of accuracy per unit of the mean")
    ax.set_xticks([0, 1], ["squared error", "cross-entropy"])
    ax.set_xlim(-0.5, 1.5)

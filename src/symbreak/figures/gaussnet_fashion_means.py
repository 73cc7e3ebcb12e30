"""Figure of ``gaussnet-fashion-means``: the map of accuracy over mean and shifted outputs beside the published one."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from scipy.stats import norm

from symbreak.claims.gaussnet.fashion import KS, MUS, accuracies, hot
from symbreak.claims.gaussnet.fashion_means import CELLS, REACH, Cell, cells
from symbreak.claims.gaussnet.published_fashion import ACCURACY, K
from symbreak.claims.tables import Tables
from symbreak.figures import style

COLUMNS = (0, *KS)
POWER = 0.8
SEEN = REACH + float(norm.ppf(POWER))  # deviation, in standard errors, that is beyond the interval so often
RANGE = (50.0, 86.0)  # of the published colours


def draw(tables: Tables, evidence: dict[str, Any]) -> Figure:
    """Draw the measured and the published map, and their difference cell by cell.

    Args:
        tables: Tables ``accuracy`` of the experiment ``fashion_means``.
        evidence: The claim file.
    """
    figure, axes = style.figure(ncols=3, figsize=(12.5, 5.2), width_ratios=(1.15, 1.25, 1.3))
    found = cells(tables)
    _measured(axes[0], tables, {(c.mu, c.k): c.missed for c in found})
    image = _published(axes[1])
    figure.colorbar(image, ax=axes[1], label="accuracy on test images (%)", extend="min")
    _differences(axes[2], found, evidence["parts"]["map"])
    figure.legend(*axes[2].get_legend_handles_labels(), loc="outside lower right", ncols=3)
    style.verdict_title(figure, evidence)
    return figure


def _measured(ax: Axes, tables: Tables, missed: dict[tuple[float, int], bool]) -> None:
    best, last = (
        np.array([[100 * accuracies(tables, hot(mu, k), on).mean() for k in COLUMNS] for mu in MUS])
        for on in ("best_test", "test")
    )
    _map(ax, best)
    for (row, column), value in np.ndenumerate(best):
        colour = "white" if value < 72 else "black"
        words = f"{value:.1f}\n({last[row, column]:.1f})"
        ax.annotate(words, (column, row), ha="center", va="center", fontsize=8, color=colour)
        if missed[MUS[row], COLUMNS[column]]:
            _outline(ax, column, row, style.COLOURS["control"])
    ax.set(title="(a) Measured: best epoch (last)", xlabel="outputs with the mean, k", ylabel="mean of the weights, μ")
    ax.set_xticks(range(len(COLUMNS)), [str(k) for k in COLUMNS])
    ax.set_yticks(range(len(MUS)), [f"{mu:.2f}" for mu in MUS])


def _published(ax: Axes) -> AxesImage:
    means = sorted({mu for mu, _ in ACCURACY})
    image = _map(ax, np.array([[100 * ACCURACY[mu, k] for k in K] for mu in means]))
    for mu, k in CELLS:
        _outline(ax, K.index(k), means.index(mu), "black")
    ax.set(
        title="(b) Published (read off its colours);\noutlined: cells that were run", xlabel="outputs with the mean, k"
    )
    ax.set_xticks(range(len(K)), [str(k) for k in K])
    ax.set_yticks(range(0, len(means), 2), [f"{mu:.2f}" for mu in means[::2]])
    return image


def _map(ax: Axes, percent: "np.ndarray[Any, np.dtype[np.float64]]") -> AxesImage:
    ax.grid(visible=False)
    return ax.imshow(percent, origin="lower", aspect="auto", cmap="viridis", vmin=RANGE[0], vmax=RANGE[1])


def _outline(ax: Axes, column: int, row: int, colour: str) -> None:
    place = (column - 0.47, row - 0.47)
    ax.add_patch(Rectangle(place, 0.94, 0.94, fill=False, edgecolor=colour, linewidth=1.5))


def _differences(ax: Axes, found: list[Cell], part: dict[str, Any]) -> None:
    """One line a cell, ordered as they are named; the tolerance grows with the spread of the cell's networks."""
    for row, cell in enumerate(found):
        colour = style.COLOURS["control" if cell.missed else "measured"]
        reach = 100 * REACH * cell.error
        ax.plot([-reach, reach], [row, row], color=style.COLOURS["paper"], linewidth=5, alpha=0.3)
        ax.plot(100 * SEEN * cell.error, row, "|", color="black", markersize=6)
        ax.plot(100 * cell.deviation, row, "o", color=colour)
    ax.plot([], [], color=style.COLOURS["paper"], linewidth=5, alpha=0.3, label="held to (99 %)")
    ax.plot([], [], "|", color="black", label=f"seen in {100 * POWER:.0f} % of repetitions")
    ax.plot([], [], "o", color=style.COLOURS["measured"], label="measured less published")
    ax.plot([], [], "o", color=style.COLOURS["control"], label="beyond its interval")
    missed, control = (int(it["units"][0]["value"]) for it in (part, part["control"]))
    accepted = f"at most {part['rule']['at_most']:g} accepted"
    title = f"(c) {missed} of {len(found)} cells beyond ({accepted};\ncontrol, k exchanged: {control})"
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set(title=title, xlabel="percentage points")
    ax.set_yticks(range(len(found)), [f"μ = {cell.mu:.2f}, k = {cell.k}" for cell in found], fontsize=7)

"""Figure of ``ssb-random-labels``: networks fit random labels as completely as true ones, and learn nothing by it."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symbreak.claims.tables import Tables
from symbreak.figures import style

SETS = {"cifar10": "CIFAR-10", "fashion_mnist": "Fashion-MNIST"}
VARIANTS = {
    "random": ("random labels", style.COLOURS["measured"]),
    "true": ("true labels", style.CYCLE[2]),
    "shuffled_pixels": ("true labels, shuffled pixels", style.CYCLE[4]),
    "random_pixels": ("true labels, random pixels", style.CYCLE[5]),
}
# Zhang et al. 2017 (arXiv:1611.03530), table 1, MLP 1x512 without weight decay, whole CIFAR-10: train, test in percent.
PRINTED = {"true": (100.0, 50.51), "random": (99.34, 10.61)}


def draw(tables: Tables, evidence: dict[str, Any]) -> Figure:
    """Draw learning curves of both sets and the final accuracies beside the printed ones.

    Args:
        tables: Tables ``learning_curve`` and ``accuracy`` of the experiment ``random_labels``.
        evidence: The claim file.
    """
    figure, axes = style.figure(ncols=3, nrows=1, figsize=(11, 4.1))
    for ax, name in zip(axes, SETS, strict=False):
        _curves(ax, tables, name)
    _final(axes[2], tables)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=3)
    figure.legend(*axes[2].get_legend_handles_labels(), loc="outside lower right", ncols=2)
    style.verdict_title(figure, evidence)
    return figure


def _curves(ax: Axes, tables: Tables, name: str) -> None:
    """Training accuracy by epoch, mean and range over seeds, with the control on test images."""
    for variant, (label, colour) in VARIANTS.items():
        _band(ax, tables(f"{name}_{variant}", "learning_curve"), "train_accuracy", label, colour)
    random = tables(f"{name}_random", "learning_curve")
    _band(ax, random, "test_accuracy", "control: random labels, on test images", style.COLOURS["control"])
    ax.axhline(10, color=style.COLOURS["theory"], linestyle=":", label="chance")
    ax.set(title=SETS[name], xlabel="epoch", ylabel="training accuracy (%)", ylim=(0, 104))


def _band(ax: Axes, curve: pd.DataFrame, column: str, label: str, colour: str) -> None:
    by_epoch = 100 * curve.dropna(subset=[column]).groupby("epoch")[column].agg(["min", "mean", "max"])
    # Shuffled pixels are the same to this network as plain ones: dashes let both be seen.
    dashes = "--" if "shuffled" in label else "-"
    ax.plot(by_epoch.index, by_epoch["mean"], dashes, color=colour, label=label)
    ax.fill_between(by_epoch.index, by_epoch["min"], by_epoch["max"], color=colour, alpha=0.25, linewidth=0)


def _final(ax: Axes, tables: Tables) -> None:
    """Training (full) and test accuracy (hollow) at the end, a marker a seed, and the printed values."""
    for (name, title), marker, shift in zip(SETS.items(), "os", (-0.15, 0.15), strict=True):
        for on, words in (("train", "training"), ("test", "test")):
            points = [
                (position + shift, 100 * correct / count)
                for position, variant in enumerate(VARIANTS)
                for correct, count in _counts(tables(f"{name}_{variant}", "accuracy"), on)
            ]
            face = style.COLOURS["measured"] if on == "train" else "none"
            ax.plot(
                *zip(*points, strict=True), marker, mfc=face, mec=style.COLOURS["measured"], label=f"{title}, {words}"
            )
    for position, variant in enumerate(VARIANTS):
        ax.hlines(PRINTED.get(variant, ()), position - 0.4, position + 0.4, colors=style.COLOURS["paper"])
    ax.plot([], [], color=style.COLOURS["paper"], label="printed (Zhang et al., whole CIFAR-10)")
    ax.set_xticks(range(len(VARIANTS)), [label.replace(", ", ",\n") for label, _ in VARIANTS.values()], fontsize=7)
    ax.set(title="End of training", ylabel="accuracy (%)", ylim=(0, 104))


def _counts(table: pd.DataFrame, on: str) -> list[tuple[int, int]]:
    return list(zip(table[f"{on}_correct"], table[f"{on}_count"], strict=True))

"""Figure of ``gaussnet-mnist``: test accuracy of Gauss-nets by width and loss, beside the talk's 97 %."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from symbreak.claims.tables import Tables
from symbreak.figures import style

WIDTHS = (10, 50, 100)
LOSSES = {"cross_entropy": ("cross-entropy", "o"), "mse": ("mean squared error", "s")}


def draw(tables: Tables, evidence: dict[str, Any]) -> Figure:
    """Draw final accuracy against width, and the learning curves of the two widths that the claim compares.

    Args:
        tables: Tables ``accuracy`` and ``learning_curve`` of the experiment ``gaussnet_mnist``.
        evidence: The claim file.
    """
    figure, axes = style.figure(ncols=2, nrows=1, figsize=(9, 4.2), sharey=True)
    _by_width(axes[0], tables)
    _curves(axes[1], tables)
    for ax in axes:
        _rules(ax, evidence["parts"]["width_100"])
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    style.verdict_title(figure, evidence)
    return figure


def _is_control(loss: str, width: int) -> bool:
    return (loss, width) == ("cross_entropy", 10)


def _by_width(ax: Axes, tables: Tables) -> None:
    """Two markers a seed, last and best epoch; the control is the width at which 97 % must not be reached."""
    for shift, (loss, (name, marker)) in zip((0.96, 1.04), LOSSES.items(), strict=True):
        for width in WIDTHS:
            table = tables(f"{loss}_{width}", "accuracy")
            last, best = (100 * table[f"{when}test_correct"] / table["test_count"] for when in ("", "best_"))
            colour = style.COLOURS["control" if _is_control(loss, width) else "measured"]
            label = "control: width 10, cross-entropy" if _is_control(loss, width) else name if width == 100 else None
            at = [width * shift] * len(last)
            ax.plot(at, last, marker, color=colour, alpha=0.6, label=label)
            ax.plot(at, best, marker, color=colour, alpha=0.6, mfc="none", markersize=7)
    epochs = tables("cross_entropy_100", "accuracy")["epochs"].max()
    ax.set(title=f"After {epochs} epochs, a marker a seed (hollow: best epoch)", xscale="log")
    ax.set(xlabel="width N (hidden neurons)", ylabel="accuracy on test images (%)")
    ax.set_xticks(WIDTHS, [str(width) for width in WIDTHS])
    ax.minorticks_off()


def _curves(ax: Axes, tables: Tables) -> None:
    """Mean over seeds by epoch, named at the end of each line."""
    for loss, (name, marker) in LOSSES.items():
        for width in (10, 100):
            curve = tables(f"{loss}_{width}", "learning_curve").query("epoch > 0")
            mean = 100 * curve.groupby("epoch")["test_accuracy"].mean()
            colour = style.COLOURS["control" if _is_control(loss, width) else "measured"]
            ax.plot(mean.index, mean, marker=marker, markersize=3, color=colour)
            at = (mean.index[-1], mean.iloc[-1])
            above = 8 if (loss, width) == ("cross_entropy", 100) else -11  # the two of width 100 nearly coincide
            ax.annotate(f"N = {width}, {name}", at, (0, above), textcoords="offset points", ha="right", fontsize=8)
    ax.set(title="Learning curves, mean over seeds", xlabel="epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_ylim(top=101)


def _rules(ax: Axes, part: dict[str, Any]) -> None:
    """The talk's number, the band that the rule allows around it, and the limit of the control."""
    rule, limit = part["rule"], 100 * part["control"]["rule"]["below"]
    low, high = (100 * (rule["equals"] + sign * rule["within"]) for sign in (-1, 1))
    label = f"accepted at N = 100: {low:.4g} to {high:.4g} %"
    ax.axhspan(low, high, color=style.COLOURS["paper"], alpha=0.2, linewidth=0, label=label)
    ax.axhline(97, color=style.COLOURS["paper"], label="talk: about 97 %")
    ax.axhline(limit, color=style.COLOURS["control"], linestyle=":", label=f"control must stay below {limit:.4g} %")

"""Figure of ``gaussnet-six-point-prediction``: predicted over measured 6-point functions, by cutoff and by net."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symbreak.claims.gaussnet.six_point_prediction import at_largest_cutoff
from symbreak.claims.tables import Tables
from symbreak.figures import style

NAMES = {
    "relu_20": "ReLU, N = 20",
    "relu_100": "ReLU, N = 100",
    "erf_5": "Erf, N = 5",
    "erf_10": "Erf, N = 10",
    "gauss_1000": "Gauss, N = 1000",
    "gauss_100": "Gauss, N = 100",
}
LOOK: dict[str, tuple[str, dict[str, Any]]] = {
    "gaussian": ("GP", {"color": "#595959", "marker": "s"}),
    "fitted": ("GP + λ term, one coupling", {"color": style.COLOURS["measured"], "marker": "o"}),
    "own": (
        "GP + λ term, one coupling\na quadruple (no prediction)",
        {"color": style.CYCLE[4], "marker": "D", "fillstyle": "none", "markersize": 7},
    ),
}
FROZEN = (0.4, 1.35)  # where the frozen coupling's ratio is seen; it spans 14 decades


def draw(tables: Tables, evidence: dict[str, Any]) -> Figure:
    """Draw the ratios of ReLU-nets against the cutoff, and those of every net.

    Args:
        tables: Table ``quartic_prediction`` of the experiment ``gaussnet_six_point``.
        evidence: The claim file.
    """
    figure, axes = style.figure(ncols=2, figsize=(11.0, 4.8))
    _cutoffs(axes[0], tables("relu_20", "quartic_prediction"), tables("relu_20_exact", "quartic_prediction"))
    _nets(axes[1], tables)
    style.verdict_title(figure, evidence)
    return figure


def _cutoffs(ax: Axes, sampled: pd.DataFrame, exact: pd.DataFrame) -> None:
    ratios = sampled.groupby("cutoff")[["gaussian", "fitted", "frozen"]].agg(["mean", "std"])
    for name in ("gaussian", "fitted"):
        label, look = LOOK[name]
        ax.errorbar(ratios.index, ratios[name, "mean"], ratios[name, "std"], linestyle="none", label=label, **look)
        ax.plot(exact["cutoff"], exact[name], color=style.COLOURS["theory"], linewidth=0.8)
    frozen: dict[str, Any] = {"color": style.COLOURS["control"], "label": "control: coupling held as at Λ = 100"}
    ax.plot(ratios.index, ratios["frozen", "mean"], "^--", **frozen)
    ax.plot([], [], color=style.COLOURS["theory"], linewidth=0.8, label="exact, N = 20")
    ax.set(title="(a) ReLU-nets, N = 20, mean and s.d. of ensembles", xscale="log", xlabel="cutoff Λ")
    ax.set(ylabel="prediction / six-point function", ylim=FROZEN)
    ax.legend(loc="upper right", fontsize=7)


def _nets(ax: Axes, tables: Tables) -> None:
    """Means over ensembles; the spread of sampled ones is in the first panel."""
    for name, (label, look) in LOOK.items():
        values = [at_largest_cutoff(tables, arm)[name].mean() for arm in NAMES]
        ax.plot(values, range(len(NAMES)), linestyle="none", label=label, **look)
    ax.axvline(1, color=style.COLOURS["theory"], linewidth=0.8)
    ax.set_yticks(range(len(NAMES)), list(NAMES.values()))
    ax.invert_yaxis()
    ax.set(title="(b) All nets; Erf and Gauss exact", xlabel="prediction / six-point function, mean over sextuples")
    ax.set_xlim(0.25, 1.05)
    ax.legend(loc="lower left", bbox_to_anchor=(0.02, 0.28), fontsize=7)

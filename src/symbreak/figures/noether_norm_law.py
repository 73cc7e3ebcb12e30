"""Figure of ``noether-norm-law``: charges on the lines that their laws predict, and off them without the symmetry."""

from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from symbreak.claims.tables import Tables
from symbreak.figures import style

# Symmetry -> title, axis label, set with it, set without it.
PANELS = {
    "scale": ("Scale: neurons before BatchNorm", r"$R=\sum|w_{in}|^2$", "layers.0.sum", "control.layers.0.sum"),
    "rescale": ("Rescale: ReLU neurons", r"$R=\sum|w_{out}|^2-|w_{in}|^2$", "layers.1.sum", "control.layers.1"),
    "translation": ("Translation: softmax layer", r"$S=\sum w$", "layers.2.sum", "control.layers.1.sum"),
}
WITHOUT = {
    "scale": "ReLU neurons",
    "rescale": "a neuron with BatchNorm",
    "translation": "a hidden layer",
}
LIFTS = {"o": 4, "s": -5, "^": 0}  # marker of each decay, ascending -> points by which its label avoids the next one's
LAWS = {"discrete": "discrete law", "continuous": "continuous law"}
KINDS = {"no momentum": "o", "momentum": "D", "BatchNorm's epsilon": "^"}
FLOOR = 1e-16  # smallest error drawn: half a unit of float64's last place


def draw(tables: Tables, evidence: dict[str, Any]) -> Figure:
    """Draw the motion of the three charges and the errors of both laws.

    Args:
        tables: Tables ``noether_motion`` and ``noether_law`` of the experiment ``norm_law``.
        evidence: The claim file.
    """
    figure, axes = style.figure(ncols=2, nrows=2, figsize=(9.4, 7.4))
    arms = _arms(tables)
    for ax, symmetry in zip(axes.flat, PANELS, strict=False):
        _motion(ax, tables, arms, symmetry)
    _errors(axes.flat[3], tables, evidence)
    _key(figure)
    style.verdict_title(figure, evidence)
    return figure


def _arms(tables: Tables) -> pd.DataFrame:
    """What each arm is: ``arm``, ``decay``, ``momentum``, ``normed`` and ``exact`` (no BatchNorm epsilon)."""
    first = pd.DataFrame([tables(arm, "noether_law").iloc[0] for arm in tables.arms]).assign(arm=tables.arms)
    return first.assign(normed=first["norm_eps"].notna(), exact=~(first["norm_eps"] > 0)).sort_values("decay")


def _motion(ax: Axes, tables: Tables, arms: pd.DataFrame, symmetry: str) -> None:
    """One seed's charge without momentum, relative to its start, an arm of every decay; and one control."""
    title, label, members, absent = PANELS[symmetry]
    plain = arms[(arms["momentum"] == 0) & arms["exact"]]
    shown = plain[plain["normed"] != (symmetry == "rescale")]
    for arm, marker in zip(shown.itertuples(), cycle(LIFTS), strict=False):
        path = _path(tables(str(arm.arm), "noether_motion"), symmetry, members)
        _draw(ax, path, marker, style.COLOURS["theory"], style.COLOURS["measured"])
        _label(ax, path, f"k = {arm.decay:g}", style.COLOURS["measured"], LIFTS[marker])
    # The symmetry that one network has is absent in the other; a hidden layer has no translation symmetry in either.
    other = plain[plain["normed"] == (symmetry == "rescale")] if symmetry != "translation" else shown
    path = _path(tables(str(other["arm"].iloc[0]), "noether_motion"), symmetry, absent)
    _draw(ax, path, "x", style.COLOURS["control"], style.COLOURS["control"])
    _label(ax, path, f"control\n(k = {other['decay'].iloc[0]:g})", style.COLOURS["control"], 0)
    ax.set(title=f"{title} (control: {WITHOUT[symmetry]})", xlabel="update", ylabel=f"{label}, relative to its start")


def _path(motion: pd.DataFrame, symmetry: str, members: str) -> pd.DataFrame:
    """The seed and unit of a set whose charge is largest before training, relative to that charge."""
    rows = motion[(motion["symmetry"] == symmetry) & (motion["set"] == members)]
    largest = rows.loc[rows.loc[rows["step"] == 0, "measured"].abs().idxmax()]
    rows = rows[(rows["seed"] == largest["seed"]) & (rows["unit"] == largest["unit"])].sort_values("step")
    columns = ["measured", "discrete", "continuous"]
    return rows.assign(**{column: rows[column] / largest["measured"] for column in columns})


def _draw(ax: Axes, path: pd.DataFrame, marker: str, law: str, measured: str) -> None:
    """Both laws as lines, the measured charge as a few markers on them."""
    ax.plot(path["step"], path["continuous"], color=law, alpha=0.3, linewidth=4, solid_capstyle="butt")
    ax.plot(path["step"], path["discrete"], color=law, linewidth=0.9)
    few = path.iloc[:: max(1, len(path) // 14)]
    ax.plot(few["step"], few["measured"], marker, color=measured, markerfacecolor="white", zorder=3)


def _label(ax: Axes, path: pd.DataFrame, text: str, colour: str, lift: float) -> None:
    """Name a path at its right end, ``lift`` points above it."""
    end = (path["step"].iloc[-1], path["measured"].iloc[-1])
    ax.annotate(text, end, (5, lift), textcoords="offset points", va="center", fontsize=8, color=colour)


def _key(figure: Figure) -> None:
    """The legend of the whole figure."""
    entries = {
        "measured": Line2D([], [], linestyle="", marker="o", color=style.COLOURS["measured"], markerfacecolor="white"),
        "measured, symmetry absent": Line2D([], [], linestyle="", marker="x", color=style.COLOURS["control"]),
        "discrete law": Line2D([], [], color=style.COLOURS["theory"], linewidth=0.9),
        "continuous law": Line2D([], [], color=style.COLOURS["theory"], alpha=0.3, linewidth=4),
        "its law, symmetry absent": Line2D([], [], color=style.COLOURS["control"], linewidth=0.9),
    }
    figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=5)


def _errors(ax: Axes, tables: Tables, evidence: dict[str, Any]) -> None:
    """Worst nErr of every set, arm and seed by law, with the rule that the claim is held to."""
    rows = pd.concat([tables(arm, "noether_law").assign(arm=arm) for arm in tables.arms])
    sets = rows.groupby(["arm", "seed", "symmetry", "set", "control", "momentum"], as_index=False)[list(LAWS)].max()
    eps = rows.groupby("arm")["norm_eps"].first() > 0
    sets["epsilon"] = sets["arm"].map(eps)
    sets["column"] = sets["symmetry"].mask(sets["control"], "control")
    columns = [*PANELS, "control"]
    for block, law in enumerate(LAWS):
        for place, column in enumerate(columns):
            _strip(ax, 5 * block + place, sets[sets["column"] == column], law)
        rule = next(p["rule"]["at_most"] for name, p in evidence["parts"].items() if name.startswith(law))
        ax.hlines(rule, 5 * block - 0.6, 5 * block + 3.6, colors=style.COLOURS["theory"], linestyles="--")
        ax.annotate(f"rule: at most {rule:g}", (5 * block - 0.6, rule), (0, 3), textcoords="offset points", fontsize=8)
        ax.annotate(LAWS[law], (5 * block + 1.5, 5e1), ha="center", fontsize=8.5, fontweight="bold")
    ax.set_yscale("log")
    ax.set(ylim=(FLOOR / 3, 1e7), ylabel="nErr = max|law - measured| / max|measured|")
    ax.set_title("Error of each law: every set, arm and seed")
    ax.set_xticks([5 * b + p for b in range(2) for p in range(4)], columns * 2, rotation=35, ha="right")
    key = [
        Line2D([], [], linestyle="", marker=marker, color=style.COLOURS["measured"], markersize=3.5)
        for marker in KINDS.values()
    ]
    ax.legend(key, list(KINDS), loc="upper center", ncols=3, columnspacing=0.8, handletextpad=0.1)


def _strip(ax: Axes, centre: float, sets: pd.DataFrame, law: str) -> None:
    """Draw one column's points side by side, in the order of arms."""
    place = centre + np.linspace(-0.35, 0.35, len(sets))
    colour = style.COLOURS["control" if sets["control"].any() else "measured"]
    heavy, blurred = (sets["momentum"] > 0).to_numpy(), sets["epsilon"].to_numpy()
    for chosen, marker in zip((~heavy & ~blurred, heavy & ~blurred, blurred), KINDS.values(), strict=True):
        values = sets[law].clip(lower=FLOOR).to_numpy()[chosen]
        ax.plot(place[chosen], values, marker, color=colour, markersize=3, alpha=0.7, markeredgewidth=0)

"""Figure of ``gaussnet-training-symmetry``: rotated networks in training, and the tangent kernel's covariance."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symbreak.claims.gaussnet.kernel import REACH
from symbreak.claims.gaussnet.training_symmetry import ARM, ntk_effects
from symbreak.claims.tables import Tables
from symbreak.figures import style

RUNS = {
    ("sgd", "mse"): ("SGD, squared error", "measured", "o"),
    ("adam", "mse"): ("control: Adam, squared error", "control", "s"),
    ("sgd", "cross_entropy"): ("control: SGD, cross-entropy", "control", "^"),
    ("adam", "cross_entropy"): ("control: Adam, cross-entropy", "control", "D"),
}
ACTIONS = {"rotation": "measured", "stretched": "control"}
FLOOR = 1e-17  # smallest deviation drawn


def draw(tables: Tables, evidence: dict[str, Any]) -> Figure:
    """Draw the distance from the rotated network in training, that of single NTKs, and the mean NTK's invariance.

    Args:
        tables: Tables ``training_symmetry`` and ``ntk_symmetry`` of the experiment ``gaussnet_training_symmetry``.
        evidence: The claim file.
    """
    figure, axes = style.figure(ncols=3, figsize=(12.4, 4.4), width_ratios=(1.6, 1, 1))
    parts, kernels = evidence["parts"], tables(ARM, "ntk_symmetry")
    _training(axes[0], tables(ARM, "training_symmetry"), parts["training"]["rule"]["at_most"])
    _single(axes[1], kernels, parts["ntk_of_net"]["rule"]["at_most"])
    _mean(axes[2], kernels, parts["ntk_mean"]["rule"]["within"])
    style.verdict_title(figure, evidence)
    return figure


def _training(ax: Axes, table: pd.DataFrame, limit: float) -> None:
    """A line a seed."""
    for (optimiser, loss), (label, colour, marker) in RUNS.items():
        rows = table[(table["optimiser"] == optimiser) & (table["loss"] == loss)]
        for number, (_, path) in enumerate(rows.groupby("seed")):
            name = label if number == 0 else None
            worst = path[["outputs", "parameters"]].max(axis=1).clip(lower=FLOOR)
            ax.plot(
                path["step"], worst, marker=marker, markersize=3, linewidth=0.6, color=style.COLOURS[colour], alpha=0.6,
                label=name,
            )  # fmt: skip
    _limit(ax, limit, 20)
    ax.set_xscale("symlog", linthresh=1)
    ax.set_yscale("log")
    ax.set_ylim(1e-17, 1e13)
    ax.set_xlim(-0.2, None)
    ax.set(
        title="(a) Trained from R W1, R b1 on R y", xlabel="update", ylabel="relative distance from the rotated network"
    )
    ax.legend(loc="upper right", fontsize=7.5)


def _single(ax: Axes, table: pd.DataFrame, limit: float) -> None:
    """A point a net, neurons beside each other."""
    neurons = sorted(table["neuron"].unique())
    for place, neuron in enumerate(neurons):
        for action, colour in ACTIONS.items():
            rows = table[(table["neuron"] == neuron) & (table["action"] == action)]
            spread = place + np.linspace(-0.2, 0.2, len(rows))
            ax.plot(
                spread, rows["deviation"].clip(lower=FLOOR), "o", color=style.COLOURS[colour], markersize=3, alpha=0.6
            )
    for action, label in (("rotation", "A a rotation"), ("stretched", "control: A stretched")):
        ax.plot([], [], "o", color=style.COLOURS[ACTIONS[action]], label=label)
    _limit(ax, limit, -0.4)
    ax.set_xlim(-0.5, len(neurons) - 0.5)
    ax.set_yscale("log")
    ax.set_ylim(1e-17, 1e4)
    ax.set_xticks(range(len(neurons)), [_named(neuron) for neuron in neurons])
    ax.set(title="(b) NTK Θ of single nets", ylabel="|Θ(A W1) - A Θ Aᵀ| / |Θ|")
    ax.legend(loc="upper right", fontsize=7.5)


def _mean(ax: Axes, table: pd.DataFrame, within: float) -> None:
    """Mean and about the interval over seeds."""
    for shifted, colour, label in ((False, "measured", "W1 of mean 0"), (True, "control", "control: W1 with a mean")):
        values = ntk_effects(table, shifted=shifted)
        ax.errorbar(
            range(len(values.columns)), values.mean(), REACH * values.sem(), fmt="o", color=style.COLOURS[colour],
            linewidth=0.8, label=label,
        )  # fmt: skip
        ax.set_xticks(range(len(values.columns)), [_named(neuron) for neuron in values.columns])
    ax.axhspan(-within, within, color=style.COLOURS["paper"], alpha=0.15, linewidth=0, label=f"accepted: ± {within:g}")
    ax.axhline(0, color=style.COLOURS["theory"], linewidth=1)
    ax.set_yscale("symlog", linthresh=within, linscale=1.2)
    ax.set_ylim(-2 * within, 20)
    ax.set_xlim(-0.5, 1.5)
    ax.set(title="(c) Mean NTK, first layer's part", ylabel="|not ∝ δ|² / |∝ δ|²")
    ax.legend(loc="upper right", fontsize=7.5)


def _limit(ax: Axes, limit: float, left: float) -> None:
    ax.axhline(limit, color=style.COLOURS["theory"], linestyle="--", linewidth=1)
    ax.annotate(f"rule: at most {limit:g}", (left, limit), (0, 4), textcoords="offset points", fontsize=8)


def _named(neuron: str) -> str:
    return {"relu": "ReLU-nets", "gauss": "Gauss-nets"}[neuron]

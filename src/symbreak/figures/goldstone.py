"""Figure of ``ssb-goldstone``: order parameter, Hessian eigenvalues and number of zero modes of the potential."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symbreak.claims.tables import Tables
from symbreak.figures import style
from symbreak.theory.potential import Potential, mass2, text_pi_mass, text_radius

ETA = np.linspace(0, 1.5, 301)  # in units of eta_c
XLABEL = r"learning rate $\eta/\eta_c$,  $\eta_c = 2\mu/\sqrt{\lambda}$"


def draw(tables: Tables, evidence: dict[str, Any]) -> Figure:
    """Draw |w*|, the eigenvalues and the zero modes; in natural units all couplings fall on one curve.

    Args:
        tables: Table ``potential`` of the experiment ``goldstone``.
        evidence: The claim file.
    """
    figure, axes = style.figure(ncols=3, figsize=(12.0, 4.2))
    data = {arm: _natural(tables(arm, "potential")) for arm in tables.arms}
    _order_parameter(axes[0], data)
    _eigenvalues(axes[1], data)
    _counts(axes[2], data)
    style.verdict_title(figure, evidence)
    return figure


def _natural(table: pd.DataFrame) -> pd.DataFrame:
    """The sweep in units of eta_c = 2 mu/sqrt(lam), mu/sqrt(lam) and mu^2."""
    sweep = table[table["grid"] == "sweep"]
    return sweep.assign(
        x=sweep["eta"] / sweep["eta_c_theory"],
        r=sweep["radius"] / np.sqrt(sweep["mu2"] / sweep["lam"]),
        sigma=sweep["sigma_mass"] / sweep["mu2"],
        pi=sweep["pi_mass"] / sweep["mu2"],
    )


def _theory(h: float = 0.0) -> list[Potential]:
    """The potential in natural units, mu = lam = 1, along ETA (whose unit is then eta_c = 2)."""
    return [Potential(mass2(1.0, 1.0, 2 * x), 1.0, h) for x in ETA]


def _order_parameter(ax: Axes, data: dict[str, pd.DataFrame]) -> None:
    broken, stable, explicit = (data[arm] for arm in ("broken", "stable", "explicit"))
    ax.plot(ETA, [p.radius() for p in _theory()], color=style.COLOURS["theory"], label=r"theory: $\sqrt{-m^2/\lambda}$")
    ax.plot(broken["x"], broken["r"], "o", color=style.COLOURS["measured"], markersize=3, label="minimised V")
    for h in sorted(explicit["explicit"].unique()):
        rows = explicit[explicit["explicit"] == h]
        ax.plot(ETA, [p.radius() for p in _theory(h)], color=style.COLOURS["theory"], linewidth=0.6)
        ax.plot(rows["x"], rows["r"], "^", color=style.COLOURS["control"], markersize=3)
    ax.plot(stable["x"], stable["r"], "s", color=style.COLOURS["control"], markersize=3)
    ax.plot(ETA, [text_radius(p.m2, 1.0) for p in _theory()], "--", color=style.COLOURS["paper"])
    ax.plot(
        [],
        [],
        "--",
        color=style.COLOURS["paper"],
        label="text, app. B (slip):\n$(-m^2/\\lambda)^{1/4}$, at $\\mu=\\lambda=1$",
    )
    ax.plot([], [], "s", color=style.COLOURS["control"], label=r"control: $+\mu^2$, nothing breaks")
    ax.plot([], [], "^", color=style.COLOURS["control"], label=r"control: explicit breaking $-h\,w_1$")
    ax.set(
        title="(a) Minimum leaves the origin below $\\eta_c$",
        xlabel=XLABEL,
        ylabel=r"order parameter $|w^*|\,\sqrt{\lambda}/\mu$",
    )
    ax.set_ylim(-0.05, 1.85)
    ax.legend(loc="upper right", fontsize=7)


def _eigenvalues(ax: Axes, data: dict[str, pd.DataFrame]) -> None:
    broken, explicit = data["broken"], data["explicit"]
    explicit = explicit[explicit["explicit"] == explicit["explicit"].max()]
    theory = _theory()
    ax.plot(
        ETA,
        [p.sigma_mass() for p in theory],
        color=style.COLOURS["theory"],
        label=r"theory: $\sigma$: $-2m^2$, $\pi$: 0",
    )
    ax.plot(ETA, [p.pi_mass() for p in theory], color=style.COLOURS["theory"])
    ax.plot(
        broken["x"],
        broken["sigma"],
        "o",
        color=style.COLOURS["measured"],
        markersize=3,
        label=r"$\sigma$: radial, 1 mode",
    )
    ax.plot(broken["x"], broken["pi"], "v", color=style.CYCLE[2], markersize=3, label=r"$\pi$: tangential, D-1 modes")
    strongest = explicit["explicit"].max()
    label = rf"control: $\pi$ with $h = {strongest:g}\,\mu^3/\sqrt{{\lambda}}$"
    ax.plot(ETA, [p.pi_mass() for p in _theory(strongest)], color=style.COLOURS["theory"], linewidth=0.6)
    ax.plot(explicit["x"], explicit["pi"], "^", color=style.COLOURS["control"], markersize=3, label=label)
    below = ETA < 1
    ax.plot(
        ETA[below],
        np.ones(below.sum()),
        "--",
        color=style.COLOURS["paper"],
        label=r"text, sec. 4 (slips): $\sigma$: $\mu^2$,",
    )
    ax.plot(
        ETA[below],
        [text_pi_mass(1.0, 2 * x) for x in ETA[below]],
        ":",
        color=style.COLOURS["paper"],
        label=r"$\pi$: $\lambda\eta^2/4$",
    )
    ax.set(title="(b) Hessian at the minimum", xlabel=XLABEL, ylabel=r"eigenvalue$/\mu^2$")
    ax.set_ylim(-0.12, 3.4)
    ax.legend(loc="upper right", fontsize=7)


def _counts(ax: Axes, data: dict[str, pd.DataFrame]) -> None:
    """One marker a dimension: every eta and coupling must give the same count."""
    broken = data["broken"]
    sides = {
        "below $\\eta_c$": (broken[broken["x"] < 1], "measured", "o", 7),
        "control: above $\\eta_c$": (broken[broken["x"] > 1], "control", "o", 7),
        "control: $+\\mu^2$": (data["stable"], "control", "s", 4.5),
        "control: explicit breaking": (data["explicit"], "control", "^", 3),
    }
    for label, (rows, colour, marker, size) in sides.items():
        seen = rows.drop_duplicates(["dimension", "zero_modes"])
        fill = "none" if size == 7 and colour == "control" else "full"
        ax.plot(
            seen["dimension"],
            seen["zero_modes"],
            marker,
            color=style.COLOURS[colour],
            markersize=size,
            fillstyle=fill,
            label=label,
        )
    d = np.geomspace(1, broken["dimension"].max(), 100)
    ax.plot(d, d - 1, color=style.COLOURS["theory"], label="theory: D - 1 below, 0 else")
    ax.axhline(0, color=style.COLOURS["theory"])
    ax.set_xscale("log")
    ax.set_yscale("symlog", linthresh=1)
    ticks = sorted(broken["dimension"].unique())
    ax.set_xticks(ticks, [str(t) for t in ticks])
    ax.set_yticks([t - 1 for t in ticks], [str(t - 1) for t in ticks])
    ax.minorticks_off()
    ax.set_ylim(-0.6, 3000)
    ax.set(
        title="(c) Zero modes, all couplings and $\\eta$",
        xlabel="number of components D",
        ylabel="zero eigenvalues at the minimum",
    )
    ax.legend(loc="upper left", fontsize=7)

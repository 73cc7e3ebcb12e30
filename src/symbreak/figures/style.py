"""One look for every figure, and bytes that are the same whenever a figure is drawn from the same numbers."""

import textwrap
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import rcsetup
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from symbreak.claims.sentences import outcome
from symbreak.files import atomic

# Okabe and Ito's palette, distinguishable with every common colour blindness (jfly.uni-koeln.de/color).
COLOURS = {"theory": "#000000", "measured": "#0072B2", "control": "#D55E00", "paper": "#CC79A7"}
CYCLE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
VERDICTS = {"supported": "#00704F", "refuted": "#A83F00", "inconclusive": "#595959"}
PANEL = (3.6, 2.9)  # inches; two or three beside each other stay legible at the width of a README
RC: Any = {  # matplotlib's own type lists every key
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.labelsize": 9,
    "axes.prop_cycle": rcsetup.cycler(color=CYCLE),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "figure.dpi": 100,
    "font.size": 9,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "legend.fontsize": 8,
    "legend.edgecolor": "none",
    "legend.framealpha": 0.85,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "savefig.dpi": 160,
    "svg.hashsalt": "symbreak",
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}


def figure(ncols: int = 1, nrows: int = 1, **options: Any) -> tuple[Figure, Any]:
    """Make an empty figure in the common style, without pyplot and whatever the user's matplotlibrc says.

    Args:
        ncols: Panels beside each other.
        nrows: Panels above each other.
        **options: Passed on to ``Figure.subplots`` (``sharex``, ``width_ratios``, ...), except ``figsize`` (inches).

    Returns:
        The figure, and its axes as ``Figure.subplots`` gives them: one, a row ``[ncols]`` or column ``[nrows]``, or
        an array ``[nrows, ncols]``.
    """
    matplotlib.rcdefaults()
    matplotlib.rcParams.update(RC)
    size = options.pop("figsize", (max(PANEL[0] * ncols, 5.0), PANEL[1] * nrows + 0.7))
    fig = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(fig)
    return fig, fig.subplots(nrows=nrows, ncols=ncols, **options)


def verdict_title(fig: Figure, evidence: dict[str, Any]) -> None:
    """Head a figure with the claim's statement and, in the colour of the verdict, verdict, margin, n and control.

    Args:
        fig: A figure made by ``figure``.
        evidence: The claim file.
    """
    letters = int(fig.get_figwidth() * 11)  # what surely fits at this font size
    statement = textwrap.fill(evidence["statement"], letters)
    # The empty last line keeps room, in the layout, for the verdict, which has another colour.
    title = fig.suptitle(f"{statement}\n ", x=0.012, ha="left", fontsize=10.5, fontweight="bold", linespacing=1.25)
    colour = VERDICTS[evidence["verdict"].split()[0]]
    below: dict[str, Any] = {"xycoords": title, "ha": "left", "va": "bottom", "fontsize": 9, "color": colour}
    fig.add_artist(Annotation(outcome(evidence), xy=(0, 0), **below))


def save(fig: Figure, svg: Path, png: Path) -> None:
    """Write a figure as SVG and PNG, without dates or random ids: the same figure gives the same bytes."""
    with matplotlib.rc_context(RC), atomic(svg) as vector, atomic(png) as raster:
        fig.savefig(vector, format="svg", metadata={"Date": None, "Creator": "symbreak"})
        fig.savefig(raster, format="png", metadata={"Software": None})

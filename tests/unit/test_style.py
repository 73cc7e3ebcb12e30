"""Figures: the same bytes from the same numbers, the verdict in the title, nothing of it cut off."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from symbreak.figures import style

STATEMENT = (
    "A statement that is long enough to need a second line even in a figure of two panels, whatever its words are"
)
EVIDENCE = {"statement": STATEMENT, "verdict": "supported", "margin": 0.01234, "n": 8, "control": "shown"}


def drawn(underpowered: bool = True, ncols: int = 2) -> Figure:
    fig, axes = style.figure(ncols=ncols)
    for ax in np.ravel(axes):
        ax.plot([0, 1, 2], [1, 3, 2], "o-", color=style.COLOURS["measured"], label="measured")
        ax.fill_between([0, 1, 2], [0, 2, 1], [2, 4, 3], alpha=0.2)
        ax.legend()
    style.verdict_title(fig, EVIDENCE | {"underpowered": underpowered})
    return fig


def test_the_same_figure_has_the_same_bytes_whatever_the_users_settings(tmp_path: Path) -> None:
    style.save(drawn(), tmp_path / "a.svg", tmp_path / "a.png")
    with matplotlib.rc_context({"font.size": 20, "svg.hashsalt": None, "savefig.dpi": 50}):
        style.save(drawn(), tmp_path / "b.svg", tmp_path / "b.png")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert b"<dc:date>" not in (tmp_path / "a.svg").read_bytes()


@pytest.mark.parametrize("ncols", [1, 2, 3])
def test_statement_and_verdict_lie_inside_the_figure_above_the_panels(ncols: int) -> None:
    fig = drawn(ncols=ncols)
    fig.canvas.draw()
    verdict = fig.artists[0]
    assert verdict.get_text() == "supported (underpowered)  |  margin 0.012  |  n = 8  |  control shown"
    statement, below = fig.get_suptitle(), verdict.get_window_extent()
    assert " ".join(statement.split()) == STATEMENT
    assert below.x0 >= 0
    assert below.x1 <= fig.bbox.x1
    assert fig._suptitle.get_window_extent().x1 <= fig.bbox.x1
    assert below.y0 >= max(ax.get_window_extent().y1 for ax in fig.axes)


def test_each_verdict_has_its_colour() -> None:
    assert drawn().artists[0].get_color() == style.VERDICTS["supported"]
    fig, _ = style.figure()
    style.verdict_title(fig, EVIDENCE | {"verdict": "inconclusive (control)", "underpowered": False})
    assert fig.artists[0].get_color() == style.VERDICTS["inconclusive"]


def test_figures_are_no_concern_of_pyplot() -> None:
    import matplotlib.pyplot as plt

    style.figure(ncols=2)
    assert plt.get_fignums() == []

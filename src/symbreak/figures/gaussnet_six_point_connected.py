"""Figure of ``gaussnet-six-point-connected``: m6c of the three nets against width, exact and by both estimators."""

from typing import Any

from matplotlib.figure import Figure

from symbreak.claims.tables import Tables
from symbreak.figures.gaussnet_widths import against_width


def draw(tables: Tables, evidence: dict[str, Any]) -> Figure:
    """Draw m6c by net and width.

    Args:
        tables: Table ``correlators`` of the experiment ``gaussnet_correlators``.
        evidence: The claim file.
    """
    return against_width(tables, evidence, "m6c", "m₆ᶜ, connected 6-point function")

"""Figure of ``gaussnet-four-point``: m4 of the three nets against width, exact and by both estimators."""

from typing import Any

from matplotlib.figure import Figure

from symbreak.claims.tables import Tables
from symbreak.figures.gaussnet_widths import against_width


def draw(tables: Tables, evidence: dict[str, Any]) -> Figure:
    """Draw m4 by net and width.

    Args:
        tables: Table ``correlators`` of the experiment ``gaussnet_correlators``.
        evidence: The claim file.
    """
    return against_width(tables, evidence, "m4", "m₄, deviation of the 4-point function")

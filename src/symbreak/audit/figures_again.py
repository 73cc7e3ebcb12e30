"""A claim's evidence and its figure made again from its probe tables, by the functions of the claim and figure jobs."""

import importlib
import json
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from symbreak.claims.run import ClaimJob, finite, judge
from symbreak.claims.tables import Tables
from symbreak.figures.run import FigureJob, find
from symbreak.figures.style import save
from symbreak.files import canonical
from symbreak.plan import Plan

THREADS = 1
"""Of the numerical libraries, as in the jobs: a sum by two threads may have other last digits."""


def decided(root: Path, plan: Plan, claim: str) -> dict[str, Any]:
    """Decide a claim on the tables in the working tree.

    Args:
        root: The project's root folder.
        plan: The plan whose registry it is decided by.
        claim: The claim's id.

    Returns:
        The content of its claim file, as it would be read from the file.
    """
    step = plan.claim(claim)
    asked = ClaimJob.model_validate_json(step.json)
    for module in step.modules:
        importlib.import_module(module)  # the limit reaches only libraries that are loaded
    with threadpool_limits(THREADS):
        result = judge(claim, asked, _tables(root, plan, asked.experiment, sorted(asked.seeds)))
    content: dict[str, Any] = json.loads(canonical(finite(result)))
    return content


def drawn(root: Path, plan: Plan, claim: str, evidence: dict[str, Any], folder: Path) -> tuple[Path, Path]:
    """Draw a claim's figure from the tables in the working tree.

    Args:
        root: The project's root folder.
        plan: The plan that has the figure.
        claim: The claim's id.
        evidence: The content of its claim file.
        folder: Where to write.

    Returns:
        The SVG and the PNG.
    """
    asked = FigureJob.model_validate_json(plan.figure(claim).json)
    draw = find(asked.figure)
    svg, png = folder / f"{claim}.svg", folder / f"{claim}.png"
    with threadpool_limits(THREADS):
        save(draw(_tables(root, plan, asked.experiment, list(asked.arms)), evidence), svg, png)
    return svg, png


def _tables(root: Path, plan: Plan, experiment: str, arms: list[str]) -> Tables:
    return Tables(root / "results" / plan.scale / "probes", experiment, arms)

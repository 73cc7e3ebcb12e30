"""``symbreak adopt``: Snakemake learns which artifacts of this checkout it need not make again.

Snakemake remembers parameters, code and inputs of what it made in ``.snakemake``, which no clone has. Without that
memory it judges by time stamps alone: after ``dvc pull`` it retrains what happens to be older than its input, and
overlooks every changed parameter of the rest. ``snakemake --touch --forceall`` writes the memory of a whole plan
without running a job, true or not; so everything is proven first.
"""

from pathlib import Path
from typing import get_args

from symbreak.errors import SymbreakError
from symbreak.plan import Plan
from symbreak.provenance.faithful import Problem, State, problems
from symbreak.provenance.objects import CACHE, Object, wanting
from symbreak.provenance.tools import call

NOTHING = "Nothing to be done"
UNTOUCHED = "Nothing was adopted and nothing touched, since not everything is what its manifest and its sources say."
SHOWN = 12
"""Lines of one kind in a refusal; a clone that pulled nothing lacks hundreds of artifacts."""
MEND: dict[State, str] = {
    "missing": "Not here. 'dvc pull' brings what is pinned",
    "altered": "Not what was recorded. 'dvc checkout --force' puts back what is pinned",
    "tainted": "Made while its source was edited. Delete it and run 'snakemake --cores 8 figures/all'",
    "stale": "Not what this checkout would give. Check out the commit that pinned it ('git log dvc.lock'; its "
    "requirements.lock too), adopt there, and come back: Snakemake then runs exactly what differs",
}

REPLACE = "delete it there; 'dvc push' from a clone that has it whole puts it back (a push skips what is there by name)"
DAMAGED = (
    "First what is damaged in DVC's cache, for 'dvc pull' and 'dvc checkout' take it for whole. Delete the object and "
    f"the file made from it, then 'dvc pull'. If it comes back damaged, so it is in the remote: {REPLACE}"
)
ABSENT = (
    "Objects that DVC's cache lacks. 'dvc pull' brings them; one that it does not bring is damaged or missing in the "
    f"remote: {REPLACE}"
)


def adopt(root: Path) -> int:
    """Prove every artifact of the plan and write Snakemake's memory of it.

    Args:
        root: The project's root folder; the scale is that of its params.yaml.

    Returns:
        How many artifacts were adopted.

    Raises:
        SymbreakError: Something is missing, altered, tainted or stale, and nothing was touched; or a source was
            edited meanwhile, and nothing was adopted; or Snakemake failed or still has jobs.
    """
    plan = Plan.load(root)
    _prove(plan, root)
    before = _asked(plan)
    paths = list(before)
    call(root, "snakemake", "--touch", "--forceall", "--cores", "1", "figures/all", *paths)
    if _asked(Plan.load(root)) != before:
        call(root, "snakemake", "--cores", "1", "--cleanup-metadata", *paths)
        raise SymbreakError(
            "Parameters or code were edited meanwhile, so nothing was adopted. Run 'symbreak adopt' again."
        )
    _confirm(root, paths)
    return len(paths)


def _asked(plan: Plan) -> dict[str, tuple[str, str]]:
    """What Snakemake is going to remember of every artifact: parameters and code, by path."""
    return {step.path: (step.json, step.code) for step in plan.steps()}


def _prove(plan: Plan, root: Path) -> None:
    """Refuse if anything is wrong; what is damaged in DVC's cache comes first, for it may be the cause of the rest."""
    try:
        found = problems(plan, root)
    except SymbreakError as error:
        if damaged := _damaged(wanting(root)):
            raise SymbreakError("\n".join([UNTOUCHED, *damaged, str(error)])) from None
        raise
    if found:
        raise SymbreakError("\n".join([UNTOUCHED, *_refusal(found, wanting(root))]))


def _refusal(found: list[Problem], objects: list[Object]) -> list[str]:
    lines = _damaged(objects)
    if any(problem.state == "missing" for problem in found):
        lines += _section(ABSENT, [f"{lacking.name} ({lacking.path})" for lacking in objects if not lacking.found])
    for state in get_args(State):
        lines += _section(MEND[state], [problem.reason for problem in found if problem.state == state])
    return lines


def _damaged(objects: list[Object]) -> list[str]:
    reasons = [f"{bad.path}: {CACHE}/{bad.name} has the md5 {bad.found}" for bad in objects if bad.found]
    return _section(DAMAGED, reasons)


def _section(mend: str, reasons: list[str]) -> list[str]:
    if not reasons:
        return []
    more = [f"  ... and {len(reasons) - SHOWN} more"] if len(reasons) > SHOWN else []
    return [f"{mend}:", *(f"  {reason}" for reason in reasons[:SHOWN]), *more]


def _confirm(root: Path, paths: list[str]) -> None:
    output = call(root, "snakemake", "--dry-run", "--cores", "1", "figures/all", *paths)
    if NOTHING not in output:
        tail = "\n".join(output.strip().splitlines()[-15:])
        raise SymbreakError(
            "Everything is what its manifest and its sources say and was adopted, yet Snakemake plans jobs. Expected "
            f"'{NOTHING}'; does a profile force them? From 'snakemake --dry-run figures/all':\n{tail}"
        )

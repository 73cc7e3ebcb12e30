"""``symbreak audit --retrain``: the whole chain again in a copy of a commit, compared with what is pinned there."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from symbreak.audit.agreement import level
from symbreak.audit.differences import Difference, differences
from symbreak.audit.finding import Finding, holds
from symbreak.audit.fresh import Change, fresh_seeds, reseeded, seeds_in
from symbreak.audit.history import History
from symbreak.audit.rerun import VERDICT
from symbreak.audit.retrain_claim import Again, fresh_draw, provenance, same_seeds, statistical_blocks
from symbreak.audit.retrain_same import artifacts, equal_bits, reasons
from symbreak.audit.scratch import compute, link_data, rewrite, scratch
from symbreak.config.load import read_yaml
from symbreak.config.strict import nearest
from symbreak.errors import SymbreakError
from symbreak.provenance.manifest import read_manifest
from symbreak.provenance.tools import call
from symbreak.status import read_claim_file

OUT_OF_REACH = (
    "figures: 'symbreak audit --figures' draws them again",
    "whether what is pinned was decided by rules that stood before the run: 'symbreak audit --pinned'",
)
FRESH_OUT_OF_REACH = ("image subsets and labels that arms share: 'subset_seed' is the pinned one",)
SEEDED = ("params of", "units of", "bytes of", "diverged of")
"""Differences that fresh seeds make by themselves."""


@dataclass(frozen=True)
class Request:
    """What is to be made again, and how.

    Attributes:
        claims: Ids; all pinned ones if empty.
        cores: Snakemake's cores.
        revision: The commit whose code, parameters and pins are taken.
        fresh: Whether other seeds are drawn.
        threads: Threads of every run and probe, in place of those of params.yaml.
        keep: Folder for the copy; a temporary one if null.
    """

    claims: tuple[str, ...]
    cores: int
    revision: str = "HEAD"
    fresh: bool = False
    threads: int | None = None
    keep: Path | None = None


@dataclass
class Retrained:
    """Findings, what else differs, what is out of reach, and the circumstances (JSON values; ``judged`` by claim)."""

    out_of_reach: tuple[str, ...]
    circumstances: dict[str, Any]
    findings: list[Finding] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)

    @property
    def audited(self) -> tuple[list[Finding], list[Difference], tuple[str, ...]]:
        """What every mode of the audit returns."""
        return self.findings, self.differences, self.out_of_reach

    @property
    def judged(self) -> dict[str, str]:
        """Claim -> how it was judged, in words."""
        found: dict[str, str] = self.circumstances["judged"]
        return found


def retrain(root: Path, request: Request) -> Retrained:
    """Compute claims again from their data on, and compare them with their pins.

    Args:
        root: The project's root folder, in a git clone; it is only read.
        request: What to compute.

    Raises:
        SymbreakError: There is no such revision or pin, ``keep`` cannot be used, or no claim at all could be computed.
    """
    root = root.resolve()
    commit = _commit(root, request.revision)
    with scratch(root, commit, request.keep) as copy:
        scale = str(read_yaml(copy / "params.yaml").get("scale", "desk"))
        everything = _pins(copy, scale)
        pins = {claim: everything[claim] for claim in _chosen(request.claims, everything, scale)}
        linked = link_data(root, copy, _pinned_data(everything))
        drawn, changes = _changed(copy, scale, commit, request)
        paths = {claim: f"results/{scale}/claims/{claim}.json" for claim in pins}
        failure = compute(copy, list(paths.values()), request.cores)
        if failure and not any((copy / path).is_file() for path in paths.values()):
            raise SymbreakError(f"Nothing could be computed in the copy of {commit[:12]}. {failure}")
        confidence = level(sum(map(statistical_blocks, pins.values())))
        done = Retrained(
            OUT_OF_REACH + (FRESH_OUT_OF_REACH if request.fresh else ()),
            {
                "commit": commit,
                "scale": scale,
                "cores": request.cores,
                "threads": request.threads,
                "fresh_seeds": {str(old): new for old, new in drawn.items()},
                "level": confidence if request.fresh else None,
                "judged": {},
            },
        )
        for claim, path in paths.items():
            computed = read_claim_file(copy / path)
            if computed is None:
                done.findings.append(holds(VERDICT, path, "", False, "a claim file", f"not made: {failure}"))
                continue
            again = Again(copy, path, pins[claim], computed, changes, tuple(linked))
            _judge(done, root, again, claim, confidence if request.fresh else None)
    return done


def _judge(done: Retrained, root: Path, again: Again, claim: str, confidence: float | None) -> None:
    """Compare one claim; ``confidence`` is null if the seeds are the same."""
    noted = differences(again.copy, again.path, again.pin, again.computed)
    done.findings += provenance(again)
    if confidence is not None:
        entry = read_manifest(again.copy / again.path)["params"]["claim"]["parts"]
        done.findings += fresh_draw(again, entry, confidence)
        done.differences += [note for note in noted if not note.what.startswith(SEEDED)]
        done.judged[claim] = f"fresh seeds, statistical comparisons at level {confidence:.6g}"
        return
    pinned = artifacts(again.pin, again.path)
    why = reasons(root, again.copy, pinned)
    done.findings += same_seeds(again, not why)
    done.differences += noted
    manner = f"within tolerance, since {'; '.join(why)}" if why else "to the last bit, since both were made alike"
    done.judged[claim] = f"same seeds, {manner}; {equal_bits(again.copy, pinned)}"


def _commit(root: Path, revision: str) -> str:
    history = History(root)
    if history.missing:
        raise SymbreakError(f"There is nothing to make again: {history.missing}. Run this in a clone.")
    if not history.has(revision):
        raise SymbreakError(f"There is no revision '{revision}' in this clone; 'git log' lists its commits.")
    return call(root, "git", "rev-parse", f"{revision}^{{commit}}").strip()


def _pins(copy: Path, scale: str) -> dict[str, Any]:
    folder = copy / "results" / "pinned" / scale
    found = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    if not found:
        raise SymbreakError(
            f"Nothing is pinned at scale {scale} there; 'symbreak record' pins. Name another with --rev."
        )
    return found


def _chosen(asked: tuple[str, ...], pins: Mapping[str, Any], scale: str) -> list[str]:
    unknown = [claim for claim in asked if claim not in pins]
    if unknown:
        raise SymbreakError(f"'{unknown[0]}' is not pinned at scale {scale}{nearest(unknown[0], list(pins))}.")
    return list(dict.fromkeys(asked)) or list(pins)


def _pinned_data(pins: Mapping[str, Any]) -> dict[str, str]:
    """Prepared sets by path; sets are shared, so a claim that trains nothing finds its own in another's runs."""
    runs = (run for pin in pins.values() for run in pin["runs"].values())
    return {entry["path"]: entry["sha256"] for run in runs for entry in run["inputs"].values()}


def _changed(copy: Path, scale: str, commit: str, request: Request) -> tuple[dict[int, int], dict[str, Change]]:
    """Write other seeds and threads into the parameters of the copy; nothing is written if neither is asked for."""
    files = ["params.yaml", *([] if scale == "desk" else [f"params.{scale}.yaml"])]
    written = (seed for name in files for seed in seeds_in(read_yaml(copy / name)))
    drawn = fresh_seeds(written, commit) if request.fresh else {}
    changes: dict[str, Change] = dict(_threads(request.threads)) | (reseeded(drawn) if request.fresh else {})
    for name in files if changes else ():
        rewrite(copy, name, changes)
    return drawn, changes


def _threads(number: int | None) -> Iterator[tuple[str, Change]]:
    if number is not None:
        yield "threads", lambda _: number

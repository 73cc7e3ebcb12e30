"""One claim of a scratch copy against its pin: with the same seeds, or with fresh ones."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from symbreak.audit.agreement import agreement
from symbreak.audit.compare import differing
from symbreak.audit.finding import ABSENT, Finding, equal, unchecked
from symbreak.audit.fresh import Change, replaced
from symbreak.audit.rerun import VERDICT, compared, measured, own
from symbreak.audit.retrain_same import bits
from symbreak.provenance.manifest import manifest_path, read_manifest

BITS, PARAMETERS, DATA, MANIFEST = "bits", "parameters", "data", "manifest"
UNDECIDED = "inconclusive"


@dataclass(frozen=True)
class Again:
    """A claim of the copy: its file's path and content there, its pin, and what of the parameters was changed."""

    copy: Path
    path: str
    pin: Mapping[str, Any]
    computed: Mapping[str, Any]
    changes: Mapping[str, Change]
    linked: tuple[str, ...]

    @property
    def pinned(self) -> Mapping[str, Any]:
        """The pinned claim file."""
        found: Mapping[str, Any] = self.pin["claim_file"]
        return found


def provenance(again: Again) -> Iterator[Finding]:
    """The copy's files are what their manifests say, of the pinned parameters and data, and nothing was edited."""
    yield from own(again.copy, again.path)
    for table in again.pin["tables"]:
        yield _untainted(again.copy, table)
    for run, entry in again.pin["runs"].items():
        yield _untainted(again.copy, run)
        if manifest_path(again.copy / run).is_file():
            yield from _asked(again, run, entry)


def same_seeds(again: Again, to_the_bit: bool) -> Iterator[Finding]:
    """Compare with the pin within the tolerances, and to the last bit if both were made alike."""
    yield from compared(again.path, again.pinned, again.computed)
    if to_the_bit:
        yield from differing(BITS, again.path, "", again.pinned, again.computed, "made alike, yet not equal")
        runs = {run: entry["outputs"] for run, entry in again.pin["runs"].items()}
        for path, hashes in (runs | again.pin["tables"]).items():
            yield from differing(BITS, path, "sha256", hashes, bits(again.copy, path), "made alike, yet not equal")


def fresh_draw(again: Again, methods: Mapping[str, Mapping[str, Any]], confidence: float) -> Iterator[Finding]:
    """Compare a draw of other seeds with the pin, by the rule of docs/audit.md.

    Args:
        again: The claim.
        methods: The entry's parts as the claim job was given them: the interval methods.
        confidence: Level of the intervals of statistical comparisons.
    """
    pinned, computed = again.pinned, again.computed
    yield _confirmed(again.path, "verdict", pinned["verdict"], computed["verdict"])
    for target, verdict in pinned["targets"].items():
        yield _confirmed(again.path, f"targets.{target}", verdict, computed["targets"].get(target, ABSENT))
    for name, part in pinned["parts"].items():
        key, other, entry = f"parts.{name}", computed["parts"][name], methods[name]
        yield _confirmed(again.path, f"{key}.verdict", part["verdict"], other["verdict"])
        yield from _block(again.path, key, part, other, entry["interval"], confidence)
        control, again_control = part["control"], other["control"]
        yield _control(again.path, f"{key}.control.shown", control["shown"], again_control["shown"])
        method = entry["control"]["interval"] or entry["interval"]
        if control["regime"] == "statistical" or control["rule"]:
            yield from _block(again.path, f"{key}.control", control, again_control, method, confidence)
        else:
            yield from measured(again.path, f"{key}.control", control, again_control, part["rule"])


def statistical_blocks(pin: Mapping[str, Any]) -> int:
    """Return how many parts and controls of a pinned claim are statistical."""
    parts = pin["claim_file"]["parts"].values()
    return sum(block["regime"] == "statistical" for part in parts for block in (part, part["control"]))


def _block(
    path: str,
    key: str,
    pinned: Mapping[str, Any],
    computed: Mapping[str, Any],
    method: str,
    confidence: float,
) -> Iterator[Finding]:
    """A control that must fail has no rule of its own, and so nothing that it would have to be equivalent within."""
    rule = pinned["rule"] or {}
    if pinned["regime"] == "statistical":
        yield from agreement(path, key, pinned, computed, method, rule.get("within"), confidence)
    else:
        yield from measured(path, key, pinned, computed, rule)


def _confirmed(path: str, key: str, pinned: str, found: str) -> Finding:
    if pinned.startswith(UNDECIDED):
        return unchecked(VERDICT, path, key, f"the pin is '{pinned}': nothing to confirm; here '{found}'")
    undecided = found.startswith(UNDECIDED)
    why = "not shown again, and not contradicted: this draw decides nothing" if undecided else "contradicted"
    return equal(VERDICT, path, key, pinned, found, why)


def _control(path: str, key: str, pinned: bool, found: bool) -> Finding:
    if not pinned:
        return unchecked(
            VERDICT, path, key, f"the control is not shown in the pin; here {'shown' if found else 'neither'}"
        )
    return equal(VERDICT, path, key, pinned, found, "not shown again")


def _untainted(copy: Path, path: str) -> Finding:
    if not manifest_path(copy / path).is_file():
        return unchecked(MANIFEST, path, "", "it was not made, for it has no manifest")
    return equal(MANIFEST, path, "tainted", False, read_manifest(copy / path)["tainted"], "edited while it was made")


def _asked(again: Again, run: str, entry: Mapping[str, Any]) -> Iterator[Finding]:
    manifest = read_manifest(again.copy / run)
    wanted, reason = (
        replaced(entry["params"], again.changes),
        "params.yaml at the commit does not ask for the pinned run",
    )
    yield from differing(PARAMETERS, run, "params", wanted, manifest["params"], reason)
    for name, pinned in entry["inputs"].items():
        found = manifest["inputs"].get(name, {"sha256": ABSENT})["sha256"]
        yield equal(DATA, run, f"sha256 of {pinned['path']}", pinned["sha256"], found, "trained on other data")
        if pinned["path"] in again.linked:
            yield unchecked(DATA, pinned["path"], "", "linked from the working tree by its hash, not prepared again")

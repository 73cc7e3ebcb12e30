"""A pin's manifest against the pinned numbers, the plan (parameters, code, inputs) and the known content of data."""

import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import cast, get_args

from symbreak.audit.compare import differing
from symbreak.audit.finding import Finding, equal, holds
from symbreak.audit.pin import Pin, sha256
from symbreak.audit.pin_shape import PinnedInput, PinnedRun
from symbreak.audit.project import Project
from symbreak.config.specs import Set
from symbreak.data.catalogue import files
from symbreak.plan import Step

BYTES, MANIFEST, PARAMS, CODE, DATA, LOST = "claim bytes", "manifest", "parameters", "code", "data sources", "diverged"
STALE = "not what this repository's parameters, registry and code give: run it again and record it"


def manifests(project: Project, pin: Pin) -> Iterator[Finding]:
    """Check what a pin says about how its claim file and its runs were made."""
    step = project.plan.claim(pin.claim)
    yield _bytes(pin)
    yield from _identity(pin, step)
    yield from differing(PARAMS, pin.path, "manifest.command[--params]", json.loads(step.json), pin.params, STALE)
    yield equal(CODE, pin.path, "manifest.code.end", step.code, pin.content["manifest"]["code"]["end"], STALE)
    yield from _inputs(project, pin)
    planned = {run.path: run for run in project.runs(pin.claim)}
    for path, run in pin.content["runs"].items():
        if path in planned:
            yield from _run(pin, planned[path], run)
    yield from _lost(pin)


def _bytes(pin: Pin) -> Finding:
    """The claim file's hash, taken when it was written, against the pinned content: any changed digit shows."""
    expected = pin.content["manifest"]["outputs"].get(f"{pin.claim}.json")
    reason = "some number or text under claim_file is not the one that the claim job wrote"
    return equal(BYTES, pin.path, "claim_file", expected, sha256(pin.claim_bytes), reason)


def _identity(pin: Pin, step: Step) -> Iterator[Finding]:
    manifest = pin.content["manifest"]
    code, command = manifest["code"], manifest["command"]
    planned = command[command.index("--code") + 1] if "--code" in command[:-1] else None
    said = {"kind": "claim", "artifact": step.path, "claim": pin.claim, "tainted": False, "schema": 1}
    for key, value in said.items():
        yield equal(MANIFEST, pin.path, f"manifest.{key}", value, dict(manifest)[key])
    yield equal(MANIFEST, pin.path, "manifest.code.entry", step.entry, code["entry"])
    yield equal(MANIFEST, pin.path, "manifest.code.start", code["end"], code["start"], "edited while it ran")
    yield equal(MANIFEST, pin.path, "manifest.code.planned", code["end"], code["planned"], "edited before it ran")
    yield equal(MANIFEST, pin.path, "manifest.command[--code]", code["planned"], planned)
    yield equal(MANIFEST, pin.path, "manifest.outputs", [f"{pin.claim}.json"], sorted(manifest["outputs"]))


def _inputs(project: Project, pin: Pin) -> Iterator[Finding]:
    """The claim read exactly the tables that are pinned, with the same bytes."""
    manifest, tables = pin.content["manifest"], pin.content["tables"]
    pinned = {path: hashes.get(PurePosixPath(path).name) for path, hashes in tables.items()}
    read = {entry["path"]: entry["sha256"] for entry in manifest["inputs"].values()}
    yield from differing(MANIFEST, pin.path, "manifest.inputs", pinned, read, "not the tables under 'tables'")
    tainted = [name for name, entry in manifest["inputs"].items() if entry.get("tainted")]
    yield holds(MANIFEST, pin.path, "manifest.inputs", not tainted, "no tainted input", tainted)


def _run(pin: Pin, step: Step, run: PinnedRun) -> Iterator[Finding]:
    key, spec = f"runs[{step.path}]", json.loads(step.json)
    yield from differing(PARAMS, pin.path, f"{key}.params", spec, run["params"], STALE)
    yield equal(CODE, pin.path, f"{key}.code", step.code, run["code"], STALE)
    yield equal(MANIFEST, pin.path, f"{key}.threads", spec["threads"], run["threads"])
    stem = PurePosixPath(step.path).stem
    made = sorted(f"{stem}{suffix}" for suffix in (".epochs.parquet", ".safetensors", ".steps.parquet"))
    yield equal(MANIFEST, pin.path, f"{key}.outputs", made, sorted(run["outputs"]))
    paths = sorted(entry["path"] for entry in run["inputs"].values())
    yield equal(MANIFEST, pin.path, f"{key}.inputs", sorted(step.inputs), paths)
    for name, entry in run["inputs"].items():
        yield from _sources(pin, f"{key}.inputs.{name}", entry)


def _sources(pin: Pin, key: str, entry: PinnedInput) -> Iterator[Finding]:
    """The original files of a data set are the published ones, wherever they came from."""
    yield equal(MANIFEST, pin.path, f"{key}.tainted", False, entry.get("tainted", False))
    name = PurePosixPath(entry["path"]).stem
    if name not in get_args(Set):
        yield holds(DATA, pin.path, f"{key}.path", False, f"one of the sets {', '.join(get_args(Set))}", entry["path"])
        return
    known = {file: expected.sha256 for file, expected in files(cast(Set, name)).items()}
    read = {file: source["sha256"] for file, source in entry.get("sources", {}).items()}
    yield from differing(DATA, pin.path, f"{key}.sources", known, read, "not the published data")


def _lost(pin: Pin) -> Iterator[Finding]:
    """A replica that diverged in a run must be listed in the claim file, for the tables flag or miss it."""
    listed = pin.content["claim_file"]["diverged"]
    yield equal(LOST, pin.path, "claim_file.diverged", pin.content["manifest"]["diverged"], listed)
    claimed = {(lost["arm"], lost["seed"]) for lost in listed}
    for path, run in pin.content["runs"].items():
        arm = PurePosixPath(path).stem
        unlisted = sorted({lost["seed"] for lost in run["diverged"] if (arm, lost["seed"]) not in claimed})
        wanted = "only seeds that the claim file lists"
        yield holds(LOST, pin.path, f"runs[{path}].diverged", not unlisted, wanted, unlisted)

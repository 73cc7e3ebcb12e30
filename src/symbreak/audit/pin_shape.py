"""The exact keys and types of a pinned file: what ``record`` writes, nothing more and nothing less."""

from datetime import datetime
from typing import Annotated, Any, NotRequired

from pydantic import AfterValidator, ConfigDict, StringConstraints, with_config
from typing_extensions import TypedDict

exact = with_config(ConfigDict(extra="forbid", strict=True))


def _dated(date: str) -> str:
    if datetime.fromisoformat(date).tzinfo is None:
        raise ValueError("a date needs its time zone")
    return date


Date = Annotated[str, AfterValidator(_dated)]
Commit = Annotated[str, StringConstraints(pattern="^[0-9a-f]{40}$")]


@exact
class LostReplica(TypedDict):
    """A replica that diverged, as a claim file names it."""

    arm: str
    seed: int


@exact
class DivergedReplica(TypedDict):
    """A replica that diverged, as a run's manifest names it."""

    seed: int
    step: int


@exact
class PinnedUnit(TypedDict):
    """A unit of evidence; ``value`` is null if it was not finite."""

    unit: str
    cluster: str | None
    value: float | None
    count: int | None
    trials: int | None
    group: str | None
    error: float


@exact
class PinnedControl(TypedDict):
    """A control's interval and whether it is shown."""

    quantity: str
    kind: str
    regime: str
    method: str
    level: float | None
    estimate: float | None
    low: float | None
    high: float | None
    n: int
    clusters: int | None
    units: list[PinnedUnit]
    rule: dict[str, float] | None
    rule_text: str
    margin: float | None
    shown: bool
    reason: str | None


@exact
class PinnedPart(TypedDict):
    """A part's interval, rule, verdict and control."""

    target: str
    quantity: str
    regime: str
    unit: str
    method: str
    level: float | None
    estimate: float | None
    low: float | None
    high: float | None
    n: int
    clusters: int | None
    units: list[PinnedUnit]
    rule: dict[str, float]
    refuted_if: dict[str, float] | None
    rule_text: str
    refuted_text: str
    basis: str
    margin: float | None
    verdict: str
    reason: str | None
    power: float | None
    underpowered: bool
    control: PinnedControl


@exact
class PinnedClaim(TypedDict):
    """A claim file."""

    claim: str
    paper: str
    scale: str
    statement: str
    source: str
    targets: dict[str, str]
    verdict: str
    deciding: str
    margin: float | None
    n: int
    control: str
    diverged: list[LostReplica]
    underpowered: bool
    entry_sha256: str
    parts: dict[str, PinnedPart]


@exact
class PinnedInput(TypedDict):
    """An input of a job; ``sources`` says of a prepared set where its files came from."""

    path: str
    sha256: str
    tainted: NotRequired[bool]
    sources: NotRequired[dict[str, Any]]


@exact
class PinnedCode(TypedDict):
    """Fingerprints of a job's code."""

    entry: str
    modules: list[str]
    planned: str
    start: str
    end: str
    files: dict[str, str]


@exact
class PinnedManifest(TypedDict):
    """The claim file's manifest; its parameters stand in ``command``."""

    schema: int
    kind: str
    artifact: str
    claim: str
    command: list[str]
    inputs: dict[str, PinnedInput]
    outputs: dict[str, str]
    code: PinnedCode
    tainted: bool
    versions: dict[str, str]
    threads: int
    device: str
    deterministic: bool
    diverged: list[LostReplica]


@exact
class PinnedRun(TypedDict):
    """What is kept of the manifest of a run."""

    params: dict[str, Any]
    inputs: dict[str, PinnedInput]
    outputs: dict[str, str]
    versions: dict[str, str]
    device: str
    threads: int
    diverged: list[DivergedReplica]
    code: str


@exact
class PinnedEntry(TypedDict):
    """The commit in which the entry of the registry got its form."""

    commit: Commit
    date: Date
    sha256: str


@exact
class PinnedFile(TypedDict):
    """The whole of a pinned file."""

    claim_file: PinnedClaim
    registered: PinnedEntry
    first_job_ended: Date | None
    manifest: PinnedManifest
    tables: dict[str, dict[str, str]]
    runs: dict[str, PinnedRun]
    figure: dict[str, str]

"""What differs between two computations of a claim: data, device, threads, versions, code, bytes of tables and runs."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from symbreak.files import canonical
from symbreak.provenance.manifest import manifest_path, read_manifest


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same; it explains numbers and is no failure by itself."""

    claim: str
    what: str
    pinned: str
    here: str

    def as_dict(self) -> dict[str, str]:
        """Return it as JSON values."""
        return asdict(self)


def differences(root: Path, path: str, pin: Mapping[str, Any], computed: Mapping[str, Any]) -> Iterator[Difference]:
    """Compare the manifests of a claim and of its runs with the pinned ones, and the units bit by bit.

    Args:
        root: The project's root folder.
        path: The claim file in it.
        pin: The pinned file.
        computed: The claim file's content here.
    """
    claim = PurePosixPath(path).stem
    if not manifest_path(root / path).is_file():
        yield Difference(
            claim, "manifest", pin["claim_file"]["scale"], "missing here: nothing is known of how it was made"
        )
        return
    manifest = read_manifest(root / path)
    pairs = _facts(pin["manifest"], manifest)
    for run, pinned in pin["runs"].items():
        if manifest_path(root / run).is_file():
            pairs |= {f"{key} of {run}": pair for key, pair in _run_facts(pinned, read_manifest(root / run)).items()}
        else:
            pairs[f"run {run}"] = ("pinned", "not here")
    pairs |= _bytes(pin, manifest) | {"registry entry": (pin["claim_file"]["entry_sha256"], computed["entry_sha256"])}
    pairs |= _units(pin["claim_file"], computed)
    yield from (Difference(claim, what, str(one), str(other)) for what, (one, other) in pairs.items() if one != other)


Pairs = dict[str, tuple[Any, Any]]


def _facts(pinned: Mapping[str, Any], here: Mapping[str, Any]) -> Pairs:
    pairs: Pairs = {key: (pinned[key], here[key]) for key in ("device", "threads")}
    for name in sorted(pinned["versions"].keys() | here["versions"].keys()):
        pairs[f"version of {name}"] = (pinned["versions"].get(name), here["versions"].get(name))
    old, new = pinned["code"]["files"], here["code"]["files"]
    changed = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    modules = f" ({', '.join(changed)})" if changed else ""
    return pairs | {f"code{modules}": (pinned["code"]["end"], here["code"]["end"])}


def _run_facts(pinned: Mapping[str, Any], here: Mapping[str, Any]) -> Pairs:
    pairs: Pairs = {key: (pinned[key], here[key]) for key in ("device", "threads", "diverged", "params")}
    pairs["code"] = (pinned["code"], here["code"]["end"])
    for name in sorted(pinned["versions"].keys() | here["versions"].keys()):
        pairs[f"version of {name}"] = (pinned["versions"].get(name), here["versions"].get(name))
    pairs["data"] = (_data(pinned), _data(here))
    return pairs


def _data(run: Mapping[str, Any]) -> str:
    """Content and source of the data, in words."""
    inputs = run["inputs"].values()
    return "; ".join(f"{e['path']} {e['sha256'][:12]} from {_sources(e)}" for e in inputs)


def _sources(entry: Mapping[str, Any]) -> str:
    return ", ".join(sorted({source["source"] for source in entry.get("sources", {}).values()})) or "unknown"


def _bytes(pin: Mapping[str, Any], manifest: Mapping[str, Any]) -> Pairs:
    """Tables that the claim was decided on, by their hash."""
    old = {entry["path"]: entry["sha256"] for entry in pin["manifest"]["inputs"].values()}
    new = {entry["path"]: entry["sha256"] for entry in manifest["inputs"].values()}
    other = [path for path in old.keys() | new.keys() if old.get(path) != new.get(path)]
    return {
        "bytes of tables": (f"{len(old)} tables", f"{len(other)} of them differ" if other else f"{len(old)} tables")
    }


def _units(pinned: Mapping[str, Any], computed: Mapping[str, Any]) -> Pairs:
    """The numbers per unit of each part that both have, digit by digit."""
    pairs: Pairs = {}
    for name in pinned["parts"].keys() & computed["parts"].keys():
        one, other = ({u["unit"]: u["value"] for u in side["parts"][name]["units"]} for side in (pinned, computed))
        differ = [unit for unit in one.keys() | other.keys() if canonical(one.get(unit)) != canonical(other.get(unit))]
        pairs[f"units of {name}"] = (f"{len(one)} units", f"{len(differ)} differ" if differ else f"{len(one)} units")
    return dict(sorted(pairs.items()))

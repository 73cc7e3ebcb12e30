"""What a forger of a recorded project can do: change a value, and let hashes, lock, table, pins and history follow."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps

from symbreak import plan as planning
from symbreak.audit.pin import read, sha256, text
from symbreak.audit.rebuild import rebuild
from symbreak.audit.yaml_text import parse
from symbreak.config.load import load as configuration
from symbreak.provenance import dvcfile
from symbreak.provenance import record as recording
from symbreak.provenance.closure import SOURCE, fingerprint
from symbreak.readme import rewritten

from .mutations import OTHER, PIN, at, load, mutate, save
from .project import LONG_AGO, commit, compute, git, write_yaml

Change = Callable[[Path], None]
LATER = "2035-01-01T00:00:00+00:00"
"""After all runs of the fixture, which are of now."""


def value(*steps: str | int, to: Any, pin: str = PIN) -> Change:
    """Set one value of a pin; nothing follows."""

    def change(root: Path) -> None:
        old = mutate(root, list(steps), to, pin)
        assert old != to, f"{steps} was {to} before"

    return change


def scaled(*steps: str | int, by: float) -> Change:
    """Multiply one number of a pin; nothing follows."""

    def change(root: Path) -> None:
        content = load(root)
        at(content, list(steps[:-1]))[steps[-1]] *= by
        save(root, content)

    return change


def edited(change: Callable[[Any], None], file: str = PIN) -> Change:
    """Change a pin, the lock, claims.yaml, params.yaml or code.yaml as Python values; nothing follows."""

    def apply(root: Path) -> None:
        if file.endswith(".json"):
            content = load(root, file)
            change(content)
            save(root, content, file)
        else:
            content = parse((root / file).read_text())
            change(content)
            write_yaml(root / file, content)

    return apply


def rebuilt(change: Change) -> Change:
    """Let every derived number, verdict and sentence of the pin follow from its units."""

    def apply(root: Path) -> None:
        change(root)
        registry, content, name = configuration(root).registry, load(root), Path(PIN).stem
        entry = registry.claims[name]
        found = rebuild(content["claim_file"], name, entry, registry.papers[entry.paper])
        for key, part in found.pop("parts").items():
            stored = content["claim_file"]["parts"][key]
            stored["control"] |= part.pop("control")
            stored |= part
        content["claim_file"] |= found
        save(root, content)

    return apply


def sealed(change: Change) -> Change:
    """Let the manifest's hash of the claim file, DVC's lock and the README's table follow."""

    def apply(root: Path) -> None:
        change(root)
        content, name = load(root), Path(PIN).stem
        content["manifest"]["outputs"][f"{name}.json"] = sha256(text(content["claim_file"]).encode())
        save(root, content)
        pin, _ = read(root, root / PIN)
        assert pin is not None
        stem = f"results/desk/claims/{name}"
        _lock(root, {f"{stem}.json": pin.claim_bytes, f"{stem}.manifest.json": pin.manifest_bytes})
        readme = root / "README.md"
        readme.write_text(rewritten(readme.read_text(), configuration(root).registry, root))

    return apply


def _lock(root: Path, contents: dict[str, bytes]) -> None:
    lock = parse((root / "dvc.lock").read_text())
    for stage in lock["stages"].values():
        for entry in (*stage["deps"], *stage["outs"]):
            if (content := contents.get(entry["path"])) is not None:
                entry |= {"md5": hashlib.md5(content).hexdigest(), "size": len(content)}
    write_yaml(root / "dvc.lock", lock)


@contextmanager
def own_code(root: Path) -> Iterator[None]:
    """Take fingerprints from the project's own copy of the package, if it has one."""
    with pytest.MonkeyPatch.context() as patch:
        if (root / "src").is_dir():
            for module in (planning, dvcfile):
                patch.setattr(module, "fingerprint", partial(fingerprint, source=root / "src"))
        yield


def generated(change: Change) -> Change:
    """Let dvc.yaml and code.yaml follow."""

    def apply(root: Path) -> None:
        change(root)
        with own_code(root):
            texts = dvcfile.files(planning.Plan.load(root))
        for name, content in texts.items():
            (root / name).write_text(content)

    return apply


def recorded_again(change: Change, history: bool = True) -> Change:
    """Commit a change of claims.yaml, judge and record again with the refusals of ``record`` switched off.

    Without ``history`` the project's is thrown away, and the changed registry is committed at the date of the old one.
    """

    def apply(root: Path) -> None:
        change(root)
        if not history:
            shutil.rmtree(root / ".git")
            git(root, "init", "--quiet")
        commit(root, "another rule", LATER if history else LONG_AGO)
        with pytest.MonkeyPatch.context() as patch:
            for refusal in ("_refuse_afterthoughts", "_refuse_other_levels"):
                patch.setattr(recording, refusal, lambda *_: None)
            compute(root, ("claims", "figures"))

    return apply


def both(*changes: Change) -> Change:
    """Do one change after the other."""

    def apply(root: Path) -> None:
        for change in changes:
            change(root)

    return apply


def bytes_of(path: str, to: bytes = b"other data") -> Change:
    """Replace a file's content."""

    def change(root: Path) -> None:
        assert (root / path).read_bytes() != to
        (root / path).write_bytes(to)

    return change


def line_of(module: str, old: str, new: str) -> Change:
    """Give the project a copy of the package with one line changed; the audit then takes its fingerprints from it."""

    def change(root: Path) -> None:
        shutil.copytree(SOURCE / "symbreak", root / "src/symbreak", ignore=shutil.ignore_patterns("__pycache__"))
        path = root / "src" / Path(*module.split(".")).with_suffix(".py")
        before = path.read_text()
        assert before.count(old) == 1, f"{module} has not one line with {old!r}"
        path.write_text(before.replace(old, new))

    return change


def text_of(file: str, old: str, new: str) -> Change:
    """Replace the first occurrence of a text."""

    def change(root: Path) -> None:
        before = (root / file).read_text()
        assert old in before, f"{file} has no {old!r}"
        (root / file).write_text(before.replace(old, new, 1))

    return change


def true_labels(tensors: bool = True, manifest: bool = True, pin: bool = True) -> Change:
    """Let the random-label run have true labels: its tensors, and their hash in its manifest and in the pin."""
    run, digest = "results/desk/runs/toy/random", sha256(b"true labels")

    def change(root: Path) -> None:
        if tensors:
            (root / f"{run}.safetensors").write_bytes(b"true labels")
        if manifest:
            content = load(root, f"{run}.manifest.json")
            content["outputs"]["random.safetensors"] = digest
            save(root, content, f"{run}.manifest.json")
        if pin:
            mutate(root, ["runs", f"{run}.safetensors", "outputs", "random.safetensors"], digest)

    return change


def restored(change: Change, *paths: str) -> Change:
    """Make a change, and then let some files be again what they were before it."""

    def apply(root: Path) -> None:
        before = {path: (root / path).read_bytes() for path in paths}
        change(root)
        for path, content in before.items():
            bytes_of(path, content)(root)

    return apply


def redrawn(root: Path, lock: bool) -> None:
    """Show another figure, here too if it is here, let the pin have its hash, and perhaps the lock."""
    shown, here = root / "docs/figures/ssb-goldstone.png", root / "figures/desk/ssb-goldstone.png"
    other = of_other_data(shown.read_bytes())
    bytes_of(f"docs/figures/{shown.name}", other)(root)
    if here.is_file():
        here.write_bytes(other)
    mutate(root, ["figure", shown.name], sha256(other), OTHER)
    if lock:
        _lock(root, {f"figures/desk/{shown.name}": other})


def of_other_data(png: bytes) -> bytes:
    """Mirror a PNG: the same points and colours at other values."""
    made = BytesIO()
    with Image.open(BytesIO(png)) as image:
        ImageOps.mirror(image).save(made, format="PNG")
    return made.getvalue()


def tables_swapped(root: Path) -> None:
    """Let the tables of two arms change places, with their hashes in the pin and in the claim's manifest."""
    paths = [f"results/desk/probes/toy/{arm}/accuracy.parquet" for arm in ("random", "true")]
    contents = [(root / path).read_bytes() for path in paths]
    pinned = load(root)
    for path, content in zip(paths, reversed(contents), strict=True):
        bytes_of(path, content)(root)
        pinned["tables"][path]["accuracy.parquet"] = sha256(content)
        read_as = f"{Path(path).parent.name}/accuracy"
        pinned["manifest"]["inputs"][read_as]["sha256"] = sha256(content)
    save(root, pinned)

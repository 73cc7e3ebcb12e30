"""What an audit looked at as a CODECHECK configuration file, version 1.0 (https://codecheck.org.uk/spec/config/1.0/)."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from symbreak.audit.finding import Finding
from symbreak.audit.report import counts
from symbreak.audit.rerun import VERDICT
from symbreak.config.load import read_yaml
from symbreak.config.registry import Registry
from symbreak.errors import SymbreakError
from symbreak.files import atomic

NAME, VERSION = "codecheck.yml", "https://codecheck.org.uk/spec/config/1.0/"
RESULTS = ("results/", "figures/", "docs/figures/")
FIXME = "FIXME: {} (a person's to give; CODECHECK's validator refuses this file until then)"


def check_target(file: Path, roots: Sequence[Path]) -> None:
    """Refuse, before anything is computed, a file that could not be written.

    Args:
        file: Where the configuration is to go.
        roots: The folders that paths of results may be relative to.

    Raises:
        SymbreakError: It has another name, lies in another folder, or exists.
    """
    if file.name != NAME:
        raise SymbreakError(f"--codecheck {file}: the specification calls this file {NAME}; name it so.")
    if file.resolve().parent not in [root.resolve() for root in roots]:
        allowed = " or ".join(str(root.resolve()) for root in roots)
        raise SymbreakError(f"--codecheck {file}: its paths are relative to its folder; expected it in {allowed}.")
    if file.exists():
        raise SymbreakError(f"--codecheck {file} exists and may have a codechecker's words in it; move it away first.")


def write(file: Path, content: Mapping[str, Any]) -> None:
    """Write a configuration as an explicit YAML 1.1 document in UTF-8."""
    text = yaml.safe_dump(
        dict(content), sort_keys=False, allow_unicode=True, width=100, explicit_start=True, version=(1, 1)
    )
    with atomic(file) as temporary:
        temporary.write_text(text, encoding="utf-8")


def codecheck(
    root: Path, findings: Sequence[Finding], out_of_reach: Sequence[str], circumstances: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the configuration of what was audited; codechecker, report and certificate are left to a person.

    Args:
        root: The project's root folder, with CITATION.cff and claims.yaml.
        findings: What the audit found.
        out_of_reach: What this kind of audit cannot say.
        circumstances: How it was made, JSON values; they go under the key ``symbreak``.

    Raises:
        SymbreakError: No result file was audited, or CITATION.cff has no title or author.
    """
    by_file: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.file.startswith(RESULTS):
            by_file.setdefault(finding.file, []).append(finding)
    if not by_file:
        raise SymbreakError("No result file was audited, so a codecheck.yml would have an empty manifest.")
    registry = Registry.model_validate(read_yaml(root / "claims.yaml"))
    claims = [claim for claim in registry.claims if any(Path(file).stem == claim for file in by_file)]
    return {
        "version": VERSION,
        "paper": _paper(root, registry, claims),
        "manifest": [{"file": file, "comment": _comment(found)} for file, found in sorted(by_file.items())],
        "codechecker": [
            {"name": FIXME.format("name of the codechecker"), "ORCID": FIXME.format("0000-0000-0000-0000")}
        ],
        "report": FIXME.format("identifier of the published report, a DOI"),
        "certificate": FIXME.format("YYYY-NNN, from the CODECHECK register"),
        "check_time": datetime.now(UTC).isoformat(timespec="seconds"),
        "summary": "\n".join(_summary(findings, out_of_reach)) + "\n",
        "symbreak": {"sources": {claim: registry.claims[claim].source for claim in claims}, **circumstances},
    }


def _paper(root: Path, registry: Registry, claims: Sequence[str]) -> dict[str, Any]:
    citation = read_yaml(root / "CITATION.cff")
    authors = [{"name": name} for entry in citation.get("authors", []) if (name := _name(entry))]
    if "title" not in citation or not authors:
        raise SymbreakError(
            "CITATION.cff: expected 'title' and at least one author with a name; codecheck.yml needs both."
        )
    papers = dict.fromkeys(registry.claims[claim].paper for claim in claims)
    about = "; ".join(registry.papers[paper].reference for paper in papers)
    own = citation.get("doi") or citation.get("url")
    reference = "; ".join(filter(None, [own, f"claims of: {about}" if about else None]))
    return {"title": citation["title"], "authors": authors} | ({"reference": reference} if reference else {})


def _name(entry: Mapping[str, str]) -> str:
    """The name of an author of CITATION.cff, a person or an entity."""
    return entry.get("name") or " ".join(filter(None, (entry.get("given-names"), entry.get("family-names"))))


def _comment(found: Sequence[Finding]) -> str:
    verdicts = [f for f in found if (f.check, f.key) == (VERDICT, "verdict")]
    said = [f"verdict {f.found or f.reason}, pinned {f.expected}" if f.found else f.reason for f in verdicts]
    return "; ".join([*said, _counted(found)])


def _counted(found: Sequence[Finding]) -> str:
    return ", ".join(f"{n} {state}" for state, n in counts(found).items())


def _summary(findings: Sequence[Finding], out_of_reach: Sequence[str]) -> Iterator[str]:
    yield f"Written by 'symbreak audit': {_counted(findings)}. No person has looked at this yet."
    for finding in findings:
        where = f"{finding.file}: {finding.key}" if finding.key else finding.file
        if finding.state == "failed":
            yield f"failed: {finding.check}: {where}: expected {finding.expected}, found {finding.found}"
    for check, reason in dict.fromkeys((f.check, f.reason) for f in findings if f.state == "not checked"):
        yield f"not checked: {check}: {reason}"
    yield from (f"out of reach: {line}" for line in out_of_reach)

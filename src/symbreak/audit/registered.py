"""Pins against the registry at HEAD and against git: which rule was judged by, and whether it stood before the run."""

from collections.abc import Iterator
from datetime import datetime

from symbreak.audit.earlier import first_ended
from symbreak.audit.finding import ABSENT, Finding, equal, holds, unchecked
from symbreak.audit.pin import Pin
from symbreak.audit.project import Project
from symbreak.config.registry import Amendment, Claim
from symbreak.provenance.registration import entry_sha256

CHECK, AFTER, AMENDED, COMMITTED = "registered", "rule before run", "amendment", "committed"


def registered(project: Project, pin: Pin) -> Iterator[Finding]:
    """Check a claim's entry at HEAD, at the commit that the pin names, and before its first job ended."""
    history, commit = project.history, pin.content["registered"]["commit"]
    if history.missing:
        yield unchecked(CHECK, pin.path, "registered", history.missing)
        return
    yield from _at_head(project, pin)
    if history.has(commit):
        yield from _at_commit(project, pin, commit)
        yield from _before_the_run(project, pin)
    elif history.shallow:
        yield unchecked(
            CHECK, pin.path, "registered", "the clone is shallow; 'git fetch --unshallow' brings its history"
        )
    else:
        yield holds(CHECK, pin.path, "registered.commit", False, "a commit of this repository", commit)


def _at_head(project: Project, pin: Pin) -> Iterator[Finding]:
    entry = project.plan.claims[pin.claim]
    at_head = project.history.entry("HEAD", pin.claim)
    wanted = ABSENT if at_head is None else entry_sha256(at_head)
    key = f"claims.{pin.claim}"
    yield equal(COMMITTED, "claims.yaml", key, wanted, entry_sha256(entry), "the entry is not the one at HEAD")
    for where in ("claim_file.entry_sha256", "registered.sha256"):
        group, name = where.split(".")
        found = dict(pin.content)[group][name]  # type: ignore[index]
        yield equal(CHECK, pin.path, where, wanted, found, "judged by another entry than the one at HEAD")
    for amendment in entry.amended:
        said, old = f"part '{amendment.part}': {amendment.reason}", amendment.old_rule.model_dump(exclude_none=True)
        yield Finding(AMENDED, "claims.yaml", key, "passed", found=old, reason=said)


def _at_commit(project: Project, pin: Pin, commit: str) -> Iterator[Finding]:
    history, said = project.history, pin.content["registered"]
    then = history.entry(commit, pin.claim)
    stood = ABSENT if then is None else entry_sha256(then)
    yield holds(CHECK, pin.path, "registered.commit", history.leads_to(commit, "HEAD"), "an ancestor of HEAD", commit)
    yield equal(CHECK, pin.path, "registered.date", history.date(commit), said["date"])
    yield equal(CHECK, pin.path, "registered.sha256", stood, said["sha256"], "not the entry at registered.commit")
    changed = history.commits("claims.yaml", commit)[:2]
    new = changed[:1] == [commit] and not any(history.entry(older, pin.claim) == then for older in changed[1:])
    yield holds(CHECK, pin.path, "registered.commit", new, "the commit that gave the entry this form", commit)


def _before_the_run(project: Project, pin: Pin) -> Iterator[Finding]:
    """What was changed in the entry after the claim's first job had ended must be under ``amended``.

    Asked of git, not of ``registered.date``: an entry may be changed, the job run, and the entry changed back.
    """
    ended = first_ended(project, pin)
    if ended is None:
        reason = "the pin does not say when its first job ended: it was recorded after a pull"
        yield unchecked(AFTER, pin.path, "first_job_ended", reason)
        return
    yield from _before_the_pin(project, pin)
    last = project.history.last("claims.yaml", ended)
    before = None if last is None else project.history.entry(last, pin.claim)
    if last is None or before is None:
        date = pin.content["registered"]["date"]
        yield holds(AFTER, pin.path, "registered.date", False, f"not after {ended}", date, "no entry before the run")
        return
    entry = project.plan.claims[pin.claim]
    yield Finding(AFTER, pin.path, "registered.date", "passed", reason=f"an entry stood at {last[:12]}, before {ended}")
    yield from _amendments(pin, before, entry)
    yield from _others(pin, before, entry)
    yield _level(project, entry, last)


def _before_the_pin(project: Project, pin: Pin) -> Iterator[Finding]:
    """No job ends after its result was committed; of a pin that is not committed nothing is known."""
    history, said = project.history, pin.content["first_job_ended"]
    if said and history.show("HEAD", pin.path) == (project.root / pin.path).read_text():
        date = history.date(history.commits(pin.path)[0])
        late = datetime.fromisoformat(said) > datetime.fromisoformat(date)
        yield holds(AFTER, pin.path, "first_job_ended", not late, f"not after {date}, when it was pinned", said)


def _level(project: Project, entry: Claim, commit: str) -> Finding:
    """Alpha and family size are not in an entry's hash, and every interval of the paper is at their level."""
    paper = project.plan.configuration.registry.papers[entry.paper]
    then = project.history.level(commit, entry.paper)
    reason = f"alpha and family_size were changed after the run; {commit[:12]} stood before it"
    now, before = [paper.alpha, paper.family_size], ABSENT if then is None else list(then)
    return equal(AFTER, "claims.yaml", f"papers.{entry.paper}", before, now, reason)


def _amendments(pin: Pin, before: Claim, now: Claim) -> Iterator[Finding]:
    for name in sorted(before.parts.keys() | now.parts.keys()):
        old, new = before.parts.get(name), now.parts.get(name)
        if old != new:
            given = [a for a in now.amended if a.part == name and old is not None and a.old_rule == old.rule]
            said: list[Amendment] | str = given or "no amendment with its old rule"
            wanted = "an amendment: this part was changed after the run"
            yield holds(AFTER, "claims.yaml", f"claims.{pin.claim}.parts.{name}", bool(given), wanted, str(said))


def _others(pin: Pin, before: Claim, now: Claim) -> Iterator[Finding]:
    """Statement, source, targets and the like: an amendment, of whatever part, must have come with their change."""
    given = len(now.amended) > len(before.amended)
    old, new = before.decided(), now.decided()
    for key in sorted(old.keys() - {"parts", "amended"}):
        if old[key] != new[key]:
            found = new[key] if given else "no amendment"
            wanted = f"{old[key]}, as before the run, or an amendment"
            yield holds(AFTER, "claims.yaml", f"claims.{pin.claim}.{key}", given, wanted, found)

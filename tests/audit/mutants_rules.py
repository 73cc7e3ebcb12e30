"""Mutants of the registry, its history and its dates."""

from pathlib import Path
from typing import Any

from .forging import LATER, Change, both, edited, recorded_again, restored, value
from .mutants import Mutant
from .mutations import OTHER, PIN
from .project import commit, git

CLAIMS, NAME = "claims.yaml", "ssb-random-labels"
NEAR_KEY, FIT_KEY = f"claims.{NAME}.parts.near", f"claims.{NAME}.parts.fit"
AFTER, LOCK = "rule before run", ("dvc.lock", "dvc.lock")
CLAIM_FILES = tuple(f"results/desk/claims/{NAME}{end}" for end in (".json", ".manifest.json"))
QUOTED = ("quoted", "README.md")
OLD = {"equals": 0.97, "within": 0.02}


def loosen(claims: Any) -> None:
    claims["claims"][NAME]["parts"]["near"]["rule"]["within"] = 0.025


def amend(old: dict[str, float]) -> Any:
    def change(claims: Any) -> None:
        claims["claims"][NAME]["amended"] = [{"reason": "a slip", "part": "near", "old_rule": old}]
        loosen(claims)

    return change


def turn(claims: Any) -> None:
    claims["claims"][NAME]["parts"]["fit"] |= {"rule": {"at_most": 0.99}, "refuted_if": None}


def wide(claims: Any) -> None:
    claims["claims"][NAME]["parts"]["fit"]["control"]["rule"]["within"] = 0.4


def tame(claims: Any) -> None:
    claims["claims"][NAME]["parts"]["near"]["control"] |= {"kind": "absent", "rule": {"at_least": 0.0}, "interval": "t"}


def uncontrolled(claims: Any) -> None:
    del claims["claims"][NAME]["parts"]["near"]["control"]


def easier(claims: Any) -> None:
    claims["papers"]["ssb"]["family_size"] = 1


def milder(claims: Any) -> None:
    claims["papers"]["ssb"]["alpha"] = 0.2


def reworded(claims: Any) -> None:
    claims["claims"][NAME]["statement"] = "Networks fit some random labels."


def registry(change: Any) -> Change:
    return edited(change, CLAIMS)


def after(name: str, changed: str, change: Any, key: str) -> Mutant:
    """Make a mutant whose rule was changed after its run, and everything judged and recorded again by it."""
    said = f"{changed} after the run; judged and recorded again"
    return Mutant(name, said, recorded_again(registry(change)), AFTER, CLAIMS, key, tree="pulled")


def there_and_back(root: Path) -> None:
    """In 2021 the rule is another, the job runs, in 2022 the rule is again what it was."""
    before = (root / CLAIMS).read_text()
    registry(loosen)(root)
    commit(root, "another rule", "2021-01-01T00:00:00+00:00")
    (root / CLAIMS).write_text(before)
    commit(root, "back", "2022-01-01T00:00:00+00:00")
    value("first_job_ended", to="2021-06-01T00:00:00+00:00")(root)


AMENDED = recorded_again(registry(amend(OLD)))
"""What is allowed: the rule changed after the run, and an amendment says so."""


def at_head(root: Path) -> None:
    """Name the last commit, which did not touch the registry."""
    commit_, date = git(root, "log", "-1", "--format=%H %cI").split()
    value("registered", "commit", to=commit_)(root)
    value("registered", "date", to=date)(root)


def aside(root: Path) -> None:
    """Name a commit that is not in HEAD's history and has another rule."""
    git(root, "checkout", "--quiet", "-b", "aside")
    registry(loosen)(root)
    commit(root, "aside", "2020-01-01T00:00:00+00:00")
    commit_ = git(root, "rev-parse", "HEAD").strip()
    git(root, "checkout", "--quiet", "-")
    value("registered", "commit", to=commit_)(root)


def run_files_too(root: Path) -> None:
    """Let the pin and all run files say that the jobs ended after the change."""
    for path in root.glob("results/desk/*/toy/**/*.run.json"):
        path.unlink()
    value("first_job_ended", to="2035-06-01T00:00:00+00:00")(root)
    commit(root, "later", "2035-07-01T00:00:00+00:00")


RULES = (
    Mutant(
        "tolerance loosened, not committed", "`within` 0.02 to 0.025 in claims.yaml after the run", registry(loosen),
        "committed", CLAIMS, f"claims.{NAME}",
        also=(("recomputed", PIN), ("parameters", PIN), (AFTER, CLAIMS), LOCK), commit="none",
    ),
    Mutant(
        "tolerance loosened", "`within` 0.02 to 0.025 in claims.yaml after the run", registry(loosen),
        "registered", PIN, "registered.sha256",
        also=(("recomputed", PIN), ("parameters", PIN), (AFTER, CLAIMS), LOCK),
    ),
    Mutant(
        "tolerance loosened with `amended`, not judged again", "the same with an amendment that has its old rule",
        registry(amend(OLD)), "registered", PIN, "registered.sha256",
        also=(("recomputed", PIN), ("parameters", PIN), LOCK),
    ),
    after("tolerance loosened, recorded again", "`within` 0.02 to 0.025", loosen, NEAR_KEY),
    after("tolerance loosened, false `amended`", "`within` 0.02 to 0.025, `amended` names another old rule,",
          amend({"equals": 0.97, "within": 0.024}), NEAR_KEY),
    after("direction turned", "`at_least` to `at_most`", turn, FIT_KEY),
    after("control's rule loosened", "`within` 0.05 to 0.4 in a control", wide, FIT_KEY),
    after("control that cannot fail", "`must_fail` to a rule that anything meets", tame, NEAR_KEY),
    after("family made smaller", "`family_size` 43 to 1", easier, "papers.ssb"),
    after("alpha raised", "`alpha` 0.05 to 0.2", milder, "papers.ssb"),
    after("statement reworded", "what is claimed", reworded, f"claims.{NAME}.statement"),
    Mutant(
        "family made smaller, not judged again", "`family_size` 43 to 1 after the run", registry(easier),
        AFTER, CLAIMS, "papers.ssb",
        also=(("recomputed", PIN), ("parameters", PIN), ("parameters", OTHER), LOCK),
    ),
    Mutant(
        "control deleted", "a part's control in claims.yaml", registry(uncontrolled),
        "configuration", CLAIMS, f"claims.{NAME}.parts.near.control",
    ),
    Mutant(
        "another rule during the run", "a looser rule stood in git when the job ended, and was taken back",
        there_and_back, AFTER, CLAIMS, NEAR_KEY,
    ),
    Mutant(
        "run dated after a loosened rule", "recorded again by a looser rule, no run files, `first_job_ended` moved",
        both(recorded_again(registry(loosen)), run_files_too), AFTER, CLAIMS, NEAR_KEY, tree="pulled",
    ),
    Mutant(
        "entry after its run", "`first_job_ended` is before the registry's first commit",
        value("first_job_ended", to="2019-01-01T00:00:00+00:00"), AFTER, PIN, "registered.date",
    ),
    Mutant(
        "run later than its pin", "`first_job_ended` is after the commit of the pin",
        value("first_job_ended", to=LATER), AFTER, PIN, "first_job_ended",
    ),
    Mutant(
        "run later than its run file", "`first_job_ended` is after what the run files say",
        value("first_job_ended", to=LATER), "artifact", PIN, "first_job_ended", also=((AFTER, PIN),), tree="pulled",
    ),
    Mutant("registered by another commit", "`registered` names HEAD", at_head, "registered", PIN, "registered.commit"),
    Mutant("registered aside", "`registered` names a commit of another branch", aside,
           "registered", PIN, "registered.commit"),
    Mutant(
        "registered by no commit", "`registered` names a commit that is nowhere",
        value("registered", "commit", to="0" * 40), "registered", PIN, "registered.commit",
    ),
    Mutant(
        "registered at another date", "`registered.date` is later by a day",
        value("registered", "date", to="2020-01-02T00:00:00+00:00"), "registered", PIN, "registered.date",
    ),
    Mutant(
        "registered as another entry", "`registered.sha256`", value("registered", "sha256", to="0" * 64),
        "registered", PIN, "registered.sha256",
    ),
    Mutant(
        "claim file of another commit", "a rule was amended, all recorded again, and the old claim file restored",
        restored(AMENDED, *CLAIM_FILES), "artifact", CLAIM_FILES[0], "sha256",
        also=(("artifact", CLAIM_FILES[1]), *(("dvc.lock", path) for path in CLAIM_FILES)), tree="pulled",
    ),
    Mutant(
        "pin of another commit", "a rule was amended, all recorded again, and the old pin restored",
        restored(AMENDED, PIN), "registered", PIN, "claim_file.entry_sha256",
        also=(("recomputed", PIN), ("parameters", PIN), LOCK, *(("artifact", path) for path in CLAIM_FILES), QUOTED),
        tree="pulled",
    ),
    Mutant(
        "history made anew", "a repository in which the looser rule stands in the first commit, of the old date",
        recorded_again(registry(loosen), history=False), tree="pulled",
        reason="it is a project that was registered so; only a witness outside can tell (a pushed or signed commit)",
    ),
)  # fmt: skip

"""``record`` and a paper's level. Oracle: one project, its level changed before, after, or around the run."""

from pathlib import Path
from typing import Any

import pytest

from symbreak.errors import SymbreakError

from .forging import LATER, edited
from .project import LONG_AGO, commit, compute

REFUSED = "judged at another level than the one that stood in git"
AGAIN = ("claims", "figures")


def level(root: Path, key: str, to: float, date: str | None, amended: bool = False) -> None:
    def change(claims: Any) -> None:
        claims["papers"]["ssb"][key] = to
        if amended:
            said = {"reason": "a slip", "part": "near", "old_rule": {"equals": 0.97, "within": 0.02}}
            claims["claims"]["ssb-random-labels"]["amended"] = [said]

    edited(change, "claims.yaml")(root)
    if date is not None:
        commit(root, "another level", date)


@pytest.mark.parametrize(("key", "to"), [("family_size", 1), ("family_size", 99), ("alpha", 0.2)])
def test_a_level_changed_after_the_run_is_refused(whole: Path, key: str, to: float) -> None:
    level(whole, key, to, LATER)
    with pytest.raises(SymbreakError, match=REFUSED) as error:
        compute(whole, AGAIN)
    assert "ssb-goldstone: alpha 0.05, family_size 43 at " in str(error.value)


def test_an_amendment_of_a_rule_does_not_cover_the_level(whole: Path) -> None:
    level(whole, "family_size", 1, LATER, amended=True)
    with pytest.raises(SymbreakError, match=REFUSED):
        compute(whole, AGAIN)


def test_a_level_of_before_the_run_or_put_back_after_it_is_recorded(whole: Path) -> None:
    level(whole, "family_size", 1, LONG_AGO)
    compute(whole, AGAIN)
    level(whole, "family_size", 2, LATER)
    level(whole, "family_size", 1, LATER)
    compute(whole, AGAIN)


def test_a_level_that_is_not_committed_is_refused(whole: Path) -> None:
    level(whole, "alpha", 0.2, None)
    with pytest.raises(SymbreakError, match=r"alpha 0[.]05, family_size 43 at HEAD, alpha 0[.]2, family_size 43 here"):
        compute(whole, AGAIN)

"""Fresh seeds. Oracle: the sentence in docs/audit.md, spelled out with hashlib."""

import hashlib
from typing import Any

from symbreak.audit.fresh import fresh_seeds, replaced, reseeded, seeds_in

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PROBES = {"p": {"seeds": [3], "threads": 5}}
PARAMS: dict[str, Any] = {
    "scale": "desk",
    "experiments": {
        "toy": {
            "seeds": [1000, 1001],
            "threads": 1,
            "base": {"training": {"order": "shared", "order_seeds": [1000, 7]}, "probes": PROBES},
            "arms": {"seeds": {"seeds": [2000], "data": {"subset_seed": 4}}, "threads": {}},
        }
    },
}


def test_a_seed_is_what_the_documentation_says() -> None:
    digest = hashlib.sha256(f"1000/audit/fresh/{COMMIT}/0".encode()).digest()
    expected = 2000 + 1 + (int.from_bytes(digest[:8], "big") >> 1) % 2**31
    assert fresh_seeds([2000, 7, 1000], COMMIT)[1000] == expected


def test_seeds_are_new_distinct_and_of_the_commit() -> None:
    old = range(1000, 3000)
    drawn = fresh_seeds(old, COMMIT)
    assert list(drawn) == list(old)
    assert len(set(drawn.values())) == len(old)
    assert min(drawn.values()) > max(old)
    assert max(drawn.values()) < 2**32
    assert not set(drawn.values()) & set(fresh_seeds(old, COMMIT[::-1]).values())


def test_a_seed_that_is_taken_is_drawn_again(monkeypatch: Any) -> None:
    def colliding(seed: int, *names: str) -> int:
        return 5 if names[-1] == "0" else seed

    monkeypatch.setattr("symbreak.audit.fresh.derive", colliding)
    assert fresh_seeds([1, 2, 3], COMMIT) == {1: 9, 2: 6, 3: 7}


def test_seeds_of_replicas_and_orders_change_and_nothing_else() -> None:
    assert seeds_in(PARAMS) == {1000, 1001, 7, 2000}
    drawn = {1000: 1, 1001: 2, 7: 3, 2000: 4}
    toy = replaced(PARAMS, reseeded(drawn) | {"threads": lambda _: 2})["experiments"]["toy"]
    assert toy == {
        "seeds": [1, 2],
        "threads": 2,
        "base": {"training": {"order": "shared", "order_seeds": [1, 3]}, "probes": PROBES},
        "arms": {"seeds": {"seeds": [4], "data": {"subset_seed": 4}}, "threads": {}},
    }

"""What one comparison of the audit found."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["passed", "failed", "not checked"]
ABSENT = "(absent)"


@dataclass(frozen=True)
class Finding:
    """One comparison, or one that could not be made.

    Attributes:
        check: The name of the check.
        file: The file that was looked at, from the project's root.
        key: The JSON or YAML key in it, dotted; empty if the whole file is meant.
        state: ``passed``, ``failed`` or ``not checked``.
        expected: What it should be.
        found: What it is.
        margin: Share of the tolerance that is left, 1 if equal and negative if beyond it; null where equality is asked.
        reason: Why it was not checked, or what a failure means.
    """

    check: str
    file: str
    key: str
    state: State
    expected: Any = None
    found: Any = None
    margin: float | None = None
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def equal(check: str, file: str, key: str, expected: Any, found: Any, reason: str = "") -> Finding:
    """Compare two JSON values exactly, types included (``1`` is not ``1.0`` and not ``true``)."""
    same = type(expected) is type(found) and expected == found
    return Finding(check, file, key, "passed" if same else "failed", expected, found, reason="" if same else reason)


def holds(check: str, file: str, key: str, true: bool, expected: str, found: Any, reason: str = "") -> Finding:
    """Record whether a condition, said in words as ``expected``, holds of what was found."""
    return Finding(check, file, key, "passed" if true else "failed", expected, found, reason="" if true else reason)


def unchecked(check: str, file: str, key: str, reason: str) -> Finding:
    """Record that a comparison could not be made."""
    return Finding(check, file, key, "not checked", reason=reason)

"""How many jobs are done of how many, read off the scheduler's own lines as they are printed."""

import re
from dataclasses import dataclass, field

_START = re.compile(r"^(?:local)?(?:rule|checkpoint) (\S+):$")
_ERROR = re.compile(r"^Error in rule (\S+):$")
_FIELD = re.compile(r"^ {4}(jobid|log|output): (.+)$")
_TOTAL = re.compile(r"^total +(\d+)$")
_DONE = re.compile(r"^(\d+) of (\d+) steps \(")
_FINISHED = re.compile(r"^Finished jobid: (\d+)\b")


@dataclass
class Failure:
    """A job that failed: its rule, its outputs and its logs."""

    rule: str
    output: str = ""
    logs: list[str] = field(default_factory=list)


@dataclass
class Tally:
    """What the lines so far say.

    Attributes:
        total: Number of jobs, None until the plan is known.
        done: How many of them are done.
        idle: Whether there was nothing to do.
        active: The rule of each running job.
        failures: The jobs that failed and did not succeed when tried again.
    """

    total: int | None = None
    done: int = 0
    idle: bool = False
    active: dict[str, str] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    _block: str | Failure | None = None

    def read(self, line: str) -> None:
        """Take one line of the scheduler's output, without its end."""
        if match := _START.match(line):
            self._block = match[1]
        elif match := _ERROR.match(line):
            self._block = Failure(match[1])
        elif match := _FIELD.match(line):
            self._read_field(match[1], match[2])
        else:
            self._read_count(line)

    def _read_field(self, name: str, value: str) -> None:
        if isinstance(self._block, str):
            if name == "jobid":
                self.active[value] = self._block
        elif self._block is not None:
            if name == "jobid":
                self.active.pop(value, None)
                self.failures[value] = self._block
            elif name == "output":
                self._block.output = value
            else:
                self._block.logs = value.removesuffix(" (check log file(s) for error details)").split(", ")

    def _read_count(self, line: str) -> None:
        if match := _TOTAL.match(line):
            self.total = int(match[1])
        elif match := _DONE.match(line):
            self.done, self.total = int(match[1]), int(match[2])
        elif match := _FINISHED.match(line):
            self.active.pop(match[1], None)
            self.failures.pop(match[1], None)
        elif line.startswith("Nothing to be done"):
            self.idle = True

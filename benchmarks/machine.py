"""The cores and threads that a benchmark runs on, and what they are."""

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psutil
import torch
from threadpoolctl import threadpool_limits

from symbreak.errors import SymbreakError
from symbreak.machine import describe
from symbreak.provenance.versions import installed


@dataclass(frozen=True)
class Place:
    """Where a run takes place: core numbers, whether the process is pinned to them, and threads of every library."""

    cores: tuple[int, ...]
    pinned: bool
    threads: int

    def sentence(self) -> str:
        """Return the place in words."""
        where = "pinned to" if self.pinned else "NOT PINNED (this platform cannot), meant for"
        return f"{self.threads} thread(s), {where} core(s) {', '.join(map(str, self.cores))}"

    def facts(self) -> dict[str, Any]:
        """Return the place, the CPU and the versions of the libraries, as JSON values."""
        known, versions = describe(), installed()
        libraries = {name: versions[name] for name in ("python", "numpy", "torch")}
        return {**asdict(self), "cpu": known["cpu"], "platform": known["platform"], "versions": libraries}


def pin(cores: Sequence[int] | None = None) -> Place:
    """Pin this process to ``cores`` and let every numerical library use as many threads.

    Args:
        cores: Core numbers; None: the first that the process may use.

    Raises:
        SymbreakError: If the process may not use one of them.
    """
    allowed = usable()
    wanted = tuple(cores) if cores else allowed[:1]
    if missing := sorted(set(wanted) - set(allowed)):
        raise SymbreakError(f"this process may use the cores {list(allowed)}, not {missing}; give others with --cores")
    threads = len(wanted)
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(threads)  # for processes started later
    threadpool_limits(threads)
    torch.set_num_threads(threads)
    return Place(wanted, _set_affinity(wanted), threads)


def usable() -> tuple[int, ...]:
    """Return the numbers of the cores that this process may use, ascending."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def _set_affinity(cores: tuple[int, ...]) -> bool:
    if platform.system() != "Linux":
        return False
    for thread in psutil.Process().threads():  # a library may have started some when it was imported
        os.sched_setaffinity(thread.id, cores)
    return True

"""What this machine is and what of it this process may use."""

import os
import platform
import resource
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """Return how many cores this process may keep busy: the least of affinity, cgroup quota and cores present."""
    present = os.cpu_count() or 1
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else present
    quota = quota_cores(CGROUPS, MEMBERSHIP)
    return max(1, min(present, affinity, present if quota is None else int(quota)))


def quota_cores(cgroups: Path, membership: Path) -> float | None:
    """Return the CPU quota in cores that the control groups above this process leave it, or None without one.

    Args:
        cgroups: Where the control groups are mounted, ``/sys/fs/cgroup``.
        membership: The file that names this process's groups, ``/proc/self/cgroup``.

    Returns:
        The smallest quota on the way from the process's group to the root (cgroups v1 and v2), for instance 1.5.
    """
    if not membership.exists():
        return None
    quotas: list[float] = []
    for line in membership.read_text().splitlines():
        number, controllers, group = line.split(":", 2)
        if number == "0":
            quotas += _on_the_way(cgroups, group, _quota_v2)
        elif "cpu" in controllers.split(","):
            quotas += _on_the_way(cgroups / controllers, group, _quota_v1)
    return min(quotas, default=None)


def _on_the_way(mount: Path, group: str, quota: Callable[[Path], float | None]) -> list[float]:
    inner = mount / group.lstrip("/")
    folders = [folder for folder in (inner, *inner.parents) if folder.is_relative_to(mount)]
    return [found for folder in folders if (found := quota(folder)) is not None]


def _quota_v2(folder: Path) -> float | None:
    file = folder / "cpu.max"
    if not file.exists():
        return None
    limit, period = file.read_text().split()
    return None if limit == "max" else int(limit) / int(period)


def _quota_v1(folder: Path) -> float | None:
    limit, period = folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us"
    if not (limit.exists() and period.exists()):
        return None
    microseconds = int(limit.read_text())
    return None if microseconds < 0 else microseconds / int(period.read_text())


def peak_memory() -> int:
    """Return the largest resident memory this process has had, in bytes.

    On Linux from ``VmHWM``: ``getrusage`` there counts what the parent process held before this one was started.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def describe() -> dict[str, str | int]:
    """Return host, platform, CPU, usable cores, memory in bytes and the versions of Python and PyTorch.

    PyTorch's version is read from its metadata, for importing it takes seconds.
    """
    named = identity()
    return {
        "host": named["host"],
        "platform": named["platform"],
        "cpu": named["processor"],
        "cores": usable_cores(),
        "memory": psutil.virtual_memory().total,
        "python": platform.python_version(),
        "torch": metadata.version("torch"),
    }


def identity() -> dict[str, str]:
    """Return what tells machines apart whose numbers may differ: ``host``, ``platform`` and ``processor``."""
    return {"host": platform.node(), "platform": platform.platform(), "processor": _cpu_name()}


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()

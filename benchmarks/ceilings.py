"""What the machine can do at most while a benchmark runs, and whether it was the same machine throughout."""

import time
from collections.abc import Callable, Mapping

import torch

SIDE = 2048  # of the square matrices: large enough to reach the peak, small enough for a fraction of a second
COPIED = 256 * 2**20  # bytes: beyond the private caches
SECONDS = 1.0  # a ceiling, so that others' short bursts do not fill all of it ...
TRIES = 7  # ... and at least so many tries, of which the best counts: what others take away can only slow one down
TOLERANCE = 0.20  # relative difference between start and end beyond which a run is void (performance.md, section 2)
UNITS = {"gemm_float32": "GFLOP/s", "gemm_float64": "GFLOP/s", "gemm_bfloat16": "GFLOP/s", "copy": "GB/s"}

Ceilings = Mapping[str, float]


def measure() -> dict[str, float]:
    """Return the ceilings of ``UNITS``: products of 2048 x 2048 matrices, and a copy counted as read plus write."""
    found = {f"gemm_{name}": _gemm(getattr(torch, name)) for name in ("float32", "float64", "bfloat16")}
    return found | {"copy": _copy()}


def differences(start: Ceilings, end: Ceilings) -> dict[str, float]:
    """Return by how much, relative to the smaller value, each ceiling differs between start and end."""
    return {name: max(start[name], end[name]) / min(start[name], end[name]) - 1 for name in start}


def void(start: Ceilings, end: Ceilings) -> bool:
    """Whether some ceiling differs by more than ``TOLERANCE``, so that the run does not count."""
    return max(differences(start, end).values()) > TOLERANCE


def _gemm(dtype: torch.dtype) -> float:
    a, b = (torch.randn(SIDE, SIDE, generator=torch.Generator().manual_seed(seed)).to(dtype) for seed in (0, 1))
    out = torch.empty_like(a)
    return 2 * SIDE**3 / _best(lambda: torch.mm(a, b, out=out)) / 1e9


def _copy() -> float:
    source = torch.zeros(COPIED, dtype=torch.uint8)
    target = torch.ones_like(source)
    return 2 * COPIED / _best(lambda: target.copy_(source)) / 1e9


def _best(work: Callable[[], object]) -> float:
    work()
    seconds: list[float] = []
    while len(seconds) < TRIES or sum(seconds) < SECONDS:
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)

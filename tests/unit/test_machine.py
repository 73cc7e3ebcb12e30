import os
import subprocess
import sys
from pathlib import Path

import pytest

from symbreak import machine


def group(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def test_the_smallest_quota_on_the_way_up_counts_in_v2(tmp_path: Path) -> None:
    group(tmp_path / "fs", {})
    group(tmp_path / "fs/pod", {"cpu.max": "150000 100000\n"})
    group(tmp_path / "fs/pod/job", {"cpu.max": "max 100000\n"})
    (tmp_path / "membership").write_text("0::/pod/job\n")
    assert machine.quota_cores(tmp_path / "fs", tmp_path / "membership") == 1.5


def test_v1_quotas_are_read_where_the_cpu_controller_is_mounted(tmp_path: Path) -> None:
    group(tmp_path / "fs/cpu,cpuacct", {"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"})
    group(tmp_path / "fs/cpu,cpuacct/box", {"cpu.cfs_quota_us": "300000\n", "cpu.cfs_period_us": "100000\n"})
    (tmp_path / "membership").write_text("4:memory:/box\n2:cpu,cpuacct:/box\n0::/\n")
    assert machine.quota_cores(tmp_path / "fs", tmp_path / "membership") == 3.0


def test_no_quota_is_none(tmp_path: Path) -> None:
    (tmp_path / "membership").write_text("0::/\n")
    assert machine.quota_cores(tmp_path, tmp_path / "membership") is None
    assert machine.quota_cores(tmp_path, tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("present", "affinity", "quota", "usable"), [(8, 4, None, 4), (8, 8, 2.5, 2), (2, 2, 0.5, 1), (4, 4, 64.0, 4)]
)
def test_the_scarcest_limit_decides(
    monkeypatch: pytest.MonkeyPatch, present: int, affinity: int, quota: float | None, usable: int
) -> None:
    monkeypatch.setattr(machine.os, "cpu_count", lambda: present)
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: set(range(affinity)), raising=False)
    monkeypatch.setattr(machine, "quota_cores", lambda *_: quota)
    assert machine.usable_cores() == usable


def test_affinity_of_the_real_process_is_respected() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert machine.usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_the_peak_counts_memory_that_was_given_back() -> None:
    # In a process of its own: this one may have held more before.
    program = (
        "from symbreak.machine import peak_memory\nbefore = peak_memory()\nblock = b'x' * 200_000_000\ndel block\n"
        "print(peak_memory() - before)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) >= 100_000_000


def test_the_description_knows_this_interpreter_and_torch() -> None:
    described = machine.describe()
    assert described["python"] == "3.11." + str(described["python"]).split(".")[2]
    assert str(described["torch"])[0].isdigit()
    assert described["cores"] == machine.usable_cores()
    assert int(described["memory"]) > 1e9

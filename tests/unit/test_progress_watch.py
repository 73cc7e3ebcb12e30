import itertools
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

JOB = """
import sys, time
from symbreak.progress.reporter import reporter
with reporter("toy/" + sys.argv[1], 8) as update:
    for step in range(1, 9):
        time.sleep(float(sys.argv[2]) / 8)
        update(step, epoch=step / 4, epochs=2, loss=1 / step)
open(sys.argv[3], "w").close()
"""

SNAKEFILE = """
rule all:
    input: "a.out", "b.out"
rule train:
    output: "{name}.out"
    log: "logs/{name}.log"
    shell: "PYTHON job.py {wildcards.name} 2.4 {output} > {log} 2>&1"
rule slow:
    output: "slow.done"
    shell: "PYTHON job.py slow 60 {output}"
rule flaky:
    output: "flaky.done"
    retries: 1
    shell: "if [ -e tried ]; then touch {output}; else touch tried; exit 1; fi"
rule broken:
    output: "broken.done"
    log: "logs/broken.log"
    shell: "(for i in $(seq 30); do echo line $i; done; exit 3) > {log} 2>&1"
"""


@pytest.fixture
def workflow(tmp_path: Path) -> Path:
    (tmp_path / "Snakefile").write_text(SNAKEFILE.replace("PYTHON", sys.executable))
    (tmp_path / "job.py").write_text(JOB)
    return tmp_path


def watch(*arguments: str) -> list[str]:
    snakemake = str(Path(sys.executable).parent / "snakemake")
    return [
        sys.executable,
        "-m",
        "symbreak.progress.watch",
        "--every",
        "0.5",
        "--",
        snakemake,
        "--cores",
        "2",
        *arguments,
    ]


def read_with_times(descriptor: int, process: subprocess.Popen[bytes]) -> list[tuple[float, str]]:
    """Return what arrives, each piece with the seconds since now."""
    start, pieces = time.monotonic(), []
    while True:
        ready, _, _ = select.select([descriptor], [], [], 20)
        assert ready, "silent for 20 seconds"
        try:
            piece = os.read(descriptor, 65536)
        except OSError:  # a pseudo-terminal whose other side closed
            piece = b""
        if not piece:
            process.wait(timeout=20)
            return pieces
        pieces.append((time.monotonic() - start, piece.decode()))


def assert_alive(pieces: list[tuple[float, str]], longest: float) -> None:
    moments = [0.0, *(moment for moment, _ in pieces)]
    gaps = [after - before for before, after in itertools.pairwise(moments)]
    assert max(gaps) < longest, f"silent for {max(gaps):.1f} s"


def test_a_plain_log_gets_lines_from_start_to_end(workflow: Path) -> None:
    process = subprocess.Popen(watch("all"), cwd=workflow, stdout=subprocess.PIPE)
    assert process.stdout is not None
    pieces = read_with_times(process.stdout.fileno(), process)
    process.stdout.close()
    text = "".join(piece for _, piece in pieces)
    assert process.returncode == 0, text
    assert pieces[0][1].startswith("planning ")
    assert_alive(pieces, longest=5)
    assert re.search(r"^\d+ s: 0 of 3 jobs done, running: 2 x train$", text, re.M), text
    for name in "ab":
        assert re.search(rf"^  toy/{name}: epoch \d\.\d of 2, loss 0\.\d+, \d s left$", text, re.M), text
    assert re.search(r"^all done: 3 of 3 jobs done in .* \(log: logs/snakemake-1\.log\)$", text, re.M), text
    assert "\x1b" not in text
    assert "3 of 3 steps (100%) done" in (workflow / "logs/snakemake-1.log").read_text()
    again = subprocess.run(watch("all"), cwd=workflow, capture_output=True, text=True)
    assert again.returncode == 0
    assert again.stdout.splitlines()[-1].startswith("nothing to do: every job is done and up to date")


def test_a_terminal_gets_a_picture_redrawn_in_place(workflow: Path) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    process = subprocess.Popen(watch("all"), cwd=workflow, stdout=theirs, env=environment)
    os.close(theirs)
    pieces = read_with_times(ours, process)
    os.close(ours)
    text = "".join(piece for _, piece in pieces)
    assert process.returncode == 0, text
    assert pieces[0][1].startswith("planning ")
    assert_alive(pieces, longest=5)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    assert "\x1b[" in text
    assert "0 of 3 jobs done, running: 2 x train" in plain
    assert re.search(r"^━+ *\r*\ntraining +epoch +loss +left", plain, re.M), plain
    for name in "ab":
        assert re.search(rf"^toy/{name} +\d\.\d of 2 +0\.\d+ +\d s", plain, re.M), plain
    assert "all done: 3 of 3 jobs done" in plain


def test_a_failure_names_the_job_and_shows_the_end_of_its_log(workflow: Path) -> None:
    ended = subprocess.run(
        watch("--keep-going", "broken.done", "flaky.done"), cwd=workflow, capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert "job 'broken' failed (it makes broken.done); the last lines of logs/broken.log:" in ended.stdout
    assert (workflow / "flaky.done").exists()
    assert ended.stdout.count("job '") == 1  # a job that succeeded at its second try is none that failed
    shown = re.findall(r"^  line (\d+)$", ended.stdout, re.M)
    assert shown == [str(number) for number in range(11, 31)]
    assert "failed with exit code 1" in ended.stdout.splitlines()[-1]


def test_a_broken_workflow_shows_the_schedulers_own_words(workflow: Path) -> None:
    ended = subprocess.run(watch("no_such_target"), cwd=workflow, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "MissingRuleException" in ended.stdout
    assert "no job started" in ended.stdout.splitlines()[-1]


def start_slow(workflow: Path) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """Start the slow job; return the watcher and all processes under it once the job runs."""
    process = subprocess.Popen(
        watch("slow.done"), cwd=workflow, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    while "running: slow" not in (line := process.stdout.readline()):
        assert line
    family = psutil.Process(process.pid).children(recursive=True)
    assert any("job.py" in " ".join(member.cmdline()) for member in family)
    return process, family


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_request_to_stop_leaves_nothing_running(workflow: Path, number: signal.Signals) -> None:
    process, family = start_slow(workflow)
    process.send_signal(number)
    rest = process.communicate(timeout=20)[0]
    assert process.returncode == 128 + number
    assert rest.splitlines()[-1].startswith("stopped on request")
    assert not list(workflow.glob(".snakemake/locks/*"))
    assert not [member for member in family if member.is_running()]


def test_a_reader_who_leaves_ends_the_jobs(workflow: Path) -> None:
    process, family = start_slow(workflow)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.wait(timeout=20) != 0
    process.stderr.close()
    assert not [member for member in family if member.is_running()]

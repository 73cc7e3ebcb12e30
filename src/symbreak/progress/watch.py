"""Run a workflow and show how far it is: ``python -m symbreak.progress.watch -- snakemake --cores 2 figures/all``.

The scheduler's whole output goes to ``logs/snakemake-<n>.log``; what a person needs of it is shown.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TextIO

import psutil

from symbreak.progress.display import Display, choose
from symbreak.progress.reporter import FOLDER
from symbreak.progress.tally import Failure, Tally
from symbreak.progress.trainings import running, span

SECONDS_BETWEEN_LOOKS = 0.25
SECONDS_BETWEEN_LINES = 10.0
SECONDS_TO_STOP = 10.0
LINES_OF_A_FAILURE = 20


def watch(command: list[str], logs: Path, every: float = SECONDS_BETWEEN_LINES, stream: TextIO = sys.stdout) -> int:
    """Run ``command`` to its end, showing its progress on ``stream``.

    Args:
        command: The scheduler's command line.
        logs: Folder of the log files.
        every: Seconds between lines where ``stream`` is no terminal.
        stream: Where a person looks.

    Returns:
        The command's exit code; 128 plus the signal's number if a signal ended it.
    """
    log = _next_log(logs)
    print(f"planning '{' '.join(command)}'; its whole output goes to {log}", file=stream, flush=True)
    start = time.monotonic()
    with _noting_signals() as received, tempfile.TemporaryDirectory(prefix="symbreak-progress-") as folder:
        with log.open("w") as sink:
            environment = {**os.environ, FOLDER: folder}
            # A session of its own: Ctrl-C reaches the jobs through us, once, and their whole group can be stopped.
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=environment, start_new_session=True
            )
        with log.open(errors="replace") as source:
            tally = _follow(process, received, source, Path(folder), choose(stream, every))
    seconds = time.monotonic() - start
    code = 128 + received[0] if received else _exit_code(process.returncode)
    print(_conclusion(code, bool(received), tally, log, seconds), file=stream, flush=True)
    return code


def _exit_code(returncode: int) -> int:
    """Return what a shell would: 128 plus the signal's number where a signal ended the process."""
    return returncode if returncode >= 0 else 128 - returncode


def _next_log(logs: Path) -> Path:
    """Create and return ``logs/snakemake-<n>.log`` with the first free number."""
    logs.mkdir(parents=True, exist_ok=True)
    taken = [int(path.stem.rpartition("-")[2]) for path in logs.glob("snakemake-*.log") if path.stem[10:].isdecimal()]
    number = max(taken, default=0) + 1
    while True:
        path = logs / f"snakemake-{number}.log"
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            number += 1
        else:
            return path


@contextmanager
def _noting_signals() -> Iterator[list[int]]:
    """Yield the list that requests to stop are noted in, instead of ending this process at once."""
    received: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _follow(
    process: subprocess.Popen[bytes], received: list[int], source: TextIO, folder: Path, display: Display
) -> Tally:
    """Show the state until the process has ended, or was asked to end; return the last one."""
    tally, rest = Tally(), ""
    with closing(display):
        try:
            while process.poll() is None and not received:
                rest = _read(tally, rest + source.read())
                display.show(tally, running(folder))
                time.sleep(SECONDS_BETWEEN_LOOKS)
        finally:  # whatever ends the watching, a closed pipe too, ends the jobs
            if process.poll() is None:
                _stop(process)
        _read(tally, rest + source.read() + "\n")
        display.show(tally, [])
    return tally


def _read(tally: Tally, text: str) -> str:
    """Give the whole lines of ``text`` to the tally and return what follows the last of them."""
    *lines, rest = text.split("\n")
    for line in lines:
        tally.read(line)
    return rest


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Interrupt the process and all that it started; what is left after a while is killed.

    By SIGINT whatever we were sent: on SIGTERM Snakemake 9.27 takes, in the signal's handler, a lock that it may hold.
    """
    scheduler = psutil.Process(process.pid)
    family = [scheduler, *scheduler.children(recursive=True)]
    os.killpg(process.pid, signal.SIGINT)
    _, left = psutil.wait_procs(family, timeout=SECONDS_TO_STOP)
    for survivor in left:
        with suppress(psutil.NoSuchProcess):
            survivor.kill()
    process.wait()


def _conclusion(code: int, stopped: bool, tally: Tally, log: Path, seconds: float) -> str:
    """Return the closing words: what was done, or what failed with the end of its log."""
    jobs = f"{tally.done} of {tally.total} jobs done" if tally.total is not None else "no job started"
    if stopped:
        return f"stopped on request after {span(seconds)}: {jobs}; nothing is left running (log: {log})"
    if code != 0:
        failures = list(tally.failures.values()) or [Failure("")]
        details = "\n".join(_failure(failure, log) for failure in failures)
        return f"{details}\nfailed with exit code {code} after {span(seconds)}: {jobs} (log: {log})"
    if tally.idle:
        return f"nothing to do: every job is done and up to date ({span(seconds)})"
    return f"all done: {jobs} in {span(seconds)} (log: {log})"


def _failure(failure: Failure, log: Path) -> str:
    """Return which job failed and the last lines of its log; of the scheduler's where the job left none."""
    named = [Path(name) for name in failure.logs]
    shown = next((path for path in named if path.is_file() and path.stat().st_size), log)
    lines = shown.read_text(errors="replace").splitlines()[-LINES_OF_A_FAILURE:]
    title = f"job '{failure.rule}' failed (it makes {failure.output})" if failure.rule else "the scheduler failed"
    return "\n".join([f"{title}; the last lines of {shown}:", *(f"  {line}" for line in lines)])


def main() -> int:
    """Read the command line and run; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m symbreak.progress.watch", description=__doc__)
    parser.add_argument("--logs", type=Path, default=Path("logs"), help="folder of the log files")
    parser.add_argument("--every", type=float, default=SECONDS_BETWEEN_LINES, help="seconds between plain lines")
    parser.add_argument("command", nargs="+", help="after --: the scheduler's command line")
    options = parser.parse_args()
    return watch(options.command, options.logs, options.every)


if __name__ == "__main__":
    sys.exit(main())

"""A process of this program for work on videos, which may hang or crash: jobs in, answers out, as `ipc` writes them.

The program's side is `WorkerProcess`. A worker's `main` claims its standard output and serves the jobs that come in;
whatever the codec libraries print goes to standard error, which the program keeps.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vidsearch.video.ipc import receive
from vidsearch.video.messages import printable

_TAIL_BYTES = 4000  # of what a process printed
_TICK_S = 0.1
_LONGEST_TICK_S = 0.2  # what counts of a tick that came late


def worker_command(module: str, *arguments: object) -> list[str]:
    """The command that runs a module of this package in a process, with `worker_environment`."""
    # -P: the folder that the user stands in must not be imported from.
    return [sys.executable, "-P", "-m", module, *map(str, arguments)]


def worker_environment() -> dict[str, str]:
    """This program's environment, in which a worker finds this very package."""
    here = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}


class WorkerProcess:
    """A worker that has started. `jobs` is its unbuffered standard input; what it writes comes from `answer`.

    `silent_s`: for how long its next answer has been awaited, which a second thread counts with `tick`.
    """

    jobs: IO[bytes]

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """`environment`: what it gets beside `worker_environment`."""
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115  # closed in `end`
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._printed,
            bufsize=0,
            env={**worker_environment(), **(environment or {})},
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self.jobs, self._answers = self._process.stdin, self._process.stdout
        self._asked = self._counted = 0  # numbers of answers: the one asked for last, and the one `silent_s` is of
        self.is_awaited = False
        self.silent_s = 0.0

    def answer(self) -> tuple[Any, NDArray[np.uint8] | None] | None:
        """Its next message, with pixels if it has some; None if it has ended."""
        self._asked += 1
        self.is_awaited = True
        try:
            return receive(self._answers)
        finally:
            self.is_awaited = False

    def tick(self, passed_s: float) -> None:
        """So much time has passed: it counts if one answer was awaited all the while."""
        if self.is_awaited and self._asked == self._counted:
            self.silent_s += passed_s
        else:
            self._counted, self.silent_s = self._asked, 0.0

    @property
    def pid(self) -> int:
        """Its id, also after it has ended."""
        return self._process.pid

    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def wait(self) -> int:
        """The code with which it ends; that of a signal is below 0."""
        return self._process.wait()

    def printed(self) -> str:
        """The end of what it has printed, safe to show."""
        self._printed.seek(max(0, self._printed.seek(0, os.SEEK_END) - _TAIL_BYTES))
        return printable(self._printed.read().decode("utf-8", "replace"))

    def kill(self) -> None:
        """End it, even if it is stopped; what it wrote can still be read."""
        self._process.kill()

    def end(self) -> None:
        """End it and close all that is open."""
        self.kill()
        self.wait()
        for file in (self.jobs, self._answers, self._printed):
            file.close()


def ticks(finished: threading.Event) -> Iterator[float]:
    """Seconds that passed, time and again until `finished`, by which workers' time is counted.

    Where this program does not come to its turn, because the machine is overloaded, was asleep or the program was
    stopped, neither does a worker: such time does not count.
    """
    before_s = time.monotonic()
    while not finished.wait(_TICK_S):
        now_s = time.monotonic()
        passed_s, before_s = min(now_s - before_s, _LONGEST_TICK_S), now_s
        yield passed_s


def claim_standard_output() -> IO[bytes]:
    """In a worker: the pipe for its answers, out of the reach of libraries that print."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return answers


def jobs_from_standard_input() -> Iterator[Any]:
    """In a worker: the jobs, one after another, for ever. When the program is gone, so is this process."""
    jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_take_jobs, args=(sys.stdin.buffer, jobs), daemon=True).start()
    while True:
        yield jobs.get()


def _take_jobs(source: IO[bytes], jobs: queue.SimpleQueue[Any]) -> None:
    """Runs beside the work, which may hang."""
    while (message := receive(source)) is not None:
        jobs.put(message[0])
    os._exit(0)

"""Cutting in a process of its own: a source that brings FFmpeg down ends that process, and is one sentence here."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar

from vidsearch.errors import VideoError, VidsearchError
from vidsearch.video.ipc import receive, send
from vidsearch.video.memory import LIMIT_VARIABLE, says_out_of_memory, worker_limit
from vidsearch.video.messages import printable

log = logging.getLogger(__name__)

# What an encoder may take beside the decoder: x264 looks 60 pictures ahead, 50 MB each at 8K.
ENCODER_BYTES = 6_000_000_000
_TAIL_BYTES = 4000  # of what the process printed, which the log gets
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Job:
    """A function of a module that gives one thing after another, and its arguments: all of it crosses the pipe."""

    work: Callable[..., Iterator[Any]]
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Given:
    """One thing that the work gave."""

    value: Any


@dataclass(frozen=True, slots=True)
class Ended:
    """The work is done."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The work ended with an error that a person can act on."""

    error: VidsearchError


@dataclass(frozen=True, slots=True)
class TooLittleMemory:
    """The work was refused memory."""


class CuttingProcess:
    """Runs one piece of work after another in a process, which starts with the first. A context manager."""

    def __init__(self, *, encodes: bool) -> None:
        """VidsearchError if the limit of memory that the environment gives is none."""
        self._memory_bytes = worker_limit() + (ENCODER_BYTES if encodes else 0)
        self._process: subprocess.Popen[bytes] | None = None
        self._printed: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The id of the process, while it runs."""
        return None if self._process is None else self._process.pid

    def run(self, subject: str, work: Callable[..., Iterator[_Value]], *arguments: object) -> Iterator[_Value]:
        """What a generator of a module gives, as it gives it. Whoever stops listening ends the process.

        Raises the VidsearchError that the work raises; VideoError, which names `subject`, if the process ends or is
        refused memory.
        """
        process = self._living()
        ended = False
        try:
            with contextlib.suppress(BrokenPipeError):  # it is gone: then it gives nothing either
                send(process.stdin, Job(work, arguments))  # type: ignore[arg-type]
            while isinstance(answer := self._answer(process, subject), Given):
                yield answer.value
            ended = True
        finally:
            if not ended:
                self.close()
        if isinstance(answer, Refused):
            raise answer.error
        if isinstance(answer, TooLittleMemory):
            raise _out_of_memory(subject)

    def close(self) -> None:
        """Ends the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, self._printed):
                if pipe is not None:
                    pipe.close()

    def _answer(self, process: subprocess.Popen[bytes], subject: str) -> object:
        assert process.stdout is not None
        message = receive(process.stdout)
        if message is not None:
            return message[0]
        code = process.wait()
        said = self._tail()
        if says_out_of_memory(said) or "MemoryError" in said:
            raise _out_of_memory(subject)
        if code == 1:  # a Python program that ends with a traceback
            raise RuntimeError(f"cutting {subject} failed:\n{said}")
        log.error("The process that was cutting %s ended with %s. It said:\n%s", printable(subject), code, said)
        raise VideoError("crashed", f"{subject} made the process that cuts crash (exit {code}); leave it out.")

    def _living(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._printed = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the process
            here = str(Path(__file__).parents[2])
            path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
            self._process = subprocess.Popen(
                # -P: the folder that the user stands in must not be imported from.
                [sys.executable, "-P", "-m", "vidsearch.editing.worker", str(self._memory_bytes)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._printed,
                bufsize=0,
                env={**os.environ, "PYTHONPATH": path},
            )
        return self._process

    def _tail(self) -> str:
        assert self._printed is not None
        self._printed.seek(max(0, self._printed.seek(0, os.SEEK_END) - _TAIL_BYTES))
        return printable(self._printed.read().decode("utf-8", "replace"))


def _out_of_memory(subject: str) -> VideoError:
    return VideoError(
        "memory",
        f"{subject} needs more memory than cutting may take; allow more with {LIMIT_VARIABLE}, or leave it out.",
    )

"""Cutting in a process of its own: a source that brings FFmpeg down ends that process, and is one sentence here."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from vidsearch.errors import VideoError, VidsearchError
from vidsearch.video.ipc import receive, send
from vidsearch.video.memory import LIMIT_VARIABLE, says_out_of_memory, worker_limit
from vidsearch.video.messages import printable
from vidsearch.video.worker_process import WorkerProcess, worker_command

log = logging.getLogger(__name__)

# What an encoder may take beside the decoder: x264 looks 60 pictures ahead, 50 MB each at 8K.
ENCODER_BYTES = 6_000_000_000
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
        self._process: WorkerProcess | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
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
                send(process.jobs, Job(work, arguments))
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
            process.end()

    def _answer(self, process: WorkerProcess, subject: str) -> object:
        message = receive(process.answers)
        if message is not None:
            return message[0]
        code, said = process.wait(), process.printed()
        if says_out_of_memory(said) or "MemoryError" in said:
            raise _out_of_memory(subject)
        if code == 1:  # a Python program that ends with a traceback
            raise RuntimeError(f"cutting {subject} failed:\n{said}")
        log.error("The process that was cutting %s ended with %s. It said:\n%s", printable(subject), code, said)
        raise VideoError("crashed", f"{subject} made the process that cuts crash (exit {code}); leave it out.")

    def _living(self) -> WorkerProcess:
        if self._process is None:
            self._process = WorkerProcess(worker_command("vidsearch.editing.worker", self._memory_bytes))
        return self._process


def _out_of_memory(subject: str) -> VideoError:
    return VideoError(
        "memory",
        f"{subject} needs more memory than cutting may take; allow more with {LIMIT_VARIABLE}, or leave it out.",
    )

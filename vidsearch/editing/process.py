"""Cutting in a process of its own: a source that brings FFmpeg down, or on which it hangs, is one sentence here."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from vidsearch.errors import VideoError, VidsearchError
from vidsearch.video.ipc import send
from vidsearch.video.memory import LIMIT_VARIABLE, says_out_of_memory, worker_limit
from vidsearch.video.messages import printable
from vidsearch.video.worker_process import WorkerProcess, ticks, worker_command

log = logging.getLogger(__name__)

# What an encoder may take beside the decoder: x264 looks 60 pictures ahead, 50 MB each at 8K.
ENCODER_BYTES = 6_000_000_000

_SILENT_S = 120.0  # without a picture; DecodeLimits has the same
_SILENT_ENCODER_S = 600.0  # at the end x264 encodes the 60 pictures at once, which takes small machines minutes at 8K
_SILENT_S_PER_MIB = 0.2  # a source without an index is read through before its first picture

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

    def __init__(self, *, encodes: bool, silent_s: float) -> None:
        """`silent_s`: for how long the work may give nothing; `over` has it from the sources.

        VidsearchError if the limit of memory that the environment gives is none.
        """
        self._silent_s = silent_s
        self._memory_bytes = worker_limit() + (ENCODER_BYTES if encodes else 0)
        self._process: WorkerProcess | None = None

    @classmethod
    def over(cls, sources: Iterable[Path], *, encodes: bool = False) -> CuttingProcess:
        """One whose work reads these sources, and may give nothing for as long as the largest of them takes."""
        return cls(encodes=encodes, silent_s=longest_silence_s(sources, encodes=encodes))

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
        refused memory, or if nothing comes from it for too long.
        """
        process = self._living()
        ended = False
        try:
            with contextlib.suppress(BrokenPipeError):  # it is gone: then it gives nothing either
                send(process.jobs, Job(work, arguments))
            with _Watch(process, self._silent_s) as watch:
                while isinstance(answer := self._answer(watch, subject), Given):
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

    def _answer(self, watch: _Watch, subject: str) -> object:
        if (message := watch.process.answer()) is not None:
            return message[0]
        code, said = watch.process.wait(), watch.process.printed()
        if watch.too_long:
            raise VideoError(
                "timeout",
                f"{subject} kept the process that cuts busy for {self._silent_s:.0f} s without a result and was given "
                "up; cut it from a copy on another disk, or leave it out.",
            )
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


class _Watch:
    """Kills a process that gives nothing for too long. A context manager."""

    def __init__(self, process: WorkerProcess, silent_s: float) -> None:
        self.process = process
        self.too_long = False
        self._silent_s = silent_s
        self._finished = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="cutting-watch", daemon=True)

    def __enter__(self) -> Self:
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._finished.set()
        self._watcher.join()

    def _watch(self) -> None:
        for passed_s in ticks(self._finished):
            self.process.tick(passed_s)
            if self.process.silent_s > self._silent_s:
                self.too_long = True
                self.process.kill()
                return


def longest_silence_s(sources: Iterable[Path], *, encodes: bool) -> float:
    """For how long work on these sources may give nothing: what the largest of them takes on a slow disk."""
    largest_bytes = max((path.stat().st_size for path in sources if path.exists()), default=0)
    return (_SILENT_ENCODER_S if encodes else _SILENT_S) + _SILENT_S_PER_MIB * largest_bytes / (1 << 20)


def _out_of_memory(subject: str) -> VideoError:
    return VideoError(
        "memory",
        f"{subject} needs more memory than cutting may take; allow more with {LIMIT_VARIABLE}, or leave it out.",
    )

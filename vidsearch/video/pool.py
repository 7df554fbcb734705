"""Decoding in worker processes that may hang or crash: events out, bounded memory, replaced workers.

Each worker has a thread here that starts it, gives it one file at a time and puts what comes back into one bounded
queue. Where the consumer is slow the queue fills, the thread stops reading, the pipe fills, the worker stops: memory
is flat. Time is counted only while a thread waits for its worker, so that a slow consumer costs a file nothing, and
in `worker_process.ticks`, so that a good file is not given up on a machine that is overloaded or was asleep.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vidsearch.errors import ModelError, VideoError
from vidsearch.extras import require
from vidsearch.records import ClipFrames, ClipWindow, FrameSpec, Still, VideoFacts, VideoFile, WindowSpec
from vidsearch.video.ipc import Cut, Done, Failed, Job, Opened, send
from vidsearch.video.memory import out_of_memory, says_out_of_memory, worker_limit
from vidsearch.video.messages import printable, shown
from vidsearch.video.worker_process import WorkerProcess, ticks, worker_command

_log = logging.getLogger(__name__)

_LOOKED_AFTER_S = 0.1  # that the consumer left, by whoever waits for room
_MOST_SIDE_PX = 4096

_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",  # and the next: one thread for whatever numpy links
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",  # decord hands pixels from thread to thread: with an arena for each, memory doubles
}


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """How long one file may take. Slow disks and 8K pictures stay far below; a hang does not."""

    base_s: float = 30.0
    per_video_s: float = 10.0  # of work for each second of video
    per_mib_s: float = 0.2  # of opening for each MiB: decord and PyAV read through the file first
    silent_s: float = 120.0  # without any window
    memory_bytes: int = field(default_factory=worker_limit)  # of a worker, beside its program

    def until_opened_s(self, file: VideoFile) -> float:
        """Time for the first answer."""
        return self.base_s + self.per_mib_s * file.size_bytes / (1 << 20)

    def whole_s(self, file: VideoFile, facts: VideoFacts) -> float:
        """Time for the whole file, once its length is known; a claim of hours does not count without the pictures."""
        return self.until_opened_s(file) + self.per_video_s * min(facts.picture_s, float(facts.frames))


@dataclass(frozen=True, slots=True)
class VideoOpened:
    """The first event of a file that can be read; `facts` may still gain the damage that reading finds.

    `windows`: how many there will be, or, where they follow cuts, how many there were without a cut.
    """

    file: VideoFile
    facts: VideoFacts
    windows: int


@dataclass(frozen=True, slots=True)
class WindowDecoded:
    file: VideoFile
    clip: ClipFrames


@dataclass(frozen=True, slots=True)
class WindowStill:
    """A window that shows what the last WindowDecoded of its file showed; see `still`."""

    file: VideoFile
    window: ClipWindow


@dataclass(frozen=True, slots=True)
class VideoDone:
    """The last event of a file that was read to its end, with its final facts.

    `fingerprint` is that of the content that was decoded; None if the windows were chosen by a `Cut`.
    """

    file: VideoFile
    facts: VideoFacts
    fingerprint: str | None


@dataclass(frozen=True, slots=True)
class DecodeFailed:
    """The last event of a file that failed, perhaps after some of its windows."""

    file: VideoFile
    error: VideoError


DecodeEvent = VideoOpened | WindowDecoded | WindowStill | VideoDone | DecodeFailed


class DecodePool:
    """`jobs` worker processes for one kind of frames and windows. A context manager: leaving it ends the workers.

    `still`: "reuse" gives a WindowStill for each window of the pool's WindowSpec that is still.
    """

    def __init__(
        self,
        jobs: int,
        frame_spec: FrameSpec,
        window_spec: WindowSpec,
        *,
        limits: DecodeLimits | None = None,
        buffered_events: int = 4,
        still: Still = "embed",
    ) -> None:
        _check_pictures(frame_spec)
        if window_spec.kind == "shots":
            require("to follow the cuts of a video", "scenedetect")
        self._limits = limits or DecodeLimits()
        self._command = _worker_command(frame_spec, window_spec, still, self._limits)
        self._slots = [WorkerSlot(self._command) for _ in range(max(jobs, 1))]
        self._buffered = max(buffered_events, 1)
        self._closing = threading.Event()

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the workers that run now."""
        return [slot.pid for slot in self._slots if slot.pid is not None]

    def start(self) -> None:
        """Start the workers now, so that the first file does not wait for them."""
        for slot in self._slots:
            slot.start()

    def decode(self, files: Iterable[VideoFile], cut: Cut | None = None) -> Iterator[DecodeEvent]:
        """The events of all files: of one file in their order, of several interleaved. Files start as they are given.

        `files` is drawn from as workers become free, and may be a generator; its exceptions come out here. `cut`
        chooses other windows than those of the pool's WindowSpec.
        """
        run = _Run((Job(file, cut) for file in files), len(self._slots), self._buffered, self._closing)
        threads = [
            threading.Thread(target=self._work, args=(slot, run), name="decode", daemon=True) for slot in self._slots
        ]
        watcher = threading.Thread(target=self._watch, args=(run,), name="decode-watch", daemon=True)
        for thread in [*threads, watcher]:
            thread.start()
        try:
            yield from run.events()
        finally:
            run.stop.set()
            for slot in self._slots:
                if slot.busy:  # the consumer left early
                    slot.kill()
            for thread in [*threads, watcher]:
                thread.join()

    def close(self) -> None:
        """End the workers now."""
        self._closing.set()
        for slot in self._slots:
            slot.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _work(self, slot: WorkerSlot, run: _Run) -> None:
        """One thread: files for one worker, until there are none."""
        try:
            while not run.stopped and (job := run.next_job()) is not None:
                for event in self._decode_one(slot, job, run):
                    if not run.put(event):
                        slot.discard()  # it is in the middle of a file that is no longer wanted
                        return
        except Exception as error:  # raised again where the events are taken: a thread has no caller
            run.put(error)
        finally:
            run.leave()

    def _decode_one(self, slot: WorkerSlot, job: Job, run: _Run) -> Iterator[DecodeEvent]:
        """What one worker says about one file; a worker that hangs or dies makes it a DecodeFailed."""
        file = job.file
        slot.begin(job, self._limits)
        try:
            while True:
                message = slot.wait()
                if message is None:
                    if run.stopped:  # it was ended from here
                        slot.discard()
                        return
                    yield DecodeFailed(file, slot.reap(file))
                    return
                record, frames = message
                if isinstance(record, Opened):
                    slot.allow(
                        self._limits.whole_s(file, record.facts),
                        self._limits.silent_s,
                    )
                    yield VideoOpened(file, record.facts, record.windows)
                elif isinstance(record, ClipWindow) and frames is not None:
                    yield WindowDecoded(file, ClipFrames(record, frames))
                elif isinstance(record, ClipWindow):
                    yield WindowStill(file, record)
                elif isinstance(record, Done):
                    yield VideoDone(file, record.facts, record.fingerprint)
                    return
                elif isinstance(record, Failed):
                    yield DecodeFailed(file, record.error)
                    return
        finally:
            slot.busy = False

    def _watch(self, run: _Run) -> None:
        """Count time, and kill workers that are over theirs; their threads then see the pipe end."""
        for passed_s in ticks(run.finished):
            for slot in self._slots:
                slot.tick(passed_s)
                if slot.is_late():
                    slot.late = True
                    slot.kill()


class _Run:
    """One call of `decode`: the files still to do, and the bounded queue of what came out."""

    def __init__(self, jobs: Iterable[Job], workers: int, buffered: int, closing: threading.Event) -> None:
        self._jobs = iter(jobs)
        self._drawing = threading.Lock()
        self._queue: queue.Queue[DecodeEvent | Exception | None] = queue.Queue(buffered)
        self._working = workers
        self._closing = closing
        self.stop = threading.Event()
        self.finished = threading.Event()

    @property
    def stopped(self) -> bool:
        return self.stop.is_set() or self._closing.is_set()

    def next_job(self) -> Job | None:
        with self._drawing:
            return next(self._jobs, None)

    def put(self, event: DecodeEvent | Exception | None) -> bool:
        """Wait for room; False if the consumer has left."""
        while not self.stopped:
            with contextlib.suppress(queue.Full):
                self._queue.put(event, timeout=_LOOKED_AFTER_S)
                return True
        return False

    def leave(self) -> None:
        """Called once by each thread; the last one ends the events."""
        with self._drawing:
            self._working -= 1
            last = self._working == 0
        if last:
            self.finished.set()
            self.put(None)

    def events(self) -> Iterator[DecodeEvent]:
        while not self.stopped:
            try:
                event = self._queue.get(timeout=1.0)
            except queue.Empty:
                continue
            if event is None:
                return
            if isinstance(event, Exception):
                raise event
            yield event


def _check_pictures(spec: FrameSpec) -> None:
    """A damaged model must not make every video fail."""
    if not 1 <= spec.side_px <= _MOST_SIDE_PX:
        raise ModelError(
            f"the model asks for pictures of {spec.side_px} px; its config.json is damaged: install it again"
        )


def _worker_command(frame_spec: FrameSpec, window_spec: WindowSpec, still: Still, limits: DecodeLimits) -> list[str]:
    windows = (window_spec.length_s, window_spec.stride_s, window_spec.frames, window_spec.kind)
    numbers = (frame_spec.side_px, frame_spec.fit, *windows, still, limits.memory_bytes)
    return worker_command("vidsearch.video.worker", *numbers)


class WorkerSlot:
    """A place for one worker: its process, and how long the file at hand has kept us waiting."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._process: WorkerProcess | None = None
        self._lock = threading.Lock()
        self._allowed_s = self._silent_s = 0.0
        self._waited_s = 0.0
        self.busy = False
        self.late = False

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process is not None and process.is_running() else None

    def start(self) -> None:
        """Have a process, which waits for a file."""
        self._living()

    def begin(self, job: Job, limits: DecodeLimits) -> None:
        """Hand over a file, to a new process if the last one is gone."""
        self.busy, self.late, self._waited_s = True, False, 0.0
        self.allow(limits.until_opened_s(job.file), limits.until_opened_s(job.file))
        for _ in range(2):  # an idle worker may have died meanwhile: the second one is fresh
            process = self._living()
            with contextlib.suppress(BrokenPipeError):
                send(process.jobs, job)
                return
            self.discard()

    def allow(self, seconds: float, silent_s: float) -> None:
        """Time for the whole file from its begin, and for each single answer."""
        self._allowed_s, self._silent_s = seconds, silent_s

    def wait(self) -> tuple[Any, NDArray[np.uint8] | None] | None:
        """The worker's next message; None if it is gone. Only this time counts against the file."""
        process = self._process
        return None if process is None else process.answer()

    def tick(self, passed_s: float) -> None:
        """So much time has passed; it counts if it is spent on waiting."""
        process = self._process
        if process is not None:
            process.tick(passed_s)
            self._waited_s += passed_s if process.is_awaited else 0.0

    def is_late(self) -> bool:
        process = self._process
        if process is None or not process.is_awaited:
            return False
        return process.silent_s > self._silent_s or self._waited_s > self._allowed_s

    def reap(self, file: VideoFile) -> VideoError:
        """The error for a worker that ended in the middle of `file`, whose process is cleared away."""
        process = self._process
        code, said = (None, "") if process is None else (process.wait(), process.printed())
        self.discard()
        if self.late:
            return VideoError(
                "timeout",
                f"{shown(file.path)} kept the decoder busy for {self._waited_s:.0f} s and was given up; "
                "index it alone with --retry-failed, or leave it out with --exclude.",
            )
        if says_out_of_memory(said):
            return out_of_memory(file.path)
        _log.error("The worker decoding %s ended with %s. It said:\n%s", printable(shown(file.path)), code, said)
        return VideoError(
            "crashed", f"{shown(file.path)} made the decoder crash (exit {code}); leave it out with --exclude."
        )

    def kill(self) -> None:
        """End the process, even one that is stopped; safe from any thread."""
        with self._lock:
            if self._process is not None:
                self._process.kill()

    def _living(self) -> WorkerProcess:
        with self._lock:
            if self._process is None:
                self._process = WorkerProcess(self._command, _ENVIRONMENT)
            return self._process

    def discard(self) -> None:
        """End the process and forget it."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.end()

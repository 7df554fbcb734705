"""Who embeds the videos of a run: windows of neighbouring videos in common batches, or one video after the other.

An executor writes nothing: whoever drives it commits the records that it yields, so that one may run elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vidsearch.embedding.interface import BatchingEmbedder, ClipEmbedder
from vidsearch.embedding.videos import BATCH_WINDOWS, EmbedSpec, UnfinishedVideo, VideoEmbedder, embed_windows
from vidsearch.errors import VideoError
from vidsearch.records import ClipFrames, IndexedVideo, VideoFacts, VideoFile
from vidsearch.video.pool import DecodeEvent, DecodeFailed, VideoDone, VideoOpened, WindowDecoded, WindowStill

LONG_RUN_WINDOWS = 900  # an hour of video: a measurement costs about a hundredth of it


@dataclass(frozen=True, slots=True)
class VideoStarted:
    file: VideoFile
    facts: VideoFacts
    windows: int


@dataclass(frozen=True, slots=True)
class WindowEmbedded:
    """A window has its vector, or (`still`) shows what an earlier one showed and takes over that one's."""

    file: VideoFile
    still: bool = False


@dataclass(frozen=True, slots=True)
class RuntimeChosen:
    """From here on `device` names what embeds; `note` is a sentence that says why."""

    device: str
    note: str


@dataclass(frozen=True, slots=True)
class Reconsidered:
    """An embedder for the rest of a run, and a sentence that says why."""

    embedder: ClipEmbedder
    note: str


IfLong = Callable[[EmbedSpec, ClipEmbedder], Reconsidered | None]  # the embedder of the run so far → that of the rest

# Every file ends with its IndexedVideo or with DecodeFailed; what comes before them is progress.
EmbedEvent = VideoStarted | WindowEmbedded | RuntimeChosen | IndexedVideo | DecodeFailed


class Executor(Protocol):
    """Embeds videos of one spec. `device` names what computes, for people."""

    @property
    def device(self) -> str: ...

    def run(self, files: Sequence[VideoFile]) -> Generator[EmbedEvent, None, None]:
        """The events of all files; those of several files may be interleaved. Closing the generator ends the work."""
        ...


class OneByOneExecutor:
    """Maps `embed_video` over the files: simple, and what a scheduler of other machines does with each."""

    def __init__(self, spec: EmbedSpec, open_embedder: Callable[[], ClipEmbedder], jobs: int = 1) -> None:
        """`jobs` is not used: there is one video at a time."""
        self._spec = spec
        self._embedder = open_embedder()
        self.device = self._embedder.device

    def run(self, files: Sequence[VideoFile]) -> Generator[EmbedEvent, None, None]:
        """See `Executor.run`."""
        with VideoEmbedder(self._spec, self._embedder) as one:
            for file in files:
                try:
                    video = one.embed(file)
                except VideoError as error:
                    yield DecodeFailed(file, error)
                    continue
                yield VideoStarted(file, video.facts, len(video.windows))
                for number in range(len(video.windows)):
                    yield WindowEmbedded(file, still=number < video.still_windows)
                yield video


class PooledExecutor:
    """Several decoding workers and one network, which takes windows of neighbouring videos in common batches.

    `if_long` is asked once, if the run turns out to be a long one, which embedder does the rest: the one that has run
    until then, which it is given, or another.
    """

    def __init__(
        self,
        spec: EmbedSpec,
        open_embedder: Callable[[], ClipEmbedder],
        jobs: int = 1,
        *,
        if_long: IfLong | None = None,
        long_run_windows: int = LONG_RUN_WINDOWS,
    ) -> None:
        self._spec = spec
        self._use(open_embedder())
        self._jobs = jobs
        self._if_long = if_long
        self._long_run_windows = long_run_windows
        self._opened_bytes = self._opened_windows = 0  # of the files whose length is known
        self._unfinished: dict[Path, UnfinishedVideo] = {}
        self._batch: list[tuple[UnfinishedVideo, ClipFrames]] = []

    def run(self, files: Sequence[VideoFile]) -> Generator[EmbedEvent, None, None]:
        """See `Executor.run`."""
        total_bytes = sum(file.size_bytes for file in files)
        with self._spec.open_pool(self._jobs) as pool:
            for event in pool.decode(files):
                yield from self._take(event)
                if self._if_long is not None and self._is_long(total_bytes):
                    yield from self._reconsider(self._if_long)
                if len(self._batch) >= self._batch_windows:
                    yield from self._embed()
                yield from self._finished()
            yield from self._embed()
            yield from self._finished()

    def _take(self, event: DecodeEvent) -> Iterator[EmbedEvent]:
        match event:
            case VideoOpened(file, facts, windows):
                self._unfinished[file.path] = UnfinishedVideo(file)
                self._opened_bytes += file.size_bytes
                self._opened_windows += windows
                yield VideoStarted(file, facts, windows)
            case WindowDecoded(file, clip):
                self._batch.append(self._unfinished[file.path].with_window(clip))
            case WindowStill(file, window):
                self._unfinished[file.path].add_still(window)
                yield WindowEmbedded(file, still=True)
            case VideoDone(file, facts, fingerprint):
                self._unfinished[file.path].end(facts, fingerprint)
            case DecodeFailed(file, _):
                self._unfinished.pop(file.path, None)
                self._batch = [(video, clip) for video, clip in self._batch if video.file.path != file.path]
                yield event

    def _use(self, embedder: ClipEmbedder) -> None:
        self._embedder = embedder
        self.device = embedder.device
        own = embedder.batch_clips if isinstance(embedder, BatchingEmbedder) else 1
        self._batch_windows = max(own, BATCH_WINDOWS)

    def _is_long(self, total_bytes: int) -> bool:
        """After the files that are open; a tenth of a long run must be, so that one odd file does not decide."""
        if self._opened_windows < self._long_run_windows / 10 or not self._opened_bytes:
            return False
        return self._opened_windows / self._opened_bytes * total_bytes >= self._long_run_windows

    def _reconsider(self, if_long: IfLong) -> Iterator[EmbedEvent]:
        self._if_long = None
        found = if_long(self._spec, self._embedder)
        if found is not None:
            yield from self._embed()  # what was decoded before
            self._use(found.embedder)
            yield RuntimeChosen(self.device, found.note)

    def _embed(self) -> Iterator[EmbedEvent]:
        batch, self._batch = self._batch, []
        embed_windows(batch, self._embedder)
        yield from (WindowEmbedded(video.file) for video, _ in batch)

    def _finished(self) -> Iterator[EmbedEvent]:
        for video in [video for video in self._unfinished.values() if video.whole]:
            del self._unfinished[video.file.path]
            yield video.finished(self._spec)

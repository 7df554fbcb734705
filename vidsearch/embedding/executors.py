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
from vidsearch.video.pool import DecodeEvent, DecodeFailed, VideoDone, VideoOpened, WindowDecoded


@dataclass(frozen=True, slots=True)
class VideoStarted:
    file: VideoFile
    facts: VideoFacts
    windows: int


@dataclass(frozen=True, slots=True)
class WindowEmbedded:
    file: VideoFile


# Every file ends with its IndexedVideo or with DecodeFailed; what comes before them is progress.
EmbedEvent = VideoStarted | WindowEmbedded | IndexedVideo | DecodeFailed


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
                yield from (WindowEmbedded(file) for _ in video.windows)
                yield video


class PooledExecutor:
    """Several decoding workers and one network, which takes windows of neighbouring videos in common batches."""

    def __init__(self, spec: EmbedSpec, open_embedder: Callable[[], ClipEmbedder], jobs: int = 1) -> None:
        self._spec = spec
        self._embedder = open_embedder()
        own = self._embedder.batch_clips if isinstance(self._embedder, BatchingEmbedder) else 1
        self._batch_windows = max(own, BATCH_WINDOWS)
        self._jobs = jobs
        self._unfinished: dict[Path, UnfinishedVideo] = {}
        self._batch: list[tuple[UnfinishedVideo, ClipFrames]] = []
        self.device = self._embedder.device

    def run(self, files: Sequence[VideoFile]) -> Generator[EmbedEvent, None, None]:
        """See `Executor.run`."""
        with self._spec.open_pool(self._jobs) as pool:
            for event in pool.decode(files):
                yield from self._take(event)
                if len(self._batch) >= self._batch_windows:
                    yield from self._embed()
                yield from self._finished()
            yield from self._embed()
            yield from self._finished()

    def _take(self, event: DecodeEvent) -> Iterator[EmbedEvent]:
        match event:
            case VideoOpened(file, facts, windows):
                self._unfinished[file.path] = UnfinishedVideo(file)
                yield VideoStarted(file, facts, windows)
            case WindowDecoded(file, clip):
                self._batch.append(self._unfinished[file.path].with_window(clip))
            case VideoDone(file, facts, fingerprint):
                self._unfinished[file.path].end(facts, fingerprint)
            case DecodeFailed(file, _):
                self._unfinished.pop(file.path, None)
                self._batch = [(video, clip) for video, clip in self._batch if video.file.path != file.path]
                yield event

    def _embed(self) -> Iterator[EmbedEvent]:
        batch, self._batch = self._batch, []
        embed_windows(batch, self._embedder)
        yield from (WindowEmbedded(video.file) for video, _ in batch)

    def _finished(self) -> Iterator[EmbedEvent]:
        for video in [video for video in self._unfinished.values() if video.whole]:
            del self._unfinished[video.file.path]
            yield video.finished(self._spec)

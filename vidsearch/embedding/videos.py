"""One video file → its windows and their vectors, in this process or in any other."""

from __future__ import annotations

import atexit
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vidsearch.embedding.embedder import open_clip_embedder
from vidsearch.embedding.interface import ClipEmbedder, RuntimeEmbedder
from vidsearch.records import (
    ClipFrames,
    ClipWindow,
    FrameSpec,
    IndexedVideo,
    Runtime,
    Still,
    VideoFacts,
    VideoFile,
    WindowSpec,
)
from vidsearch.video.grey import grey_picture
from vidsearch.video.pool import DecodeFailed, DecodeLimits, DecodePool, VideoDone, WindowDecoded, WindowStill

# Windows embedded together. Larger batches gain nothing on a CPU and cost memory: 8 windows of 256 px are 13 MB.
BATCH_WINDOWS = 8


@dataclass(frozen=True, slots=True)
class EmbedSpec:
    """How videos are embedded; picklable. `frame_spec` and the frames of a window are those that the model takes."""

    model: str
    frame_spec: FrameSpec
    window_spec: WindowSpec = field(default_factory=WindowSpec)
    models_dir: Path | None = None  # None: the user's
    device: str = "auto"
    limits: DecodeLimits = field(default_factory=DecodeLimits)
    runtime: str = "auto"
    still: Still = "reuse"

    def open_embedder(self) -> ClipEmbedder:
        """See `open_clip_embedder`."""
        return open_clip_embedder(self.model, models_dir=self.models_dir, device=self.device, runtime=self.runtime)

    def open_pool(self, jobs: int) -> DecodePool:
        """Decoders that may run two batches ahead of the network."""
        return DecodePool(
            jobs,
            self.frame_spec,
            self.window_spec,
            limits=self.limits,
            buffered_events=2 * BATCH_WINDOWS,
            still=self.still,
        )


def embed_video(file: VideoFile, spec: EmbedSpec) -> IndexedVideo:
    """Decode one file, as the walk saw it, and embed its windows. Raises VideoError where it cannot be read.

    A function from picklable values to one, for a task of any scheduler: nothing is written, the caller commits. The
    model and a decoding worker stay open in this process for the next video of the same spec.
    """
    return _video_embedder(spec).embed(file)


@lru_cache(maxsize=1)
def _video_embedder(spec: EmbedSpec) -> VideoEmbedder:
    opened = VideoEmbedder(spec, spec.open_embedder())
    atexit.register(opened.close)
    return opened


class VideoEmbedder:
    """An open model and one decoding worker. A context manager: leaving it ends the worker."""

    def __init__(self, spec: EmbedSpec, embedder: ClipEmbedder) -> None:
        self._spec = spec
        self._embedder = embedder
        self._pool = spec.open_pool(1)

    def embed(self, file: VideoFile) -> IndexedVideo:
        """See `embed_video`."""
        video = UnfinishedVideo(file)
        waiting: list[tuple[UnfinishedVideo, ClipFrames]] = []
        for event in self._pool.decode([file]):
            match event:
                case WindowDecoded(_, clip):
                    waiting.append(video.with_window(clip))
                case WindowStill(_, window):
                    video.add_still(window)
                case VideoDone(_, facts, fingerprint):
                    video.end(facts, fingerprint)
                case DecodeFailed(_, error):
                    raise error
            if len(waiting) == BATCH_WINDOWS:
                embed_windows(waiting, self._embedder)
                waiting = []
        embed_windows(waiting, self._embedder)
        return video.finished(self._spec)

    def close(self) -> None:
        """End the decoding worker."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(slots=True)
class UnfinishedVideo:
    """A video being embedded: its windows so far, their vectors as they come, and what is known at its end.

    Of windows that show the same, the first one has a row of `pictures` (what it looks like) and gets one of `vectors`.
    """

    file: VideoFile
    windows: list[ClipWindow] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)  # of each window
    vectors: list[NDArray[np.float32]] = field(default_factory=list)
    pictures: list[NDArray[np.uint8]] = field(default_factory=list)
    runtimes: set[Runtime] = field(default_factory=set)  # what made the vectors
    facts: VideoFacts | None = None
    fingerprint: str | None = None

    @property
    def whole(self) -> bool:
        """Whether it was read to its end and every window has its vector."""
        return self.facts is not None and len(self.vectors) == len(self.pictures)

    @property
    def still_windows(self) -> int:
        """How many windows take over the vector of an earlier one."""
        return len(self.windows) - len(self.pictures)

    def with_window(self, clip: ClipFrames) -> tuple[UnfinishedVideo, ClipFrames]:
        """Add a window, which awaits its vector: an entry of a batch."""
        self.pictures.append(grey_picture(clip.frames))
        self.add_still(clip.window)
        return self, clip

    def add_still(self, window: ClipWindow) -> None:
        """Add a window that shows what the last one of `with_window` shows: it has the same picture and vector."""
        self.windows.append(window)
        self.rows.append(len(self.pictures) - 1)

    def end(self, facts: VideoFacts, fingerprint: str | None) -> None:
        """The file was read to its end."""
        self.facts, self.fingerprint = facts, fingerprint

    def finished(self, spec: EmbedSpec) -> IndexedVideo:
        """The record of a whole video."""
        assert self.facts is not None and self.fingerprint is not None  # it was read to its end
        return IndexedVideo(
            self.file,
            self.fingerprint,
            self.facts,
            tuple(self.windows),
            np.stack(self.vectors)[self.rows],
            spec.model,
            spec.window_spec,
            np.stack(self.pictures)[self.rows],
            frozenset(self.runtimes),
            self.still_windows,
        )


def embed_windows(batch: Sequence[tuple[UnfinishedVideo, ClipFrames]], embedder: ClipEmbedder) -> None:
    """Embed windows of one or of several videos together, and give each video its vectors."""
    if not batch:
        return
    vectors = embedder.embed(np.stack([clip.frames for _, clip in batch]))
    for (video, _), vector in zip(batch, vectors, strict=True):
        video.vectors.append(vector)
        if isinstance(embedder, RuntimeEmbedder):
            video.runtimes.add(embedder.runtime)

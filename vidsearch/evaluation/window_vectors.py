"""Vectors of a video's windows, as the library has them, or of its clips of equal length; kept by file and model."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidsearch.embedding.interface import ClipEmbedder
from vidsearch.evaluation.video_vectors import BATCH_VIDEOS, VectorCache
from vidsearch.files import replacing
from vidsearch.records import ClipFrames, ClipWindow, WindowSpec
from vidsearch.video.interface import VideoReader
from vidsearch.video.reader import fill_windows, open_reader, own_windows, windows_in


@dataclass(frozen=True, slots=True)
class WindowVectors:
    """Windows of one video, [starts_s, ends_s) from its first picture on, (N,), and their vectors, (N, E)."""

    starts_s: NDArray[np.float64]
    ends_s: NDArray[np.float64]
    vectors: NDArray[np.float32]


class WindowCache:
    """`WindowVectors` on disk, a file a video; see `VectorCache`."""

    def __init__(self, cache: VectorCache) -> None:
        self._cache = cache

    def load(self, video: Path) -> WindowVectors | None:
        """What is kept of a video; None if there is nothing, or its file is damaged."""
        try:
            with np.load(self._cache.file(video, ".npz"), allow_pickle=False) as kept:
                return WindowVectors(kept["starts_s"], kept["ends_s"], kept["vectors"])
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
            return None

    def store(self, video: Path, own: WindowVectors) -> None:
        """Keep the windows of a video."""
        self._cache.folder.mkdir(parents=True, exist_ok=True)
        with replacing(self._cache.file(video, ".npz")) as partial, partial.open("wb") as file:
            np.savez(file, starts_s=own.starts_s, ends_s=own.ends_s, vectors=own.vectors)


def window_vectors(path: Path, embedder: ClipEmbedder, spec: WindowSpec) -> WindowVectors:
    """The windows into which the library cuts a video. Raises VideoError if it cannot be read."""
    with open_reader(path, embedder.frame_spec) as reader:
        return _embedded(own_windows(windows_in(reader, spec), reader), reader, embedder)


def clip_vectors(path: Path, embedder: ClipEmbedder, length_s: float, most: int) -> WindowVectors:
    """Clips of equal length one after the other: row i shows the seconds from i · length_s on. At most `most`.

    A rest at the end is a clip if it has at least half of the length. Raises VideoError if the video cannot be read.
    """
    with open_reader(path, embedder.frame_spec) as reader:
        count = min(most, max(1, int(reader.facts.picture_s / length_s + 0.5)))
        start_s = reader.facts.start_s
        share = length_s / embedder.frames
        windows = []
        for number in range(count):
            first_s = start_s + number * length_s
            times = tuple(round(first_s + (frame + 0.5) * share, 6) for frame in range(embedder.frames))
            windows.append(ClipWindow(first_s, first_s + length_s, times))
        return _embedded(fill_windows(windows, reader), reader, embedder)


def _embedded(clips: Iterator[ClipFrames], reader: VideoReader, embedder: ClipEmbedder) -> WindowVectors:
    """At most `BATCH_VIDEOS` clips are in memory at a time."""
    windows: list[ClipWindow] = []
    vectors: list[NDArray[np.float32]] = []
    waiting: list[ClipFrames] = []
    for clip in clips:
        windows.append(clip.window)
        waiting.append(clip)
        if len(waiting) == BATCH_VIDEOS:
            vectors.append(_vectors(waiting, embedder))
            waiting = []
    if waiting:
        vectors.append(_vectors(waiting, embedder))
    first_s = reader.facts.start_s
    return WindowVectors(
        np.array([window.start_s - first_s for window in windows]),
        np.array([window.end_s - first_s for window in windows]),
        np.concatenate(vectors),
    )


def _vectors(clips: Sequence[ClipFrames], embedder: ClipEmbedder) -> NDArray[np.float32]:
    return embedder.embed(np.stack([clip.frames for clip in clips]))

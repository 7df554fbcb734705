"""One vector of a whole video: eight middle frames, as the papers' evaluations look at it. Kept by file and model."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vidsearch.embedding.interface import ClipEmbedder
from vidsearch.errors import VideoError, VidsearchError
from vidsearch.evaluation.files import version_of
from vidsearch.files import replacing
from vidsearch.records import FrameSpec
from vidsearch.video.reader import open_reader

Vector = NDArray[np.float32]
BATCH_VIDEOS = 8  # embedded together; a killed run loses no more


@dataclass(frozen=True, slots=True)
class VideoVector:
    """The vector of the video with this number, (E,); `kept`: it was there from an earlier run."""

    number: int
    vector: Vector
    kept: bool


@dataclass(frozen=True, slots=True)
class VideoUnreadable:
    """The video with this number has no frames to look at."""

    number: int
    reason: str


def middle_indices(frames_total: int, frames: int = 8) -> NDArray[np.int64]:
    """The frame in the middle of each of `frames` equal intervals; a shorter video repeats its last index. (frames,)"""
    if frames_total < 1 or frames < 1:
        raise ValueError(f"cannot choose {frames} of {frames_total} frames")
    taken = min(frames, frames_total)
    edges = np.floor(np.linspace(0, frames_total, taken + 1)).astype(np.int64)
    chosen = (edges[:-1] + edges[1:] - 1) // 2
    return np.concatenate([chosen, np.full(frames - taken, chosen[-1])])


def middle_frames(path: Path, spec: FrameSpec, frames: int, first_s: float | None = None) -> NDArray[np.uint8]:
    """The middle frames of a video, (T, H, W, 3); of its first int(first_s · fps) frames if it is longer than that.

    Raises VideoError if it cannot be read.
    """
    with open_reader(path, spec) as reader:
        total = len(reader.starts_s)
        if first_s is not None and reader.facts.picture_s > first_s:
            total = max(1, min(total, int(first_s * reader.facts.fps)))
        times = reader.starts_s[middle_indices(total, frames)]
        distinct = sorted(set(times.tolist()))
        read = dict(zip(distinct, reader.frames_at(distinct), strict=True))
    return np.stack([read[time] for time in times.tolist()])


@runtime_checkable
class PreparesFrames(Protocol):
    """An embedder that brings frames to its side itself, from whatever size they have."""

    def prepare(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(T, H, W, 3) → (T, S, S, 3)."""
        ...


def clip_of(path: Path, embedder: ClipEmbedder, first_s: float | None = None) -> NDArray[np.uint8]:
    """The middle frames of a video as an embedder takes them, (T, S, S, 3). Raises VideoError if it cannot be read."""
    frames = middle_frames(path, embedder.frame_spec, embedder.frames, first_s)
    return embedder.prepare(frames) if isinstance(embedder, PreparesFrames) else frames


class VectorCache:
    """Vectors of videos on disk, a file each. A video that changed, or another model, has another file."""

    def __init__(self, folder: Path, model: str, weights: Path, protocol: str) -> None:
        self.folder = folder / model
        self._about = f"{model}|{version_of(weights)}|{protocol}"

    def load(self, video: Path) -> Vector | None:
        """The kept vector; None if there is none, or its file is damaged."""
        try:
            return np.load(self.file(video), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None

    def store(self, video: Path, vector: Vector) -> None:
        """Keep the vector of a video."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(self.file(video)) as partial, partial.open("wb") as file:
            np.save(file, vector, allow_pickle=False)

    def file(self, video: Path, suffix: str = ".npy") -> Path:
        """Where what belongs to a video is kept."""
        about = f"{self._about}|{video.resolve()}|{version_of(video)}"
        return self.folder / f"{hashlib.sha256(about.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}{suffix}"


def embed_videos(
    videos: Sequence[Path], embedder: ClipEmbedder, cache: VectorCache, first_s: float | None = None
) -> Iterator[VideoVector | VideoUnreadable]:
    """The vector of each video, or why there is none; those that are kept come first."""
    missing = []
    for number, path in enumerate(videos):
        kept = cache.load(path)
        if kept is None:
            missing.append(number)
        else:
            yield VideoVector(number, kept, kept=True)
    waiting: list[tuple[int, NDArray[np.uint8]]] = []
    for number in missing:
        try:
            waiting.append((number, clip_of(videos[number], embedder, first_s)))
        except VideoError as error:
            yield VideoUnreadable(number, str(error))
        if len(waiting) == BATCH_VIDEOS:
            yield from _embed(waiting, videos, embedder, cache)
            waiting.clear()
    yield from _embed(waiting, videos, embedder, cache)


def _embed(
    waiting: Sequence[tuple[int, NDArray[np.uint8]]],
    videos: Sequence[Path],
    embedder: ClipEmbedder,
    cache: VectorCache,
) -> Iterator[VideoVector]:
    if not waiting:
        return
    vectors = embedder.embed(np.stack([frames for _, frames in waiting]))
    for (number, _), vector in zip(waiting, vectors, strict=True):
        cache.store(videos[number], vector)
        yield VideoVector(number, vector, kept=False)


@dataclass(frozen=True, slots=True)
class SetRequest:
    """Which set, where its data are, and how many of its videos; `annotations` if the lists are elsewhere.

    `variant`: what the embedder does otherwise than its model's folder says, in words.
    """

    set: str
    data: Path
    limit: int | None = None
    annotations: Path | None = None
    variant: str = ""

    def protocol(self, first_s: float | None, frames: int) -> str:
        """What kept vectors depend on beside the model and the video."""
        return f"middle {frames}, first {first_s}{self.variant and f', {self.variant}'}"


@dataclass(frozen=True, slots=True)
class Progress:
    """So many of all videos have been looked at."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Gathered:
    """The vectors of videos by number, and why others have none."""

    vectors: dict[int, Vector]
    unreadable: dict[int, str]

    def stacked(self) -> Vector:
        """(N, E), by number."""
        return np.stack([self.vectors[number] for number in sorted(self.vectors)])


def gather(
    videos: Sequence[Path], embedder: ClipEmbedder, cache: VectorCache, first_s: float | None = None
) -> Generator[Progress, None, Gathered]:
    """Yields progress and returns what was found. VidsearchError if no video can be read."""
    gathered = Gathered({}, {})
    yield Progress(0, len(videos))
    for event in embed_videos(videos, embedder, cache, first_s):
        match event:
            case VideoVector(number, vector):
                gathered.vectors[number] = vector
            case VideoUnreadable(number, reason):
                gathered.unreadable[number] = reason
        yield Progress(len(gathered.vectors) + len(gathered.unreadable), len(videos))
    if not gathered.vectors:
        first = next(iter(gathered.unreadable.values()))
        raise VidsearchError(f"None of the {len(videos)} videos can be read; the first one: {first}")
    return gathered

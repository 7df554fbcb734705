"""A picture, a clip or a hit ─▶ its vector: from the library where that holds it, else by the library's own model."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vidsearch.errors import VideoError, VidsearchError
from vidsearch.files import absolute, within_known
from vidsearch.frozen import dataclass
from vidsearch.records import AnyTerm, ClipWindow, LikeFile, LikeHit, Term, VideoFile, WindowVectors

if TYPE_CHECKING:
    from vidsearch.embedding.interface import ClipEmbedder, TextEmbedder
    from vidsearch.store.interface import Library

# A window belongs to a range if at least this part of it lies inside, and a range is indexed if at least this part of
# it is covered by such windows: less would be about other seconds.
INSIDE_SHARE = 0.5
# A clip that is not indexed is looked at in so many windows at most, evenly over its range.
MOST_WINDOWS = 16
WINDOW_S = 8.0


@dataclass(frozen=True, slots=True)
class Source:
    """What a term is like, in the library: a content, and the seconds of it; None: all of it."""

    path: Path
    fingerprint: str | None
    start_s: float | None = None
    end_s: float | None = None

    def shows(self, path: Path, fingerprint: str | None, start_s: float, end_s: float) -> bool:
        """Whether a window is of the source itself."""
        same = path == self.path or (fingerprint is not None and fingerprint == self.fingerprint)
        after = self.end_s is not None and start_s >= self.end_s
        before = self.start_s is not None and end_s <= self.start_s
        return same and not after and not before


class TermVectors:
    """Gives the vectors of terms, and remembers what of the library they are like."""

    def __init__(self, library: Library, embedder: TextEmbedder, open_clips: Callable[[], ClipEmbedder]) -> None:
        self.sources: list[Source] = []
        self._library, self._embedder, self._open_clips = library, embedder, open_clips
        self._clips: ClipEmbedder | None = None

    def __call__(self, terms: Sequence[AnyTerm]) -> NDArray[np.float32]:
        """(n, E). Raises VidsearchError for a hit that there is not and for a file that is no picture or video."""
        return np.stack([self._vector(term) for term in terms])

    def _vector(self, term: AnyTerm) -> NDArray[np.float32]:
        match term:
            case Term(text):
                return self._embedder.embed([text])[0]
            case LikeHit(number):
                from vidsearch.workflows.hits import hit_of_number  # late: words alone need no hits

                hit = hit_of_number(self._library, number).hit
                return self._of_range(hit.path, hit.start_s, hit.end_s)
            case LikeFile(path, start_s, end_s):
                return self._of_range(path, start_s, end_s)

    def _of_range(self, path: Path, start_s: float | None, end_s: float | None) -> NDArray[np.float32]:
        path = within_known(absolute(path.expanduser()), self._library.roots())
        indexed = self._library.window_vectors(path, model=self._embedder.model)
        self.sources.append(Source(path, indexed.fingerprint if indexed else None, start_s, end_s))
        if indexed is not None and is_as_indexed(indexed.file):
            rows = rows_of_range(indexed, start_s, end_s)
            if rows is not None:
                return rows
        elif not os.path.lexists(path):
            raise VideoError("vanished", f"There is no {path}; give a picture or a video that exists.")
        return self._by_model(path, start_s, end_s)

    def _by_model(self, path: Path, start_s: float | None, end_s: float | None) -> NDArray[np.float32]:
        from vidsearch.video.picture_file import is_picture, read_picture  # late: words alone need no decoder

        self._clips = clips = self._clips or self._open_clips()
        if is_picture(path):
            if start_s is not None or end_s is not None:
                raise VidsearchError(f"{path} is a picture and has no range; leave out what follows its @.")
            picture = read_picture(path, clips.frame_spec)
            return clips.embed(np.stack([picture] * clips.frames)[np.newaxis])[0]
        return _mean(clips.embed(_frames(path, start_s, end_s, clips)))


def is_as_indexed(file: VideoFile) -> bool:
    """Whether a file is what it was when it was indexed, after its size and time, or is out of reach."""
    try:
        status = file.path.stat()
    except OSError:
        return True
    return VideoFile.of(file.path, status) == file


def rows_of_range(indexed: WindowVectors, start_s: float | None, end_s: float | None) -> NDArray[np.float32] | None:
    """(E,): the mean of the windows in a range, each by how much of it lies inside; None if they do not cover it."""
    starts, ends = indexed.spans_s.T
    low = starts.min() if start_s is None else start_s
    high = ends.max() if end_s is None else min(end_s, ends.max())
    inside_s = np.clip(np.minimum(ends, high) - np.maximum(starts, low), 0, None)
    chosen = inside_s >= INSIDE_SHARE * (ends - starts)
    if not chosen.any() or high <= low:
        return None
    covered = np.minimum(ends[chosen], high).max() - np.maximum(starts[chosen], low).min()
    if covered < INSIDE_SHARE * (high - low):
        return None
    return _mean(indexed.vectors[chosen], inside_s[chosen])


def _frames(path: Path, start_s: float | None, end_s: float | None, clips: ClipEmbedder) -> NDArray[np.uint8]:
    """(B, T, H, W, 3): windows over a range of a video. Raises VideoError."""
    from vidsearch.video.reader import fill_windows, open_reader

    with open_reader(path, clips.frame_spec) as reader:
        first, last = reader.facts.start_s, reader.facts.start_s + reader.facts.picture_s
        low = max(first, first if start_s is None else start_s)
        high = last if end_s is None else min(last, end_s)
        if low >= high:
            raise VidsearchError(f"{path} ends at {last:.1f} s; choose a range before that.")
        count = min(MOST_WINDOWS, max(1, round((high - low) / WINDOW_S)))
        edges = np.linspace(low, high, count + 1)
        windows = [_window(start, end, clips.frames) for start, end in pairwise(edges)]
        return np.stack([clip.frames for clip in fill_windows(windows, reader)])


def _window(start_s: float, end_s: float, frames: int) -> ClipWindow:
    step = (end_s - start_s) / frames
    return ClipWindow(start_s, end_s, tuple(start_s + (i + 0.5) * step for i in range(frames)))


def _mean(rows: NDArray[np.float32], weights: NDArray[np.float64] | None = None) -> NDArray[np.float32]:
    total = np.average(rows.astype(np.float64), axis=0, weights=weights)
    return np.asarray(total / np.linalg.norm(total), dtype=np.float32)

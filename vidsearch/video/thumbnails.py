"""Moments of videos → small JPEG pictures: decoded in worker processes as everything else, kept in a bounded cache."""

from __future__ import annotations

import hashlib
import json
import os
import queue
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vidsearch import dirs
from vidsearch.bounded_folder import BoundedFolder
from vidsearch.errors import VidsearchError
from vidsearch.records import ClipWindow, FrameSpec, VideoFacts, VideoFile, WindowSpec
from vidsearch.size_limits import limit_from_environment
from vidsearch.video.discover import file_at
from vidsearch.video.jpeg import to_jpeg
from vidsearch.video.pool import DecodeFailed, DecodePool, WindowDecoded
from vidsearch.video.poster import most_telling

LIMIT_VARIABLE = "VIDSEARCH_THUMBNAILS_MB"
DEFAULT_LIMIT_MB = 200  # about 15,000 pictures of 320 px
LARGEST_SIDE_PX = 640
_SUFFIX = ".jpg"
_FORMAT = 1  # of the cache: pictures made otherwise get other names
_FRAMES_TRIED = 8  # of which a poster is chosen
_POSTER_S = 8.0  # around the best time: as much as a usual window
_SHRINK_EVERY = 100  # pictures written


class Thumbnails:
    """Pictures of moments. Threads may share one. A context manager: leaving it ends the worker processes.

    All methods raise VideoError if the file cannot be read. A picture has the video's aspect ratio, upright; its longer
    side is at most `side_px`, which is at most 640. Times are container presentation times in seconds.
    """

    def __init__(self, folder: Path | None = None, *, jobs: int = 1, limit_bytes: int | None = None) -> None:
        """`folder` None: `thumbnails` in the cache's folder. `jobs`: files that are decoded at the same time.

        `limit_bytes` None: `VIDSEARCH_THUMBNAILS_MB`, else 200 MB; 0 keeps nothing. No process starts before it is
        needed.
        """
        place = dirs.cache_dir() / "thumbnails" if folder is None else folder
        limit = limit_from_environment(LIMIT_VARIABLE, DEFAULT_LIMIT_MB) if limit_bytes is None else limit_bytes
        self._kept = BoundedFolder(place, _SUFFIX, limit, shrink_every=_SHRINK_EVERY)
        spec = FrameSpec(LARGEST_SIDE_PX, "inside")
        self._pools = [DecodePool(1, spec, WindowSpec(), buffered_events=1) for _ in range(max(jobs, 1))]
        self._free: queue.LifoQueue[DecodePool] = queue.LifoQueue()  # the one used last is the one that runs
        for pool in self._pools:
            self._free.put(pool)

    def at(self, path: Path, time_s: float, side_px: int = 320) -> bytes:
        """The JPEG of the frame that a player shows at a time."""
        [picture] = self.strip(path, [time_s], side_px)
        return picture

    def strip(self, path: Path, times_s: Sequence[float], side_px: int = 320) -> list[bytes]:
        """The JPEGs of several frames of one video, decoded in one go; times in any order."""
        file = file_at(path)
        keys = [_key(file, "at", round(time_s, 3), side_px) for time_s in times_s]
        found = [self._kept.get(key) or None for key in keys]
        missing = sorted({time for time, known in zip(times_s, found, strict=True) if known is None})
        made: dict[float, bytes] = {}
        if missing:
            for time, frame in zip(missing, self._decode(file, missing), strict=True):
                made[time] = to_jpeg(frame, side_px)
        for time, key in zip(times_s, keys, strict=True):
            if time in made:
                self._kept.put(key, made[time])
        return [known if known is not None else made[time] for time, known in zip(times_s, found, strict=True)]

    def poster(self, path: Path, start_s: float, end_s: float, best_s: float, side_px: int = 320) -> bytes:
        """The JPEG of that frame of a moment, around its best time, on which most can be seen."""
        file = file_at(path)
        first = max(start_s, best_s - _POSTER_S / 2)
        last = max(first, min(end_s, best_s + _POSTER_S / 2))
        key = _key(file, "poster", round(first, 3), round(last, 3), side_px)
        if known := self._kept.get(key):
            return known
        step_s = (last - first) / _FRAMES_TRIED
        frames = self._decode(file, [first + step_s * (number + 0.5) for number in range(_FRAMES_TRIED)])
        picture = to_jpeg(frames[most_telling(frames)], side_px)
        self._kept.put(key, picture)
        return picture

    def close(self) -> None:
        """End the worker processes now."""
        for pool in self._pools:
            pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _decode(self, file: VideoFile, times_s: Sequence[float]) -> NDArray[np.uint8]:
        """(N, H, W, 3), the frames shown at ascending times."""
        pool = self._free.get()
        try:
            frames: NDArray[np.uint8] | None = None
            for event in pool.decode([file], partial(_one_window, tuple(times_s))):
                if isinstance(event, WindowDecoded):
                    frames = event.clip.frames
                elif isinstance(event, DecodeFailed):
                    raise event.error
        finally:
            self._free.put(pool)
        if frames is None:
            raise VidsearchError("The thumbnails were closed while a picture was being made.")
        return frames


def _one_window(times_s: tuple[float, ...], facts: VideoFacts, starts_s: NDArray[np.float64]) -> Sequence[ClipWindow]:
    """A `Cut`: all the times as one window; the readers show the first or last frame for a time outside."""
    return [ClipWindow(times_s[0], times_s[-1], times_s)]


def _key(file: VideoFile, *parts: object) -> str:
    """A name that depends on the file as it is now, and on what is wanted of it."""
    about = [_FORMAT, os.fsencode(file.path).hex(), file.size_bytes, file.mtime_ns, *parts]
    return hashlib.blake2b(json.dumps(about).encode(), digest_size=16).hexdigest()

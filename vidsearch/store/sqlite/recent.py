"""What was read of videos lately, for a library that stays open and is asked again and again."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from vidsearch.frozen import dataclass

MOST_BYTES = 64 << 20  # 15 hours of video, at 1024 values a vector; 80 hours at 192


@dataclass(frozen=True, slots=True)
class ReadVideo:
    """The windows of one video as one model saw them: (n, 2) spans, (n, E) vectors, (n, 8, 8) pictures if known."""

    spans_s: NDArray[np.float64]
    vectors: NDArray[np.float32]
    pictures: NDArray[np.uint8] | None

    def rows(self, ordinals: NDArray[np.int64]) -> NDArray[np.float32] | None:
        """The vectors of some windows; None if it has no such windows."""
        return self.vectors[ordinals] if ordinals.max() < len(self.vectors) else None

    @property
    def bytes(self) -> int:
        """What it takes of memory."""
        pictures = 0 if self.pictures is None else self.pictures.nbytes
        return self.spans_s.nbytes + self.vectors.nbytes + pictures


class RecentVideos:
    """The videos that were read last, within a limit of memory, by the id of their model and of their first vector.

    Nothing here grows old: the ids of vectors are drawn at random for what is written, and never change or come back
    (migrations.py), so that whoever finds an id in the database now may take what was read under it before. Threads may
    share it.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._held: OrderedDict[tuple[int, int], ReadVideo] = OrderedDict()
        self._changing = threading.Lock()

    def get(self, model_id: int, first_vector_id: int) -> ReadVideo | None:
        """What was read of a video; None if it was not, or too long ago."""
        key = model_id, first_vector_id
        with self._changing:
            held = self._held.get(key)
            if held is not None:
                self._held.move_to_end(key)
        return held

    def keep(self, model_id: int, first_vector_id: int, video: ReadVideo) -> None:
        """Keeps what was read; what was not asked for longest leaves for it."""
        key = model_id, first_vector_id
        if video.bytes > self._most_bytes:
            return
        with self._changing:
            if key in self._held:
                return
            self._held[key] = video
            self._bytes += video.bytes
            while self._bytes > self._most_bytes:
                self._bytes -= self._held.popitem(last=False)[1].bytes

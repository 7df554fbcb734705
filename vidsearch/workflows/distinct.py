"""Moments ─▶ those that show something new: the others count for the better one that shows the same footage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vidsearch.frozen import dataclass
from vidsearch.records import Hit, WindowVectors
from vidsearch.workflows.sameness import Footage, likeness

if TYPE_CHECKING:
    from vidsearch.store.interface import Library


class Distinct:
    """Tells which moments of a library show the same; what was read of it is kept for the next question."""

    def __init__(self, library: Library, model: str) -> None:
        self._library, self._model = library, model
        self._held: dict[Path, _Video | None] = {}

    def of(self, moments: Sequence[Hit], *, top: int, per_video: int) -> list[Hit]:
        """The first `top` that show something new, at most `per_video` of one video; `more`: how many were like it."""
        alike = self._alike(moments)
        kept: list[Hit] = []
        kept_at: dict[int, int] = {}  # place in `moments` → place in `kept`
        of_video: Counter[str] = Counter()
        for place, hit in enumerate(moments):
            first = next((kept_at[earlier] for earlier in alike.get(place, ()) if earlier in kept_at), None)
            if first is not None:
                kept[first] = replace(kept[first], more=kept[first].more + 1 + hit.more)
            elif len(kept) < top and of_video[content_of(hit)] < per_video:
                of_video[content_of(hit)] += 1
                kept_at[place] = len(kept)
                kept.append(hit)
        return [replace(hit, number=number) for number, hit in enumerate(kept, start=1)]

    def _alike(self, moments: Sequence[Hit]) -> dict[int, list[int]]:
        """The earlier moments that show the same as a moment, by places; of a moment without picture none."""
        self._read(moments)
        known = [(place, video) for place, hit in enumerate(moments) if (video := self._held[hit.path]) is not None]
        alike: dict[int, list[int]] = {}
        if known:
            same = np.tril(_same([(video, moments[place]) for place, video in known]), -1)
            for later, earlier in np.argwhere(same).tolist():
                alike.setdefault(known[later][0], []).append(known[earlier][0])
        return alike

    def _read(self, moments: Sequence[Hit]) -> None:
        missing = list(dict.fromkeys(hit.path for hit in moments if hit.path not in self._held))
        found = self._library.windows_of_videos(missing, model=self._model)
        self._held |= {path: _with_pictures(found.get(path)) for path in missing}


@dataclass(frozen=True, slots=True)
class _Video:
    row_at: Mapping[float, int]  # by the middle of a window, in seconds
    vectors: NDArray[np.float32]
    pictures: NDArray[np.uint8]

    def row(self, hit: Hit) -> int:
        """The best window of a hit, or the nearest to it if the video was indexed anew since it was found."""
        row = self.row_at.get(hit.best_s)
        return self.row_at[min(self.row_at, key=lambda it: abs(it - hit.best_s))] if row is None else row


def _same(moments: Sequence[tuple[_Video, Hit]]) -> NDArray[np.bool_]:
    """(n, n): which moments show the same in their best windows."""
    rows = [(video, video.row(hit)) for video, hit in moments]
    shown = Footage(
        np.stack([video.vectors[row] for video, row in rows]), np.stack([video.pictures[row] for video, row in rows])
    )
    return likeness(shown, shown).is_same


def _with_pictures(video: WindowVectors | None) -> _Video | None:
    if video is None or video.pictures is None:
        return None
    middles_s = (video.spans_s.sum(axis=1) / 2).tolist()
    row_at = {middle_s: row for row, middle_s in reversed(list(enumerate(middles_s)))}
    return _Video(row_at, video.vectors, video.pictures)


def content_of(hit: Hit) -> str:
    """What a hit is a moment of: the same for two files with the same bytes."""
    return hit.fingerprint or str(hit.path)

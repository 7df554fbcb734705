"""Moments ─▶ those that show something new: the others count for the better one that shows the same footage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vidsearch.records import Hit, WindowVectors
from vidsearch.workflows.sameness import SAME_COSINE, likeness

if TYPE_CHECKING:
    from vidsearch.store.interface import Library

_ROUNDING = 1e-4  # of cosines in float32, which likeness() computes anew


@dataclass(frozen=True, slots=True)
class _Seen:
    """The best window of a moment, which is kept at `place`."""

    video: WindowVectors
    row: int
    place: int


class Distinct:
    """Tells which moments of a library show the same; what was read of it is kept for the next question."""

    def __init__(self, library: Library, model: str) -> None:
        self._library, self._model = library, model
        self._held: dict[Path, WindowVectors | None] = {}

    def of(self, moments: Iterable[Hit], *, top: int, per_video: int) -> list[Hit]:
        """The first `top` that show something new, at most `per_video` of one video; `more`: how many were like it."""
        kept: list[Hit] = []
        seen: list[_Seen] = []  # of those kept whose picture is known
        of_video: Counter[str] = Counter()
        for hit in moments:
            shown = self._seen(hit, len(kept))
            place = None if shown is None else _first_like(shown, seen)
            if place is not None:
                kept[place] = replace(kept[place], more=kept[place].more + 1)
            elif len(kept) < top and of_video[content_of(hit)] < per_video:
                of_video[content_of(hit)] += 1
                kept.append(hit)
                seen += [] if shown is None else [shown]
        return [replace(hit, number=number) for number, hit in enumerate(kept, start=1)]

    def _seen(self, hit: Hit, place: int) -> _Seen | None:
        video = self._of(hit.path)
        return None if video is None or video.pictures is None else _Seen(video, _row(video, hit), place)

    def _of(self, path: Path) -> WindowVectors | None:
        if path not in self._held:
            self._held[path] = self._library.window_vectors(path, model=self._model)
        return self._held[path]


def content_of(hit: Hit) -> str:
    """What a hit is a moment of: the same for two files with the same bytes."""
    return hit.fingerprint or str(hit.path)


def _row(video: WindowVectors, hit: Hit) -> int:
    """The best window of a hit."""
    return int(np.abs(video.spans_s.mean(axis=1) - hit.best_s).argmin())


def _first_like(shown: _Seen, seen: Sequence[_Seen]) -> int | None:
    """The place of the first that shows the same. Pictures are compared only where the vectors are alike: few."""
    if not seen:
        return None
    cosines = np.stack([it.video.vectors[it.row] for it in seen]) @ shown.video.vectors[shown.row]
    near = (seen[at] for at in np.flatnonzero(cosines >= SAME_COSINE - _ROUNDING).tolist())
    return next((it.place for it in near if likeness(it.video, it.row, shown.video, shown.row).is_same), None)

"""Moments ─▶ those that show something new: the others count for the better one that shows the same footage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vidsearch.records import Hit, WindowVectors
from vidsearch.workflows.sameness import likeness

if TYPE_CHECKING:
    from vidsearch.store.interface import Library


class Distinct:
    """Tells which moments of a library show the same; what was read of it is kept for the next question."""

    def __init__(self, library: Library, model: str) -> None:
        self._library, self._model = library, model
        self._held: dict[Path, WindowVectors | None] = {}

    def of(self, moments: Iterable[Hit], *, top: int, per_video: int) -> list[Hit]:
        """The first `top` that show something new, at most `per_video` of one video; `more`: how many were like it."""
        kept: list[Hit] = []
        of_video: Counter[str] = Counter()
        for hit in moments:
            place = next((at for at, better in enumerate(kept) if self._same(better, hit)), None)
            if place is not None:
                kept[place] = replace(kept[place], more=kept[place].more + 1)
            elif len(kept) < top and of_video[content_of(hit)] < per_video:
                of_video[content_of(hit)] += 1
                kept.append(hit)
        return [replace(hit, number=number) for number, hit in enumerate(kept, start=1)]

    def _same(self, one: Hit, other: Hit) -> bool:
        first, second = self._of(one.path), self._of(other.path)
        if first is None or second is None or first.pictures is None or second.pictures is None:
            return False
        return likeness(first, _row(first, one), second, _row(second, other)).is_same

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

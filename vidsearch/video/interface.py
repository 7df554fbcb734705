"""What both readers offer: the frame a player shows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from vidsearch.records import VideoFacts


class VideoReader(Protocol):
    """An open video. `facts` are final once the frames that are wanted have been read: damage shows while reading."""

    path: Path

    @property
    def facts(self) -> VideoFacts: ...

    @property
    def starts_s(self) -> NDArray[np.float64]:
        """(N,) when each frame that a player would show begins, ascending, in container presentation time."""
        ...

    def frames_at(self, times_s: Sequence[float]) -> Iterator[NDArray[np.uint8]]:
        """For each time (ascending) the frame shown then: uint8 RGB (H, W, 3), upright, at the FrameSpec's side.

        That is the last frame that starts at or before the time; before the first frame the first, after the last
        one the last. Raises VideoError if none can be decoded.
        """
        ...

    def pictures_at(self, times_s: Sequence[float]) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """As `frames_at`, each with the time at which it begins. A picture with parts made up is not among them."""
        ...

    def spare_memory(self) -> None:
        """Nobody takes pictures for a while: give back those decoded ahead. What comes next stays the same."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

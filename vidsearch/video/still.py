"""Does a window show what an earlier one showed, but for the noise of the codec?

It does if no cell of a frame differs from the same cell of the earlier window's frame by more than `NOISE`, on average
over its pixels. To compare the means of cells would not do: small things move within one. docs/performance.md has the
measurement behind the number.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

CELLS = 16  # of a frame, in each direction
NOISE = 4.5  # of 255


def cell_differences(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Two frames (H, W, 3) → (16, 16): the mean difference of the pixels of each cell, over the three colours.

    Summed in whole numbers, so that every machine gets the same. A side of fewer pixels has fewer cells.
    """
    rows, columns = (_edges(size) for size in one.shape[:2])
    differences = np.maximum(one, other) - np.minimum(one, other)
    bands = np.stack([differences[top:bottom].sum(axis=0, dtype=np.uint32) for top, bottom in pairwise(rows)])
    sums = np.add.reduceat(bands.sum(axis=2), columns[:-1], axis=1)
    return np.asarray(sums / (3 * np.diff(rows)[:, np.newaxis] * np.diff(columns)))


def difference(one: NDArray[np.uint8], other: NDArray[np.uint8], enough: float = np.inf) -> float:
    """The largest difference of two windows (T, H, W, 3) in any cell of any frame, or the first above `enough`."""
    largest = 0.0
    for frames in zip(one, other, strict=True):
        largest = max(largest, float(cell_differences(*frames).max()))
        if largest > enough:
            break
    return largest


class StillWindows:
    """Goes along with the windows of a video and knows the last one that was not still."""

    def __init__(self) -> None:
        self._last: NDArray[np.uint8] | None = None

    def is_still(self, frames: NDArray[np.uint8]) -> bool:
        """Whether the next window shows what the last one that was not still showed; if not, it is the last one now.

        Not what the one before showed: what changes slowly would drift away unseen.
        """
        if self._last is not None and difference(frames, self._last, enough=NOISE) <= NOISE:
            return True
        self._last = frames
        return False


def _edges(size: int) -> list[int]:
    """Where the cells of a side begin, and where the last one ends."""
    cells = min(CELLS, size)
    return [number * size // cells for number in range(cells + 1)]

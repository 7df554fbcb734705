"""What a window looks like, in 64 grey values: enough to tell the same footage from other footage that is alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidsearch.records import PICTURE_SIDE

_SAMPLES = 8  # pixels taken of each cell in each direction


def grey_picture(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(T, H, W, 3) → (8, 8): the mean of the frames in cells of equal size."""
    rows, columns = (_sampled(size) for size in frames.shape[1:3])
    green = frames[:, rows[:, np.newaxis], columns, 1]  # most of what is bright to the eye
    cells = green.reshape(-1, PICTURE_SIDE, _SAMPLES, PICTURE_SIDE, _SAMPLES)
    return np.asarray(np.rint(cells.mean(axis=(0, 2, 4))), dtype=np.uint8)


def _sampled(size: int) -> NDArray[np.intp]:
    """Places of pixels over a side, evenly."""
    count = PICTURE_SIDE * _SAMPLES
    return np.asarray((np.arange(count) + 0.5) * size / count, dtype=np.intp)

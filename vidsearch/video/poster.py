"""Which of several frames of a moment shows most: the one to put on a page. Arithmetic alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_GRID = 64  # frames are compared at about this many pixels a side
_LEVELS = 8  # of red, green and blue each, of which colours are counted
_SAME = 0.25  # of 2.5: a frame that shows so little more than one nearer to the middle does not replace it


def most_telling(frames: NDArray[np.uint8]) -> int:
    """The number of the frame (N, H, W, 3) on which most can be seen; of equal ones that nearest to the middle.

    A frame shows more if it has more colours and edges, as one with a thing in front of a background has, and if it
    differs from the others: what moves is the frame's subject, and what stays when it has left is background. The last
    counts for half, since of a scene that changes slowly the first and last frames differ most and show no more.
    """
    small = _small(frames)
    shows = _spread(_colour_entropy(small)) + _spread(_edges(small)) + 0.5 * _spread(_difference(small))
    middle = (len(frames) - 1) / 2
    order = sorted(range(len(frames)), key=lambda number: abs(number - middle))
    best = order[0]
    for number in order[1:]:
        if shows[number] > shows[best] + _SAME:
            best = number
    return best


def _small(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, h, w, 3) in 0..1: means of blocks of pixels, so that noise and the codec's own edges do not count."""
    step_y, step_x = (max(1, side // _GRID) for side in frames.shape[1:3])
    rows, columns = frames.shape[1] // step_y, frames.shape[2] // step_x
    cut = frames[:, : rows * step_y, : columns * step_x]
    blocks = cut.reshape(len(frames), rows, step_y, columns, step_x, 3)
    return np.asarray(blocks.mean(axis=(2, 4), dtype=np.float32) / 255)


def _colour_entropy(small: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N,) bits: how evenly the pixels of each frame spread over the colours."""
    bins = np.minimum((small * _LEVELS).astype(np.int64), _LEVELS - 1) @ np.array([_LEVELS**2, _LEVELS, 1])
    counts = np.stack([np.bincount(frame.ravel(), minlength=_LEVELS**3) for frame in bins])
    shares = counts / counts.sum(axis=1, keepdims=True)
    return np.asarray(-(shares * np.log2(np.where(shares > 0, shares, 1))).sum(axis=1))


def _edges(small: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N,) how much neighbouring pixels differ on average."""
    across = np.abs(np.diff(small, axis=2)).mean(axis=(1, 2, 3))
    down = np.abs(np.diff(small, axis=1)).mean(axis=(1, 2, 3))
    return np.asarray(across + down, dtype=np.float64)


def _difference(small: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N,) how much each frame differs from all of them on average."""
    return np.array([np.abs(small - frame).mean() for frame in small], dtype=np.float64)


def _spread(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares of the largest value; zeros if there is nothing at all."""
    most = float(values.max(initial=0.0))
    return values / most if most > 1e-6 else np.zeros_like(values)

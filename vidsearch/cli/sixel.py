"""A picture as sixels: bands of six rows, a bit mask a column and colour (DEC STD 070, chapter 9)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LEVELS = 6  # of red, green and blue each: 216 colours, as many as every sixel terminal has registers for
_BAND = 6
# Bayer's thresholds, which turn lost levels into a pattern that the eye takes for a shade.
_BAYER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) / 16 - 15 / 32


def fitted(picture: NDArray[np.uint8], width_px: int, height_px: int) -> NDArray[np.uint8]:
    """The picture (H, W, 3) as large as it can be within a width and a height, by its nearest pixels."""
    scale = min(width_px / picture.shape[1], height_px / picture.shape[0])
    height, width = max(1, int(picture.shape[0] * scale)), max(1, int(picture.shape[1] * scale))
    rows = np.minimum((np.arange(height) + 0.5) / scale, picture.shape[0] - 1).astype(int)
    columns = np.minimum((np.arange(width) + 0.5) / scale, picture.shape[1] - 1).astype(int)
    return picture[rows][:, columns]


def sixel(picture: NDArray[np.uint8]) -> str:
    """uint8 RGB (H, W, 3) → the escape sequence that draws it, pixel for pixel."""
    height, width, _ = picture.shape
    colours = _colours(picture)
    used = np.unique(colours)
    out = [f'\x1bP0;1q"1;1;{width};{height}']
    for colour in used.tolist():
        red, green, blue = (100 * level // (_LEVELS - 1) for level in _levels_of(colour))
        out.append(f"#{colour};2;{red};{green};{blue}")
    for top in range(0, height, _BAND):
        band = colours[top : top + _BAND]
        bits = 1 << np.arange(len(band))[:, None]
        lines = [f"#{colour}{_runs((bits * (band == colour)).sum(axis=0))}" for colour in np.unique(band).tolist()]
        out.append("$".join(lines) + "-")
    out.append("\x1b\\")
    return "".join(out)


def _colours(picture: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(H, W) the number of each pixel's colour."""
    height, width, _ = picture.shape
    thresholds = np.tile(_BAYER, (height // 4 + 1, width // 4 + 1))[:height, :width, None]
    levels = np.rint(picture / 255 * (_LEVELS - 1) + thresholds).clip(0, _LEVELS - 1).astype(np.int64)
    return np.asarray(levels @ np.array([_LEVELS**2, _LEVELS, 1]))


def _levels_of(colour: int) -> tuple[int, int, int]:
    return colour // _LEVELS**2, colour // _LEVELS % _LEVELS, colour % _LEVELS


def _runs(masks: NDArray[np.int64]) -> str:
    """Columns as characters from `?` on, repeated ones as `!count`."""
    starts = np.concatenate([[0], np.flatnonzero(np.diff(masks)) + 1])
    lengths = np.diff(np.concatenate([starts, [len(masks)]]))
    pieces = []
    for mask, length in zip(masks[starts].tolist(), lengths.tolist(), strict=True):
        sign = chr(63 + mask)
        pieces.append(f"!{length}{sign}" if length > 3 else sign * length)
    return "".join(pieces)

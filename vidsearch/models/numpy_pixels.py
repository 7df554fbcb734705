"""What `pixels.py` does, without torch; and clips drawn by a formula, so that any machine can prove an export."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidsearch.models.preprocessing import Preprocessing

_WHITE = 255
_DRAWN = (  # colour of the ground, of the disc, and the way that it goes, in sides a clip
    ((200, 60, 40), (30, 220, 90), (0.5, 0.0)),
    ((25, 70, 190), (250, 230, 40), (-0.4, 0.3)),
    ((40, 140, 60), (240, 240, 235), (0.0, -0.6)),
    ((150, 150, 160), (20, 15, 30), (0.3, 0.4)),
)


def normalised_clips(pixels: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """(B, T, H, W, 3) uint8 RGB → (B, T, 3, H, W) float32, (p / 255 − mean) / std."""
    centre = np.array([_WHITE * value for value in preprocessing.mean], np.float32)
    scale = np.array([1 / (_WHITE * value) for value in preprocessing.std], np.float32)
    return np.ascontiguousarray(np.moveaxis((pixels.astype(np.float32) - centre) * scale, -1, -3))


def drawn_clips(preprocessing: Preprocessing, count: int = len(_DRAWN)) -> NDArray[np.uint8]:
    """(count, T, side, side, 3): discs that move over a ground with a shade, each of other colours, another way."""
    side, frames = preprocessing.side_px, preprocessing.frames
    y, x = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side), indexing="ij")
    clips = np.empty((count, frames, side, side, 3), np.uint8)
    for number in range(count):
        ground, disc, (right, down) = _DRAWN[number % len(_DRAWN)]
        shade = 0.75 + 0.25 * np.sin((3 + number) * x + 2 * y)
        for frame in range(frames):
            moved = (frame / max(1, frames - 1) - 0.5) * 2
            inside = (x - right * moved) ** 2 + (y - down * moved) ** 2 < 0.12
            clips[number, frame] = np.where(inside[..., None], disc, np.array(ground) * shade[..., None])
    return clips

"""The size of the picture that a model wants, from the size of the picture that is shown."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vidsearch.records import FrameSpec

MOST_PIXELS = 36_000_000  # of a picture that is kept as it is, somewhat more than 8K; a larger one is scaled down
_LONGEST = 16  # times the shorter side; a longer picture is squeezed


def scaled_size(width_px: float, height_px: float, spec: FrameSpec) -> tuple[int, int]:
    """Width and height to scale an upright picture to before `cut_square`.

    `squash` takes the square itself; `centre-crop` brings the shorter side to it and keeps the aspect ratio; `inside`
    brings the longer side to it, enlarges nothing and gives even sides, which JPEG wants; `as-is` makes the pixels
    square and nothing else. What a file states of its sizes cannot ask for more memory than a picture
    of `MOST_PIXELS` takes, or one of 16 : 1.
    """
    width_px, height_px = min(width_px, _LONGEST * height_px), min(height_px, _LONGEST * width_px)
    if spec.fit == "as-is":
        shrink = min(1.0, math.sqrt(MOST_PIXELS / (width_px * height_px)))
        return max(1, round(width_px * shrink)), max(1, round(height_px * shrink))
    if spec.fit == "inside":
        shrink = min(1.0, spec.side_px / max(width_px, height_px))
        return _even(width_px * shrink), _even(height_px * shrink)
    if spec.fit == "squash":
        return spec.side_px, spec.side_px
    scale = spec.side_px / min(width_px, height_px)
    return max(spec.side_px, round(width_px * scale)), max(spec.side_px, round(height_px * scale))


def cut_square(frames: NDArray[np.uint8], spec: FrameSpec) -> NDArray[np.uint8]:
    """The middle square of (..., H, W, 3) frames that have the size of `scaled_size`; all of them if kept whole."""
    if spec.fit in ("inside", "as-is"):
        return frames
    top = (frames.shape[-3] - spec.side_px) // 2
    left = (frames.shape[-2] - spec.side_px) // 2
    return frames[..., top : top + spec.side_px, left : left + spec.side_px, :]


def _even(side_px: float) -> int:
    return max(2, 2 * round(side_px / 2))

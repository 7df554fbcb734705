"""Frames → normalised pixels, as the two encoders of Mobile-VideoGPT were trained: two resizes, two statistics.

The image tower sees what Pillow's bicubic resize (antialiased, aspect kept) and a centre crop give; the video encoder
what OpenCV's bilinear resize (not antialiased, squashed) gives. Both are repeated here to the bit with numpy, and
neither library is needed (`resize.py`).

Axes: H height, W width of a frame, N frames, S side of the square that a network takes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidsearch.models.mobilevideogpt.config import CLIP_PIXELS, IMAGENET_PIXELS, PixelStatistics
from vidsearch.models.mobilevideogpt.resize import (
    PILLOW_BITS,
    BicubicAxis,
    bilinear_columns,
    bilinear_rows,
    crop_axes,
)
from vidsearch.models.pixels import normalise_pixels

SIDE_PX = 224
Frame = NDArray[np.uint8]  # (H, W, 3) RGB

_TILE = 32  # outputs computed by one matrix product; a narrow band of the inputs reaches them


def preprocess_image(frames: Sequence[Frame], side_px: int = SIDE_PX) -> Tensor:
    """Frames (H, W, 3) uint8 RGB → (N, 3, S, S) float32 for the image tower: shorter side to S, centre crop, CLIP."""
    return _normalised([_centre_square(checked(frame), side_px) for frame in frames], CLIP_PIXELS, side_px)


def preprocess_video(frames: Sequence[Frame], side_px: int = SIDE_PX) -> Tensor:
    """Frames (H, W, 3) uint8 RGB → (N, 3, S, S) float32 for the video encoder: squashed to S×S, ImageNet statistics."""
    return _normalised([_squashed(checked(frame), side_px) for frame in frames], IMAGENET_PIXELS, side_px)


def pad_frames(pixels: Tensor, frames: int) -> Tensor:
    """(N, 3, S, S) → (frames, 3, S, S): zeros, that is pictures of the mean colour, after the last of a short clip."""
    missing = frames - len(pixels)
    return pixels if missing == 0 else torch.cat((pixels, pixels.new_zeros(missing, *pixels.shape[1:])))


def checked(frame: Frame) -> Frame:
    """The frame. Raises ValueError for anything but (H, W, 3) uint8."""
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
        raise ValueError(f"a frame is (H, W, 3) uint8, not {frame.shape} {frame.dtype}")
    return frame


def _normalised(squares: Sequence[Frame], statistics: PixelStatistics, side_px: int) -> Tensor:
    """N × (S, S, 3) uint8 → (N, 3, S, S) float32."""
    if not squares:
        return torch.empty(0, 3, side_px, side_px)
    return normalise_pixels(torch.from_numpy(np.stack(squares)), statistics.mean, statistics.std).contiguous()


def _centre_square(frame: Frame, side_px: int) -> Frame:
    """(H, W, 3) → (S, S, 3): bicubic with the shorter side to S, then the middle.

    Only what the crop keeps is made, and of a picture far from square only what that needs is touched.
    """
    height, width = frame.shape[:2]
    down, across, rows_first = crop_axes(height, width, side_px)
    planes = frame[down.low : down.high, across.low : across.high].transpose(2, 0, 1)  # (3, h, w)
    if rows_first:
        narrow = _resampled(planes.swapaxes(1, 2), down)  # (3, w, S)
        square = _resampled(narrow.swapaxes(1, 2), across)  # (3, S, S): channel, row, column
    else:
        low = _resampled(planes, across)  # (3, h, S)
        square = _resampled(low.swapaxes(1, 2), down).swapaxes(1, 2)
    return np.ascontiguousarray(square.transpose(1, 2, 0))


def _resampled(lines: NDArray[np.uint8], axis: BicubicAxis) -> NDArray[np.uint8]:
    """(…, high − low) inputs of the axis → (…, S) uint8."""
    if axis.unchanged:
        return lines
    out = np.empty((*lines.shape[:-1], axis.outputs), np.uint8)
    for start in range(0, axis.outputs, _TILE):
        tile = slice(start, start + _TILE)
        inputs, matrix = axis.band(tile.start, tile.stop)
        sums = np.ascontiguousarray(lines[..., inputs], dtype=np.float64) @ matrix
        levels = np.floor((sums + (1 << (PILLOW_BITS - 1))) / (1 << PILLOW_BITS))
        out[..., tile] = np.clip(levels, 0, 255)
    return out


def _squashed(frame: Frame, side_px: int) -> Frame:
    """(H, W, 3) → (S, S, 3): each output pixel from the four inputs around its centre."""
    height, width = frame.shape[:2]
    if (height, width) == (side_px, side_px):
        return frame
    x, y = bilinear_columns(width, side_px), bilinear_rows(height, side_px)

    def across(rows: NDArray[np.int64]) -> NDArray[np.int32]:
        near, far = (frame[rows[:, None], columns].astype(np.int32) for columns in (x.near, x.far))  # (S, S, 3) each
        mixed: NDArray[np.int32] = near * x.near_weights[:, None] + far * x.far_weights[:, None]
        return mixed >> 4  # the vertical pass works on 16-bit numbers

    above = (across(y.near) * y.near_weights[:, None, None]) >> 16
    below = (across(y.far) * y.far_weights[:, None, None]) >> 16
    return ((above + below + 2) >> 2).astype(np.uint8)

"""Frames → normalised pixels on an accelerator: `pixels.py` in torch's operations, from one upload of the frame.

In float64 the results are those of `pixels.py` to the bit, as every sum is exact; where a device has no float64 (mps),
float32 may round a level of 255 the other way.

Axes: H height, W width of a frame, N frames, S side of the square that a network takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from vidsearch.models.mobilevideogpt.config import CLIP_PIXELS, IMAGENET_PIXELS
from vidsearch.models.mobilevideogpt.pixels import Frame, checked
from vidsearch.models.mobilevideogpt.resize import (
    PILLOW_BITS,
    BicubicAxis,
    bilinear_columns,
    bilinear_rows,
    crop_axes,
)
from vidsearch.models.pixels import normalise_pixels


def preprocess_on(
    device: torch.device,
    frames: Sequence[Frame],
    image_side_px: int,
    video_side_px: int,
    dtype: torch.dtype | None = None,
) -> tuple[Tensor, Tensor]:
    """Frames (H, W, 3) uint8 RGB → (N, 3, S, S) float32 on the device, for the image tower and the video encoder.

    `dtype` is that of the sums; None: the widest that the device has.
    """
    dtype = dtype or (torch.float32 if device.type == "mps" else torch.float64)
    sent = [torch.from_numpy(np.require(checked(frame), requirements=["C", "W"])).to(device) for frame in frames]
    image = torch.stack([_centre_square(frame, image_side_px, dtype) for frame in sent])
    video = torch.stack([_squashed(frame, video_side_px) for frame in sent])
    return (
        normalise_pixels(image, CLIP_PIXELS.mean, CLIP_PIXELS.std).contiguous(),
        normalise_pixels(video, IMAGENET_PIXELS.mean, IMAGENET_PIXELS.std).contiguous(),
    )


def _centre_square(frame: Tensor, side_px: int, dtype: torch.dtype) -> Tensor:
    """(H, W, 3) uint8 → (S, S, 3) whole numbers: Pillow's bicubic with the shorter side to S, then the middle."""
    height, width = frame.shape[:2]
    crop = _crop(height, width, side_px, frame.device, dtype)
    planes = frame[crop.rows, crop.columns].permute(2, 0, 1).to(dtype)  # (3, h, w)
    if crop.rows_first:
        square = _resampled(_resampled(planes.mT, crop.down).mT, crop.across)  # (3, S, S): channel, row, column
    else:
        square = _resampled(_resampled(planes, crop.across).mT, crop.down).mT
    return square.permute(1, 2, 0)


def _resampled(lines: Tensor, weights: Tensor | None) -> Tensor:
    """(…, inputs) of an axis, weights (inputs, S) → (…, S) whole numbers in 0…255; None leaves out the pass."""
    return lines if weights is None else torch.floor(lines @ weights + 0.5).clamp(0, 255)


@dataclass(frozen=True, slots=True)
class _Crop:
    """The part of a frame that the square is made of, and the weights (inputs, S) along both of its axes."""

    rows: slice
    columns: slice
    down: Tensor | None
    across: Tensor | None
    rows_first: bool


# Frames of a clip have one size: what depends on it is made and sent once.


@lru_cache(maxsize=4)
def _crop(height: int, width: int, side_px: int, device: torch.device, dtype: torch.dtype) -> _Crop:
    def weights(axis: BicubicAxis) -> Tensor | None:
        if axis.unchanged:
            return None
        _, matrix = axis.band(0, axis.outputs)
        return torch.from_numpy(matrix / (1 << PILLOW_BITS)).to(dtype).to(device)  # exact in float64

    down, across, rows_first = crop_axes(height, width, side_px)
    return _Crop(slice(down.low, down.high), slice(across.low, across.high), weights(down), weights(across), rows_first)


@lru_cache(maxsize=4)
def _bilinear(height: int, width: int, side_px: int, device: torch.device) -> tuple[tuple[Tensor, ...], ...]:
    """Of columns and of rows: near and far inputs and their weights (S,)."""
    axes = bilinear_columns(width, side_px), bilinear_rows(height, side_px)
    return tuple(
        tuple(torch.from_numpy(x).to(device) for x in (axis.near, axis.far, axis.near_weights, axis.far_weights))
        for axis in axes
    )


def _squashed(frame: Tensor, side_px: int) -> Tensor:
    """(H, W, 3) uint8 → (S, S, 3) whole numbers: OpenCV's bilinear resize, in its integers."""
    height, width = frame.shape[:2]
    if (height, width) == (side_px, side_px):
        return frame
    (left, right, left_weights, right_weights), (top, bottom, top_weights, bottom_weights) = _bilinear(
        height, width, side_px, frame.device
    )

    def across(rows: Tensor) -> Tensor:
        near, far = (frame[rows[:, None], columns].int() for columns in (left, right))  # (S, S, 3) each
        return (near * left_weights[:, None] + far * right_weights[:, None]) >> 4  # rows work on 16-bit numbers

    above = (across(top) * top_weights[:, None, None]) >> 16
    below = (across(bottom) * bottom_weights[:, None, None]) >> 16
    return (above + below + 2) >> 2

"""Frames → normalised pixels, as the two encoders of Mobile-VideoGPT were trained: two resizes, two statistics.

The image tower sees what Pillow's bicubic resize (antialiased, aspect kept) and a centre crop give; the video encoder
what OpenCV's bilinear resize (not antialiased, squashed) gives. Both libraries work on uint8 in fixed point, so both
are repeated here to the bit with numpy, and neither is needed:

- Pillow 13, libImaging/Resample.c: `precompute_coeffs`, `normalize_coeffs_8bpc`, and which of the two passes is first;
- OpenCV, imgproc/resize.cpp: `HResizeLinear`, `VResizeLinear` with 11-bit coefficients.

Axes: H height, W width of a frame, N frames, S side of the square that a network takes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidsearch.models.mobilevideogpt.config import CLIP_PIXELS, IMAGENET_PIXELS, PixelStatistics
from vidsearch.models.pixels import normalise_pixels

SIDE_PX = 224
Frame = NDArray[np.uint8]  # (H, W, 3) RGB

_PILLOW_BITS = 22  # Resample.c PRECISION_BITS = 32 - 8 - 2
_OPENCV_BITS = 11  # resize.cpp INTER_RESIZE_COEF_BITS
_BICUBIC_REACH = 2.0
_TILE = 32  # outputs computed by one matrix product; a narrow band of the inputs reaches them


def preprocess_image(frames: Sequence[Frame], side_px: int = SIDE_PX) -> Tensor:
    """Frames (H, W, 3) uint8 RGB → (N, 3, S, S) float32 for the image tower: shorter side to S, centre crop, CLIP."""
    return _normalised([_centre_square(_checked(frame), side_px) for frame in frames], CLIP_PIXELS, side_px)


def preprocess_video(frames: Sequence[Frame], side_px: int = SIDE_PX) -> Tensor:
    """Frames (H, W, 3) uint8 RGB → (N, 3, S, S) float32 for the video encoder: squashed to S×S, ImageNet statistics."""
    return _normalised([_squashed(_checked(frame), side_px) for frame in frames], IMAGENET_PIXELS, side_px)


def pad_frames(pixels: Tensor, frames: int) -> Tensor:
    """(N, 3, S, S) → (frames, 3, S, S): zeros, that is pictures of the mean colour, after the last of a short clip."""
    missing = frames - len(pixels)
    return pixels if missing == 0 else torch.cat((pixels, pixels.new_zeros(missing, *pixels.shape[1:])))


def _checked(frame: Frame) -> Frame:
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
        raise ValueError(f"a frame is (H, W, 3) uint8, not {frame.shape} {frame.dtype}")
    return frame


def _normalised(squares: Sequence[Frame], statistics: PixelStatistics, side_px: int) -> Tensor:
    """N × (S, S, 3) uint8 → (N, 3, S, S) float32."""
    if not squares:
        return torch.empty(0, 3, side_px, side_px)
    return normalise_pixels(torch.from_numpy(np.stack(squares)), statistics.mean, statistics.std).contiguous()


# ── Pillow: bicubic, antialiased ─────────────────────────────────────────────────────────────────────────────────────


def _centre_square(frame: Frame, side_px: int) -> Frame:
    """(H, W, 3) → (S, S, 3): bicubic with the shorter side to S, then the middle. Only what the crop keeps is made."""
    height, width = frame.shape[:2]
    short = min(height, width)
    new_height, new_width = int(side_px * height / short), int(side_px * width / short)
    across = _Resize(width, new_width, _centre(new_width, side_px))
    down = _Resize(height, new_height, _centre(new_height, side_px))
    # Of a picture far from square the crop leaves little: what it does not reach is not touched.
    planes = frame[down.low : down.high, across.low : across.high].transpose(2, 0, 1)  # (3, h, w)
    if _vertical_first(height - new_height, width - new_width):
        narrow = down(planes.swapaxes(1, 2))  # (3, w, S)
        square = across(narrow.swapaxes(1, 2))  # (3, S, S): channel, row, column
    else:
        low = across(planes)  # (3, h, S)
        square = down(low.swapaxes(1, 2)).swapaxes(1, 2)
    return np.ascontiguousarray(square.transpose(1, 2, 0))


def _vertical_first(rows_lost: int, columns_lost: int) -> bool:
    """Pillow 13's order of the two passes; both round to uint8, so the order shows. Before Pillow 13: always False."""
    return rows_lost > max(0, 2 * columns_lost)


def _centre(size: int, side_px: int) -> range:
    start = (size - side_px) // 2
    return range(start, start + side_px)


class _Resize:
    """Some outputs of a bicubic resize of one axis from `size` to `new_size`, made of the inputs `low` … `high` − 1.

    Sums of integer coefficients × uint8 stay below 2^53: in float64 they are exact in any order, so a matrix product
    does what Pillow's integer loop does.
    """

    def __init__(self, size: int, new_size: int, wanted: range) -> None:
        self._same = new_size == size  # Pillow leaves out the pass
        self._count = len(wanted)
        if self._same:
            self.low, self.high = wanted.start, wanted.stop
            return
        first, self._coefficients = _bicubic_coefficients(size, new_size, wanted)
        self.low, self.high = int(first[0]), min(size, int(first[-1]) + self._coefficients.shape[1])
        self._first = first - self.low

    def __call__(self, lines: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(…, high − low) inputs → (…, outputs) uint8."""
        if self._same:
            return lines
        out = np.empty((*lines.shape[:-1], self._count), np.uint8)
        for start in range(0, self._count, _TILE):
            tile = slice(start, start + _TILE)
            first, coefficients = self._first[tile], self._coefficients[tile]
            low, high = int(first[0]), min(lines.shape[-1], int(first[-1]) + coefficients.shape[1])
            band = np.ascontiguousarray(lines[..., low:high], dtype=np.float64)
            sums = band @ _banded(coefficients, first - low, high - low)
            levels = np.floor((sums + (1 << (_PILLOW_BITS - 1))) / (1 << _PILLOW_BITS))
            out[..., tile] = np.clip(levels, 0, 255)
        return out


def _banded(coefficients: NDArray[np.float64], first: NDArray[np.int64], height: int) -> NDArray[np.float64]:
    """(O, K) taps that start at input first[o] → (height, O) matrix; taps past the last input are zero."""
    outputs, taps = coefficients.shape
    matrix = np.zeros((height + taps, outputs))
    matrix[first[:, None] + np.arange(taps), np.arange(outputs)[:, None]] = coefficients
    return matrix[:height]


def _bicubic_coefficients(size: int, new_size: int, wanted: range) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """First input (O,) and the integer coefficients (O, K) of each wanted output; whole numbers held as float64."""
    scale = size / new_size
    stretch = max(scale, 1.0)
    reach = _BICUBIC_REACH * stretch
    centre = (np.arange(wanted.start, wanted.stop) + 0.5) * scale
    first = np.maximum((centre - reach + 0.5).astype(np.int64), 0)
    end = np.minimum((centre + reach + 0.5).astype(np.int64), size)
    inputs = first[:, None] + np.arange(int((end - first).max()))
    weights = np.where(inputs < end[:, None], _bicubic((inputs - centre[:, None] + 0.5) * (1.0 / stretch)), 0.0)
    total = np.cumsum(weights, axis=1)[:, -1:]  # one after the other, as the C loop: np.sum adds pairwise
    scaled = weights / total * (1 << _PILLOW_BITS)
    return first, np.trunc(scaled + np.where(weights < 0, -0.5, 0.5))


def _bicubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic kernel with a = −1/2."""
    a = -0.5
    x = np.abs(x)
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


# ── OpenCV: bilinear, not antialiased ────────────────────────────────────────────────────────────────────────────────


def _squashed(frame: Frame, side_px: int) -> Frame:
    """(H, W, 3) → (S, S, 3): each output pixel from the four inputs around its centre."""
    height, width = frame.shape[:2]
    if (height, width) == (side_px, side_px):
        return frame
    left, (near_x, far_x) = _bilinear_taps(width, side_px)
    outside = (left < 0) | (left >= width - 1)  # in x the nearest column takes all the weight
    near_x, far_x = np.where(outside, 1 << _OPENCV_BITS, near_x), np.where(outside, 0, far_x)
    left = np.clip(left, 0, width - 1)
    right = np.minimum(left + 1, width - 1)
    top, (near_y, far_y) = _bilinear_taps(height, side_px)  # in y the border row is used twice, weights as they are

    def across(rows: NDArray[np.int64]) -> NDArray[np.int32]:
        of_rows = np.clip(rows, 0, height - 1)[:, None]
        near, far = (frame[of_rows, columns].astype(np.int32) for columns in (left, right))  # (S, S, 3) each
        mixed: NDArray[np.int32] = near * near_x[:, None] + far * far_x[:, None]
        return mixed >> 4  # the vertical pass works on 16-bit numbers

    above = (across(top) * near_y[:, None, None]) >> 16
    below = (across(top + 1) * far_y[:, None, None]) >> 16
    return ((above + below + 2) >> 2).astype(np.uint8)


def _bilinear_taps(size: int, new_size: int) -> tuple[NDArray[np.int64], tuple[NDArray[np.int32], NDArray[np.int32]]]:
    """Of each output: the input before its centre (may be −1), and the 11-bit weights of that one and the next."""
    scale = 1.0 / (new_size / size)  # in this order: the rounding is OpenCV's
    centre = ((np.arange(new_size) + 0.5) * scale - 0.5).astype(np.float32)
    before = np.floor(centre)
    after_share = centre - before
    one, unit = np.float32(1), np.float32(1 << _OPENCV_BITS)
    weights = (np.rint((one - after_share) * unit).astype(np.int32), np.rint(after_share * unit).astype(np.int32))
    return before.astype(np.int64), weights

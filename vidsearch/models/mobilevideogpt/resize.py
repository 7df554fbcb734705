"""The numbers of Pillow's bicubic and OpenCV's bilinear resize, from which both are repeated to the bit.

Both libraries work on uint8 in fixed point:

- Pillow 13, libImaging/Resample.c: `precompute_coeffs`, `normalize_coeffs_8bpc`, and which of the two passes is first;
- OpenCV, imgproc/resize.cpp: `HResizeLinear`, `VResizeLinear` with 11-bit coefficients.

`pixels.py` applies them with numpy, `device_pixels.py` with torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PILLOW_BITS = 22  # Resample.c PRECISION_BITS = 32 - 8 - 2
_OPENCV_BITS = 11  # resize.cpp INTER_RESIZE_COEF_BITS
_BICUBIC_REACH = 2.0


class BicubicAxis:
    """Some outputs of a bicubic resize of one axis from `size` to `new_size`, made of the inputs `low` … `high` − 1.

    `unchanged`: the sizes are equal, and Pillow leaves out the pass.
    """

    def __init__(self, size: int, new_size: int, wanted: range) -> None:
        self.outputs = len(wanted)
        self.unchanged = new_size == size
        if self.unchanged:
            self.low, self.high = wanted.start, wanted.stop
            return
        first, self._coefficients = _bicubic_coefficients(size, new_size, wanted)
        self.low, self.high = int(first[0]), min(size, int(first[-1]) + self._coefficients.shape[1])
        self._first = first - self.low

    def band(self, start: int, stop: int) -> tuple[slice, NDArray[np.float64]]:
        """Of the outputs `start` … `stop` − 1: the inputs that reach them, counted from `low`, and (inputs, outputs).

        The numbers are whole, in units of 2^−PILLOW_BITS. Their sums with uint8 stay below 2^53: in float64 they are
        exact in any order, so a matrix product does what Pillow's integer loop does.
        """
        first, coefficients = self._first[start:stop], self._coefficients[start:stop]
        low, high = int(first[0]), min(self.high - self.low, int(first[-1]) + coefficients.shape[1])
        return slice(low, high), _banded(coefficients, first - low, high - low)


@dataclass(frozen=True, slots=True)
class BilinearAxis:
    """Of each output of a bilinear resize: two inputs (O,), and their weights (O,) in 11 bits."""

    near: NDArray[np.int64]
    far: NDArray[np.int64]
    near_weights: NDArray[np.int32]
    far_weights: NDArray[np.int32]


def bilinear_columns(size: int, new_size: int) -> BilinearAxis:
    """Along x: outside the picture the nearest column takes all the weight."""
    before, near_weights, far_weights = _bilinear_taps(size, new_size)
    outside = (before < 0) | (before >= size - 1)
    near = np.clip(before, 0, size - 1)
    return BilinearAxis(
        near,
        np.minimum(near + 1, size - 1),
        np.where(outside, np.int32(1 << _OPENCV_BITS), near_weights),
        np.where(outside, np.int32(0), far_weights),
    )


def bilinear_rows(size: int, new_size: int) -> BilinearAxis:
    """Along y: the border row is used twice, with the weights as they are."""
    before, near_weights, far_weights = _bilinear_taps(size, new_size)
    return BilinearAxis(np.clip(before, 0, size - 1), np.clip(before + 1, 0, size - 1), near_weights, far_weights)


def crop_axes(height: int, width: int, side_px: int) -> tuple[BicubicAxis, BicubicAxis, bool]:
    """Rows and columns of the shorter side's resize to `side_px` with the middle cut out; whether rows come first.

    Both passes round to uint8, so their order shows. Before Pillow 13 columns always came first.
    """
    short = min(height, width)
    new_height, new_width = int(side_px * height / short), int(side_px * width / short)
    rows_first = height - new_height > max(0, 2 * (width - new_width))
    return _middle(height, new_height, side_px), _middle(width, new_width, side_px), rows_first


def _middle(size: int, new_size: int, side_px: int) -> BicubicAxis:
    start = (new_size - side_px) // 2
    return BicubicAxis(size, new_size, range(start, start + side_px))


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
    scaled = weights / total * (1 << PILLOW_BITS)
    return first, np.trunc(scaled + np.where(weights < 0, -0.5, 0.5))


def _bicubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic kernel with a = −1/2."""
    a = -0.5
    x = np.abs(x)
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _bilinear_taps(size: int, new_size: int) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """Of each output: the input before its centre (may be −1), and the 11-bit weights of that one and the next."""
    scale = 1.0 / (new_size / size)  # in this order: the rounding is OpenCV's
    centre = ((np.arange(new_size) + 0.5) * scale - 0.5).astype(np.float32)
    before = np.floor(centre)
    after_share = centre - before
    one, unit = np.float32(1), np.float32(1 << _OPENCV_BITS)
    near, far = (np.rint(share * unit).astype(np.int32) for share in (one - after_share, after_share))
    return before.astype(np.int64), near, far

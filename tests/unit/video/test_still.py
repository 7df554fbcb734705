"""A window is still only if no frame of it differs anywhere from what an earlier window showed by more than noise."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vidsearch.video.still import NOISE, StillWindows, cell_differences, difference

RANDOM = np.random.default_rng(3)
PICTURE = RANDOM.integers(60, 200, (64, 96, 3), np.uint8)


def window(picture: NDArray[np.uint8], noise: float = 0.0) -> NDArray[np.uint8]:
    """(8, H, W, 3): frames of one picture, each with grain of its own."""
    grain = RANDOM.normal(0, noise, (8, *picture.shape))
    return np.asarray((picture + grain).clip(0, 255), dtype=np.uint8)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (100, 260), (16, 17), (8, 3)])
def test_cells_are_compared_pixel_by_pixel(height: int, width: int) -> None:
    one, other = RANDOM.integers(0, 256, (2, height, width, 3), np.uint8)
    found = cell_differences(one, other)
    rows, columns = min(16, height), min(16, width)
    assert found.shape == (rows, columns)
    cell = np.s_[height * 2 // rows : height * 3 // rows, width // columns : width * 2 // columns]
    assert found[2, 1] == pytest.approx(np.abs(one[cell].astype(float) - other[cell]).mean())


def test_grain_is_still() -> None:
    windows = StillWindows()
    assert [windows.is_still(window(PICTURE, noise=1.5)) for _ in range(4)] == [False, True, True, True]


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_a_colour_that_changes_in_one_place_of_one_frame_is_seen(channel: int) -> None:
    windows = StillWindows()
    assert not windows.is_still(window(PICTURE))
    changed = window(PICTURE)
    changed[5, 20:24, 30:36, channel] = 255  # one cell of 256
    assert not windows.is_still(changed)
    assert windows.is_still(changed)


def test_what_moves_within_a_cell_is_seen() -> None:
    """The mean of the cell stays the same: points of light on a dark ground, a pixel further on."""
    lights = np.zeros((64, 64, 3), np.uint8)
    lights[1::4, 1::4] = 200
    windows = StillWindows()
    assert not windows.is_still(window(lights))
    assert not windows.is_still(window(np.roll(lights, 1, axis=1)))


def test_a_slow_change_does_not_drift_away() -> None:
    """Each window differs from the one before by less than noise, and from the last one with a vector by more."""
    windows = StillWindows()
    levels = [100 + int(NOISE) * number // 2 for number in range(9)]
    still = [windows.is_still(window(np.full((32, 32, 3), level, np.uint8))) for level in levels]
    assert still == [False, True, True, False, True, True, False, True, True]


def test_the_same_pictures_in_another_order_are_not_still() -> None:
    frames = np.stack([np.full((32, 32, 3), 20 * number, np.uint8) for number in range(8)])
    assert difference(frames, frames[::-1]) == 140
    assert difference(frames, frames[::-1], enough=NOISE) == 140  # of the first frame: no other is looked at

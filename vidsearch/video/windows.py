"""Duration → windows and the times of their frames; arithmetic alone."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vidsearch.errors import VidsearchError
from vidsearch.records import ClipWindow, WindowSpec
from vidsearch.video.timeline import stretches

# Times are rounded to the microsecond, so that windows which share a frame share the very same number.
_DECIMALS = 6


def cut_windows(start_s: float, duration_s: float, spec: WindowSpec) -> list[ClipWindow]:
    """Windows of `spec.length_s`, one every `spec.stride_s`; the last one ends with the video.

    Frame i of a window lies at its start + (i + 0.5) · length / frames, the middle of its share. A video no longer
    than one window is one window of its own length. With the default spec neighbouring windows share half their
    times exactly; the last window, aligned to the end, may share none.

    Raises VidsearchError if the spec asks for no frames, or for a length or stride that is not positive.
    """
    check_spec(spec)
    if duration_s <= spec.length_s:
        return [window_at(start_s, max(duration_s, 0.0), spec.frames)]
    last_s = duration_s - spec.length_s
    # A start within a microsecond of the last one is the last one: no window comes twice for a rounding error.
    whole = math.ceil((last_s - 10**-_DECIMALS) / spec.stride_s)
    offsets = [number * spec.stride_s for number in range(whole)]
    return [window_at(start_s + offset, spec.length_s, spec.frames) for offset in [*offsets, last_s]]


def windows_of(starts_s: NDArray[np.float64], end_s: float, spec: WindowSpec) -> list[ClipWindow]:
    """The windows of a video whose pictures begin at `starts_s` (N,), ascending, and whose last one ends at `end_s`.

    Each stretch of pictures is cut by itself: a window in which no picture begins does not exist, and there are no more
    windows than pictures for every stride of a window's length.
    """
    check_spec(spec)
    return [
        window
        for start_s, stretch_end_s in stretches(starts_s, end_s, spec.length_s)
        for window in cut_windows(start_s, stretch_end_s - start_s, spec)
    ]


def window_at(start_s: float, length_s: float, frames: int) -> ClipWindow:
    """One window; its frames as `cut_windows` says."""
    times = tuple(round(start_s + (i + 0.5) * length_s / frames, _DECIMALS) for i in range(frames))
    return ClipWindow(round(start_s, _DECIMALS), round(start_s + length_s, _DECIMALS), times)


def check_spec(spec: WindowSpec) -> None:
    """Raises VidsearchError for one that cuts nothing."""
    if spec.frames < 1 or not spec.length_s > 0 or not spec.stride_s > 0:
        raise VidsearchError(
            f"A window of {spec.length_s} s every {spec.stride_s} s with {spec.frames} frames cannot be cut: "
            "give a length and a stride above zero, and at least one frame."
        )

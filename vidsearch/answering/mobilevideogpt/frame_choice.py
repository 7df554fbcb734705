"""A range of a video → the frames to look at; arithmetic alone.

The default is the reference's rule, which leaves out the tail of a short range (`frame_sampling.py`); with coverage
"full" the frames are spread over all of it instead.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidsearch.answering.interface import Coverage, TimeRange
from vidsearch.errors import VidsearchError
from vidsearch.models.mobilevideogpt.frame_sampling import FRAMES, sample_frames
from vidsearch.records import ClipWindow, VideoFacts
from vidsearch.timecode import clock

_MICROSECOND = 1e-6


def choose_frames(
    wanted: TimeRange, coverage: Coverage, facts: VideoFacts, starts_s: NDArray[np.float64]
) -> list[ClipWindow]:
    """One window for each frame to look at, at most 16: [the range's start, its end) and the frame's own time.

    `starts_s` (N,) is when each frame begins. A range between two frames shows the frame before it. Empty if the
    range begins after the clip's end, or ends before its start: `outside` says so.
    """
    start_s, end_s = within(wanted, facts)
    if start_s >= end_s:
        return []
    low = max(int(np.searchsorted(starts_s, start_s + _MICROSECOND, side="right")) - 1, 0)  # the frame shown at start
    high = max(int(np.searchsorted(starts_s, end_s - _MICROSECOND, side="left")), low + 1)
    shown = starts_s[low:high]
    rule = spread_frames if coverage == "full" else sample_frames
    numbers = rule(len(shown), len(shown) / (end_s - start_s))
    return [ClipWindow(start_s, end_s, (float(shown[number]),)) for number in numbers]


def spread_frames(n_frames: int, _fps: float) -> list[int]:
    """Frame numbers over the whole clip, ascending: the middles of 16 equal shares, or all frames of a short clip."""
    if n_frames <= FRAMES:
        return list(range(n_frames))
    return [int((share + 0.5) * n_frames / FRAMES) for share in range(FRAMES)]


def within(wanted: TimeRange, facts: VideoFacts) -> tuple[float, float]:
    """The part of the range that the clip has; start ≥ end if it has none of it."""
    first_s, last_s = facts.start_s, facts.start_s + facts.picture_s
    start_s = first_s if wanted.start_s is None else max(wanted.start_s, first_s)
    return start_s, last_s if wanted.end_s is None else min(wanted.end_s, last_s)


def outside(wanted: TimeRange, facts: VideoFacts, path: Path) -> VidsearchError:
    """What to tell a user whose range the clip does not have."""
    first_s, last_s = facts.start_s, facts.start_s + facts.picture_s
    start = clock(first_s if wanted.start_s is None else wanted.start_s)
    span = f"from {start} on" if wanted.end_s is None else f"{start}-{clock(wanted.end_s)}"
    return VidsearchError(
        f"The range {span} lies outside {path}, which goes from {clock(first_s)} to {clock(last_s)}; "
        "give a range within it."
    )

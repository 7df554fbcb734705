"""Which frames of a clip are looked at: the reference's rule for one video file.

Source: the released program's loader (inference settings): one frame per second, at most and at least 16.
"""

from __future__ import annotations

import math

import numpy as np

FRAMES = 16


def sample_frames(n_frames: int, fps: float) -> list[int]:
    """Frame numbers to decode, ascending: 16, or all of them when the clip has fewer.

    The rule leaves out the tail of a clip that has 16 frames or more and lasts less than about 16 s: the step between
    frames is a whole number. Two cases in which the reference divides by zero are answered here: one frame gives that
    frame, and a rate that rounds to 0 fps (up to 0.5) gives a candidate at every frame.

    Raises ValueError if there is no frame, or the rate is not a positive number.
    """
    if n_frames < 1:
        raise ValueError(f"a clip of {n_frames} frames has nothing to sample")
    if not (math.isfinite(fps) and fps > 0):
        raise ValueError(f"a frame rate of {fps} is not a positive number")
    stride = max(1, round(fps))  # Python's rounding: half to even
    candidates = range(0, n_frames, stride)
    if len(candidates) >= FRAMES:
        return [candidates[i] for i in np.linspace(0, len(candidates) - 1, FRAMES, dtype=int)]
    count = min(FRAMES, n_frames)
    step = max(1, (n_frames - 1) // max(1, count - 1))
    return [step * i for i in range(count)]

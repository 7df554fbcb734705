"""Times of a video, and how people write them."""

from __future__ import annotations

import re
from typing import Literal

FARTHEST_S = 1e9  # from the zero of a container, thirty years: what lies beyond is no time of a video

TimeFormat = Literal["hms", "seconds"]


def earlier(time_s: float, pad_s: float) -> float:
    """The time so many seconds before; not before 0, unless `time_s` is: few files have anything there."""
    return time_s - pad_s if time_s < 0 else max(0.0, time_s - pad_s)


def clock(seconds: float) -> str:
    """`1:02:03.4` or `02:03.4`, rounded to a tenth; `-00:02.3` before the zero of a container."""
    rounded = round(seconds * 10)
    sign = "-" if rounded < 0 else ""
    minutes, tenths = divmod(abs(rounded), 600)
    hours, minutes = divmod(minutes, 60)
    tail = f"{minutes:02d}:{tenths // 10:02d}.{tenths % 10}"
    return f"{sign}{hours}:{tail}" if hours else f"{sign}{tail}"


def time_text(seconds: float, time_format: TimeFormat) -> str:
    """A time in the format that was asked for: `01:23.5`, or `83.500` seconds."""
    return clock(seconds) if time_format == "hms" else f"{seconds:.3f}"


def seconds(text: str) -> float:
    """The seconds of `83.5`, `01:23.5` or `1:02:03`; ValueError for anything else."""
    if not re.fullmatch(r"(\d+:)?(\d{1,2}:)?\d+(\.\d*)?", text):
        raise ValueError(f"{text!r} is not a time; write seconds (83.5), or minutes and seconds (01:23.5)")
    total = 0.0
    for part in text.split(":"):
        total = 60 * total + float(part)
    return total

"""When a video was recorded, after its container."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime

# QuickTime's, with the zone of the camera, before the moment in UTC that most containers keep.
_TAGS = ("com.apple.quicktime.creationdate", "creation_time", "date", "date-eng", "DATE_RECORDED")
# What writers without a clock put there: the start of the Unix epoch, or of QuickTime's in 1904.
_EARLIEST = datetime(1980, 1, 2, tzinfo=UTC).timestamp()
_DAY_S = 86_400


def recorded_s(*tags: Mapping[str, str]) -> float | None:
    """The moment of a recording in seconds of Unix time after the tags of a container, then of its stream; else None.

    A year alone is that of a work and not of a recording; a moment before 1980 or after tomorrow is a clock's mistake.
    """
    for metadata in tags:
        lower = {name.lower(): value for name, value in metadata.items()}
        for name in _TAGS:
            moment = _moment(lower.get(name.lower(), ""))
            if moment is not None:
                return moment
    return None


def _moment(text: str) -> float | None:
    text = text.strip().replace("/", "-")
    if len(text) < len("2025-07-14"):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    seconds = moment.timestamp()
    return seconds if _EARLIEST <= seconds <= time.time() + _DAY_S else None

"""Names of clips: they sort by rank or by time, and say which source and which time."""

from __future__ import annotations

import re
from pathlib import Path

_LONGEST_BYTES = 120  # of the source's name in a clip's: most systems take 255 for the whole
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\ud800-\udfff]')


def clip_name(position: int, of: int, source: Path, start_s: float, end_s: float, suffix: str) -> str:
    """`03_holiday_00-01-23.500_00-01-31.000.mp4`: as many digits as `of` clips need.

    Only signs that every file system takes; bytes of the source's name that are not text become `_`.
    """
    digits = max(2, len(str(of)))
    stem = _NOT_IN_NAMES.sub("_", source.stem).strip(" .") or "video"
    stem = stem.encode()[:_LONGEST_BYTES].decode(errors="ignore")
    return f"{position:0{digits}d}_{stem}_{_time(start_s)}_{_time(end_s)}{suffix}"


def _time(seconds: float) -> str:
    milliseconds = round(max(seconds, 0.0) * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}-{minutes:02d}-{milliseconds / 1000:06.3f}"

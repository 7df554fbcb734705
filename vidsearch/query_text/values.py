"""The values of a query's filters as people write them: dates, lengths, ranges, numbers; ValueError where they are not.

Each has its way back, so that what is written of a query gives that query again.
"""

from __future__ import annotations

import os
import re
from datetime import datetime, timedelta
from pathlib import Path

from vidsearch import timecode
from vidsearch.records import LikeFile, LikeHit

_DATE = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2})(?:[T ](\d{1,2}):(\d{2})(?::(\d{2}))?)?)?)?")
_LENGTH = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(s|m|min|h)?")
_UNITS_S = {"s": 1, "m": 60, "min": 60, "h": 3600}
_RANGE = re.compile(r"(?P<path>.+)@(?P<start>[\d:.]*)-(?P<end>[\d:.]*)", re.DOTALL)


def date_start(text: str) -> datetime:
    """The first moment of `2025`, `2025-07`, `2025-07-14`, `2025-07-14T18:30` or `2025-07-14T18:30:05`, local time."""
    return _span(text)[0]


def date_end(text: str) -> datetime:
    """The moment after the year, month, day, minute or second that `text` names."""
    return _span(text)[1]


def _span(text: str) -> tuple[datetime, datetime]:
    match = _DATE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a date; write 2025, 2025-07, 2025-07-14 or 2025-07-14T18:30")
    given = [int(part) for part in match.groups() if part is not None]
    year, month, day, hour, minute, second = [*given, *(1, 1, 1, 0, 0, 0)[len(given) :]]
    try:
        start = datetime(year, month, day, hour, minute, second)
        if len(given) == 1:
            end = datetime(year + 1, 1, 1)
        elif len(given) == 2:
            end = datetime(year + month // 12, month % 12 + 1, 1)
        else:
            end = start + {3: timedelta(days=1), 5: timedelta(minutes=1), 6: timedelta(seconds=1)}[len(given)]
    except (ValueError, OverflowError):
        raise ValueError(f"there is no date {text}; write year-month-day, as in 2025-07-14") from None
    return start, end


def start_text(moment: datetime) -> str:
    """The inverse of `date_start`, for a moment of a whole second without a zone."""
    if (moment.hour, moment.minute, moment.second) == (0, 0, 0):
        return f"{moment:%Y-%m-%d}".rjust(10, "0")
    return moment.isoformat(timespec="seconds" if moment.second else "minutes")


def end_text(moment: datetime) -> str:
    """The inverse of `date_end`: the last day, minute or second before the moment."""
    if (moment.hour, moment.minute, moment.second) == (0, 0, 0):
        return start_text(moment - timedelta(days=1))
    step = timedelta(seconds=1) if moment.second else timedelta(minutes=1)
    return (moment - step).isoformat(timespec="seconds" if moment.second else "minutes")


def length_s(text: str) -> float:
    """The seconds of `90`, `90s`, `1.5m`, `2h` or `01:30`."""
    if match := _LENGTH.fullmatch(text):
        return float(match[1]) * _UNITS_S[match[2] or "s"]
    try:
        return timecode.seconds(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a length; write seconds (90), 1.5m, 2h or 01:30") from None


def number_text(value: float) -> str:
    """A number as it is written shortest, without an exponent; `float` gives it back."""
    from decimal import Decimal  # late: most queries have no number to write

    return f"{Decimal(repr(value)):f}".removesuffix(".0")


def count(text: str, at_least: int = 1) -> int:
    """A whole number."""
    if not re.fullmatch(r"\d{1,9}", text) or int(text) < at_least:
        raise ValueError(f"{text!r} is not a whole number from {at_least} up")
    return int(text)


def score(text: str) -> float:
    """A cosine."""
    if not re.fullmatch(r"-?(\d+(\.\d*)?|\.\d+)", text) or not -1 <= float(text) <= 1:
        raise ValueError(f"{text!r} is not a score; write a number from -1 to 1")
    return float(text)


def path(text: str) -> Path:
    """A path, by its bytes: stray ones that are not UTF-8 stand as lone surrogates in `text`."""
    if not text or "\0" in text:
        raise ValueError("the path is empty; write . for the current folder")
    return Path(os.fsdecode(text.encode("utf-8", "surrogateescape")))


def path_text(value: Path) -> str:
    """The inverse of `path`."""
    return os.fsencode(value).decode("utf-8", "surrogateescape")


def source(text: str, weight: float) -> LikeFile | LikeHit:
    """`3` (a hit), `photo.jpg`, `clip.mp4` or `clip.mp4@00:12-00:20`; a file named 3 is `./3`."""
    if re.fullmatch(r"\d{1,9}", text):
        return LikeHit(count(text), weight)
    match = _RANGE.fullmatch(text)
    if match is None:
        if not text:
            raise ValueError("nothing is named; write like:photo.jpg, like:clip.mp4@00:12-00:20, or like:3 for a hit")
        return LikeFile(path(text), weight=weight)
    start_s, end_s = (None if not part else timecode.seconds(part) for part in (match["start"], match["end"]))
    if end_s is not None and (start_s or 0.0) >= end_s:
        raise ValueError(f"the range {match['start']}-{match['end']} is empty; its end comes after its start")
    return LikeFile(path(match["path"]), start_s, end_s, weight)


def source_text(term: LikeFile | LikeHit) -> tuple[str, str]:
    """The inverse of `source`: the name, and the range behind it."""
    if isinstance(term, LikeHit):
        return str(term.number), ""
    name = path_text(term.path)
    if re.fullmatch(r"\d+", name):
        name = f"./{name}"
    if term.start_s is None and term.end_s is None:
        return name, "@-" if _RANGE.fullmatch(name) else ""
    start, end = ("" if part is None else number_text(part) for part in (term.start_s, term.end_s))
    return name, f"@{start}-{end}"

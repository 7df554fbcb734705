"""The edge of the database: what a column holds, or BadValue. SQLite keeps a value of any type in any column."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, TypeVar, get_args

from vidsearch.records import Precision, ReaderName, RuntimeName, WindowKind, WindowSpec
from vidsearch.timecode import FARTHEST_S

_Word = TypeVar("_Word")
_FIRST_MOMENT_S, _LAST_MOMENT_S = -62_104_060_800, 253_370_764_800  # the years 2 and 9999 in Unix time


class BadValue(ValueError):  # noqa: N818 - not an error of its own: database.py makes a LibraryError of it
    """A value that vidsearch never wrote there."""


def path(value: Any) -> Path:
    """A path: the inverse of `stored_paths.to_stored`."""
    name = value.encode("utf-8") if isinstance(value, str) else value
    if not isinstance(name, bytes) or not name or b"\0" in name:
        raise BadValue(f"a path is {_short(value)}")
    return Path(os.fsdecode(name))


def text(value: Any, what: str) -> str:
    """A text."""
    if not isinstance(value, str):
        raise BadValue(f"{what} is {_short(value)}")
    return value


def optional_text(value: Any, what: str) -> str | None:
    """A text, or None."""
    return None if value is None else text(value, what)


def reader(value: Any) -> ReaderName | None:
    """The name of the reader that decoded a video, or None."""
    return None if value is None else _one_of(get_args(ReaderName), value, "a reader")


def runtime_name(value: Any) -> RuntimeName:
    """The name of a runtime."""
    return _one_of(get_args(RuntimeName), value, "a runtime")


def precision(value: Any) -> Precision:
    """The precision of a runtime."""
    return _one_of(get_args(Precision), value, "a precision")


def count(value: Any, what: str) -> int:
    """A whole number from 0 up."""
    if not isinstance(value, int) or value < 0:
        raise BadValue(f"{what} is {_short(value)}")
    return value


def windows(value: Any) -> int:
    """How many windows a video has: fewer than thirty years have seconds."""
    if count(value, "a number of windows") > FARTHEST_S:
        raise BadValue(f"a number of windows is {_short(value)}")
    return int(value)


def dimension(value: Any) -> int:
    """The length of vectors."""
    if count(value, "the length of vectors") == 0:
        raise BadValue("the length of vectors is 0")
    return int(value)


def number(value: Any, what: str) -> float:
    """A finite number."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise BadValue(f"{what} is {_short(value)}")
    return float(value)


def nanoseconds(value: Any, what: str) -> int:
    """A moment in nanoseconds of Unix time; a float would round it."""
    number(value, what)
    return int(value)


def moment(value: Any, what: str) -> float:
    """A moment in seconds of Unix time, of a year that a calendar has in any time zone."""
    moment_s = number(value, what)
    if not _FIRST_MOMENT_S <= moment_s <= _LAST_MOMENT_S:
        raise BadValue(f"{what} is {_short(value)}")
    return moment_s


def optional_moment(value: Any, what: str) -> float | None:
    """A moment, or None."""
    return None if value is None else moment(value, what)


def seconds(value: Any, what: str) -> float | None:
    """A length from 0 up, or None for one that is not known."""
    if value is None:
        return None
    length_s = number(value, what)
    if length_s < 0:
        raise BadValue(f"{what} is {_short(value)}")
    return length_s


def is_span(start_s: Any, end_s: Any) -> bool:
    """Whether two values are the start and the end of a window, in seconds."""
    return isinstance(start_s, float) and isinstance(end_s, float) and -FARTHEST_S <= start_s < end_s <= FARTHEST_S


def window_spec(length_s: Any, stride_s: Any, frames: Any, kind: Any) -> WindowSpec:
    """How a video was cut; `kind` None: by the clock."""
    return WindowSpec(
        number(length_s, "a window's length"),
        number(stride_s, "a window's stride"),
        count(frames, "the frames of a window"),
        "grid" if kind is None else window_kind(kind),
    )


def window_kind(value: Any) -> WindowKind:
    """What windows follow."""
    return _one_of(get_args(WindowKind), value, "a kind of windows")


def _one_of(words: tuple[_Word, ...], value: Any, what: str) -> _Word:
    """The word that a value is."""
    for word in words:
        if word == value:
            return word
    raise BadValue(f"{what} is {_short(value)}")


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:36]} ..."

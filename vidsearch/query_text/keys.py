"""What can stand before a colon: the filters of a query and what it shows, each with its values and their way back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

from vidsearch.frozen import dataclass
from vidsearch.query_text import values
from vidsearch.records import (
    Before,
    Filter,
    GroupBy,
    MaxDuration,
    MinDuration,
    MinHeight,
    Named,
    NotUnder,
    ReadBy,
    ReaderName,
    Since,
    SortBy,
    Suffix,
    Under,
)


@dataclass(frozen=True, slots=True)
class FilterKey:
    """A filter's key: text → filter, and filter → text. `read` raises ValueError."""

    kind: type
    read: Callable[[str], Filter]
    write: Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class ShowKey:
    """The key of a field of Query: text → value, and value → text. `read` raises ValueError."""

    field: str
    read: Callable[[str], Any]
    write: Callable[[Any], str]


def one_of(*names: str) -> Callable[[str], str]:
    """Reads one of some words."""

    def read(text: str) -> str:
        if text not in names:
            raise ValueError(
                f"{text!r} is not {' or '.join([', '.join(names[:-1]), names[-1]] if names[1:] else names)}"
            )
        return text

    return read


def _yes(text: str) -> bool:
    return one_of("yes", "no")(text) == "yes"


def _yes_text(value: bool) -> str:
    return "yes" if value else "no"


def suffix(text: str) -> str:
    """The ending of a name without its dot, in lower case."""
    ending = text.removeprefix(".").lower()
    if not ending or "/" in ending:
        raise ValueError(f"{text!r} is not the ending of a name; write mp4 or .mp4")
    return ending


def pattern(text: str) -> str:
    """A pattern of names."""
    if not text or "/" in text:
        raise ValueError(f"{text!r} is not a pattern of a file's name; write it without folders, as in 'IMG_*.mov'")
    return text


def reader(text: str) -> ReadBy:
    """The filter by the name of a reader."""
    return ReadBy(one_of(*get_args(ReaderName))(text))  # type: ignore[arg-type]  # it is one of them now


FILTERS: dict[str, FilterKey] = {
    "under": FilterKey(Under, lambda text: Under(values.path(text)), lambda it: values.path_text(it.path)),
    "not-under": FilterKey(NotUnder, lambda text: NotUnder(values.path(text)), lambda it: values.path_text(it.path)),
    "name": FilterKey(Named, lambda text: Named(pattern(text)), lambda it: it.pattern),
    "ext": FilterKey(Suffix, lambda text: Suffix(suffix(text)), lambda it: it.suffix),
    "reader": FilterKey(ReadBy, reader, lambda it: it.reader),
    "since": FilterKey(Since, lambda text: Since(values.date_start(text)), lambda it: values.start_text(it.moment)),
    "until": FilterKey(Before, lambda text: Before(values.date_end(text)), lambda it: values.end_text(it.moment)),
    "min-duration": FilterKey(
        MinDuration, lambda text: MinDuration(values.length_s(text)), lambda it: values.number_text(it.seconds)
    ),
    "max-duration": FilterKey(
        MaxDuration, lambda text: MaxDuration(values.length_s(text)), lambda it: values.number_text(it.seconds)
    ),
    "min-height": FilterKey(MinHeight, lambda text: MinHeight(values.count(text)), lambda it: str(it.pixels)),
}
SHOWN: dict[str, ShowKey] = {
    "top": ShowKey("top", values.count, str),
    "per-video": ShowKey("per_video", values.count, str),
    "min-score": ShowKey("min_score", values.score, values.number_text),
    "sort": ShowKey("sort", one_of(*get_args(SortBy)), str),
    "group": ShowKey("group", one_of(*get_args(GroupBy)), str),
    "duplicates": ShowKey("duplicates", _yes, _yes_text),
    "sources": ShowKey("sources", _yes, _yes_text),
    "exact": ShowKey("exact", _yes, _yes_text),
}
KEYS = (*FILTERS, *SHOWN)

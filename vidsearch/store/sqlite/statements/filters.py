"""What a query's filters mean in SQL: which videos are searched, decided before anything is ranked."""

from __future__ import annotations

import fnmatch
import re
import sqlite3
import unicodedata
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from vidsearch.records import (
    AnyOf,
    Before,
    Filter,
    LeftOutVideos,
    MaxDuration,
    MinDuration,
    MinHeight,
    Named,
    NotUnder,
    ReadBy,
    Since,
    Suffix,
    Under,
)
from vidsearch.store.sqlite.stored_paths import StoredPath, within_sql

ParameterisedSql = tuple[str, dict[str, Any]]

# The moment of a recording in seconds of Unix time: what the container says, else when the file was last written.
RECORDED_SQL = "coalesce(v.recorded_s, v.mtime_ns / 1e9)"


def condition(filters: Sequence[Filter]) -> ParameterisedSql:
    """A condition on the rows of `videos v` that holds if a video passes every filter, and its named parameters."""
    return _joined(" AND ", [_condition(f"filter{number}", it) for number, it in enumerate(filters)])


def _joined(between: str, parts: Sequence[ParameterisedSql]) -> ParameterisedSql:
    sql = between.join(sql for sql, _ in parts) or "true"
    return f"({sql})", {name: value for _, parameters in parts for name, value in parameters.items()}


def _condition(name: str, filter: Filter) -> ParameterisedSql:
    match filter:
        case Under(path):
            return within_sql("v.path", path, prefix=f"{name}_")
        case NotUnder(path):
            sql, parameters = within_sql("v.path", path, prefix=f"{name}_")
            return f"NOT {sql}", parameters
        case Named(pattern):
            return f"name_fits(v.path, :{name})", {name: _stored(pattern)}
        case Suffix(suffix):
            return f"name_fits(v.path, :{name})", {name: _stored(f"*.{_literal(suffix)}")}
        case ReadBy(reader):
            return f"v.reader = :{name}", {name: reader}
        case Since(moment):
            return f"{RECORDED_SQL} >= :{name}", {name: _since_1970_s(moment)}
        case Before(moment):
            return f"{RECORDED_SQL} < :{name}", {name: _since_1970_s(moment)}
        case MinDuration(seconds):
            return f"v.duration_s >= :{name}", {name: seconds}
        case MaxDuration(seconds):
            return f"v.duration_s <= :{name}", {name: seconds}
        case MinHeight(pixels):
            return f"v.height_px >= :{name}", {name: pixels}
        case AnyOf(alternatives):
            return _joined(" OR ", [_condition(f"{name}_{number}", it) for number, it in enumerate(alternatives)])
        case LeftOutVideos(ids):
            return f"v.id NOT IN ({', '.join(str(int(id_)) for id_ in sorted(ids))})", {}


def _since_1970_s(moment: datetime) -> float:
    """A day at an end of the calendar is taken as one of UTC: the local one may lie beyond."""
    try:
        return moment.timestamp()
    except (ValueError, OverflowError):
        return moment.replace(tzinfo=UTC).timestamp()


def add_functions(connection: sqlite3.Connection) -> None:
    """Makes known to a connection what the conditions call."""
    connection.create_function("name_fits", 2, _name_fits, deterministic=True)


def _name_fits(stored: StoredPath, pattern: StoredPath) -> bool:
    """Whether the name of a file fits a pattern: of any case, composed or not, as file systems disagree about both."""
    return _compiled(pattern)(_folded(_text(stored).rpartition("/")[2])) is not None


@lru_cache(maxsize=64)
def _compiled(pattern: StoredPath) -> Callable[[str], re.Match[str] | None]:
    return re.compile(fnmatch.translate(_folded(_text(pattern)))).fullmatch


def _stored(pattern: str) -> StoredPath:
    """As names are stored: a pattern with bytes that are not UTF-8 is a BLOB."""
    name = pattern.encode("utf-8", "surrogateescape")
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name


def _text(stored: StoredPath) -> str:
    return stored if isinstance(stored, str) else stored.decode("utf-8", "surrogateescape")


def _folded(name: str) -> str:
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()


def _literal(text: str) -> str:
    """A text as a pattern that fits it alone."""
    return re.sub(r"([*?[])", r"[\1]", text)

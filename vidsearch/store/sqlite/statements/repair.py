"""Rows that cannot be read, or belong to nothing: found, named, dropped."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from vidsearch.store.sqlite import stored_values
from vidsearch.store.sqlite.statements.videos import BESIDE_EMBEDDINGS
from vidsearch.store.sqlite.stored_values import BadValue


def _named(read: Callable[[Any, str], Any], what: str) -> Callable[[Any], Any]:
    return lambda value: read(value, what)


_TEXT, _OPTIONAL = stored_values.text, stored_values.optional_text
_NUMBER, _COUNT = stored_values.number, stored_values.count
# What is read of each table, and as what.
_COLUMNS: dict[str, dict[str, Callable[[Any], Any]]] = {
    "roots": {
        "path": stored_values.path,
        "device": _named(_TEXT, "a file system"),
        "inode": _named(_TEXT, "an inode"),
    },
    "videos": {
        "path": stored_values.path,
        "size_bytes": _named(_COUNT, "a size"),
        "device": _named(_TEXT, "a file system"),
        "fingerprint": _named(_OPTIONAL, "a fingerprint"),
        "error_kind": _named(_OPTIONAL, "an error"),
        "error": _named(_OPTIONAL, "an error"),
        "duration_s": _named(stored_values.seconds, "a length"),
        "reader": stored_values.reader,
        "damage": _named(_OPTIONAL, "a note"),
        "recorded_s": _named(stored_values.optional_moment, "a date"),
    },
    "models": {
        "name": _named(_TEXT, "the name of a model"),
        "dim": stored_values.dimension,
        "changes": _named(_COUNT, "a number of changes"),
    },
    "embeddings": {
        "window_length_s": _named(_NUMBER, "the length of windows"),
        "window_stride_s": _named(_NUMBER, "the stride of windows"),
        "window_frames": _named(_COUNT, "the frames of windows"),
        "windows": stored_values.windows,
        "first_vector_id": _named(_COUNT, "the id of a vector"),
    },
    "embedding_runtimes": {
        "runtime": stored_values.runtime_name,
        "precision": stored_values.precision,
    },
    "window_kinds": {"kind": stored_values.window_kind},
    "still_windows": {"windows": stored_values.windows},
    "hits": {
        "path": stored_values.path,
        **{name: _named(_NUMBER, f"the {name} of a hit") for name in ("start_s", "end_s", "best_s", "score")},
        "model": _named(_TEXT, "the name of a model"),
        "fingerprint": _named(_OPTIONAL, "a fingerprint"),
    },
}


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row of a table that holds what vidsearch never wrote there."""

    table: str
    rowid: int
    why: str

    def __str__(self) -> str:
        return f"database: row {self.rowid} of {self.table} cannot be read ({self.why}): vidsearch rebuild drops it"


def bad_rows(connection: sqlite3.Connection) -> list[BadRow]:
    """Every row that cannot be read."""
    found = []
    with _texts_as_they_are(connection):
        for table, columns in _COLUMNS.items():
            for rowid, *values in connection.execute(f"SELECT rowid, {', '.join(columns)} FROM {table}"):
                why = _what_is_wrong(columns, values)
                if why is not None:
                    found.append(BadRow(table, rowid, why))
    return found


def drop(connection: sqlite3.Connection, rows: list[BadRow]) -> None:
    """Deletes rows, and all whose video, model or embedding is missing then."""
    for row in rows:
        if row.table == "models":
            connection.execute("DELETE FROM embeddings WHERE model_id = ?", (row.rowid,))
        connection.execute(f"DELETE FROM {row.table} WHERE rowid = ?", (row.rowid,))
    connection.execute(
        """DELETE FROM embeddings
        WHERE video_id NOT IN (SELECT id FROM videos) OR model_id NOT IN (SELECT id FROM models)"""
    )
    for table in ("windows", *BESIDE_EMBEDDINGS):
        connection.execute(f"DELETE FROM {table} WHERE embedding_id NOT IN (SELECT id FROM embeddings)")


def _what_is_wrong(columns: dict[str, Callable[[Any], Any]], values: list[Any]) -> str | None:
    try:
        for read, value in zip(columns.values(), values, strict=True):
            read(value)
    except BadValue as error:
        return str(error)
    return None


@contextmanager
def _texts_as_they_are(connection: sqlite3.Connection) -> Iterator[None]:
    """A text that is not UTF-8 is read as something that is not a text, instead of ending the reading."""
    before = connection.text_factory
    connection.text_factory = _decoded
    try:
        yield
    finally:
        connection.text_factory = before


def _decoded(content: bytes) -> object:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return bytearray(content)  # neither text nor bytes: no column takes it

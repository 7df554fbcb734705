"""Videos by number, with what is known of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vidsearch.records import VideoEntry, VideoState
from vidsearch.store.availability import Availability
from vidsearch.store.sqlite import stored_values
from vidsearch.store.sqlite.stored_paths import to_stored

_COLUMNS = (
    "id, path, size_bytes, mtime_ns, device, fingerprint, state, error_kind, error, damage, start_s, frames, fps, "
    "duration_s, width_px, height_px, codec, container"
)
_PATHS_AT_ONCE = 500  # SQLite takes at least 999 parameters


def of_number(connection: sqlite3.Connection, number: int, availability: Availability) -> VideoEntry | None:
    """The video with a number, if there is one."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM videos WHERE id = ?", (number,)).fetchone()
    return None if row is None else _entry(row, availability)


def of_paths(
    connection: sqlite3.Connection, paths: Sequence[Path], availability: Availability
) -> dict[Path, VideoEntry]:
    """The videos at these paths, as far as the library knows them."""
    found: dict[Path, VideoEntry] = {}
    for first in range(0, len(paths), _PATHS_AT_ONCE):
        some = paths[first : first + _PATHS_AT_ONCE]
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM videos WHERE path IN ({', '.join('?' * len(some))})",
            [to_stored(path) for path in some],
        )
        found.update((entry.path, entry) for entry in _entries(rows, availability))
    return found


def newest(
    connection: sqlite3.Connection, limit: int, offset: int, state: str | None, availability: Availability
) -> tuple[int, list[VideoEntry]]:
    """How many videos there are (`state`: indexed or failed ones), and a page of them, latest written first."""
    wanted = ("", ()) if state is None else ("WHERE state = ?", (state,))
    (total,) = connection.execute(f"SELECT count(*) FROM videos {wanted[0]}", wanted[1]).fetchone()
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM videos {wanted[0]} ORDER BY mtime_ns DESC, id LIMIT ? OFFSET ?",
        (*wanted[1], limit, offset),
    )
    return total, list(_entries(rows, availability))


def _entries(rows: Iterable[tuple[Any, ...]], availability: Availability) -> Iterable[VideoEntry]:
    return (_entry(row, availability) for row in rows)


def _entry(row: tuple[Any, ...], availability: Availability) -> VideoEntry:
    number, stored, size_bytes, mtime_ns, device, fingerprint, state, kind, error, damage, *facts = row
    start_s, frames, fps, duration_s, width_px, height_px, codec, container = facts
    path = stored_values.path(stored)
    offline = availability.where_is(path, device) == "offline"
    known: VideoState = "offline" if offline else "failed" if state == "failed" else "indexed"
    return VideoEntry(
        number=stored_values.count(number, "the number of a video"),
        path=path,
        size_bytes=stored_values.count(size_bytes, f"the size of {path}"),
        mtime_ns=stored_values.nanoseconds(mtime_ns, f"the time of {path}"),
        fingerprint=stored_values.optional_text(fingerprint, f"the fingerprint of {path}"),
        state=known,
        error_kind=stored_values.optional_text(kind, f"the error of {path}"),
        error=stored_values.optional_text(error or damage, f"the note of {path}"),
        start_s=None if start_s is None else stored_values.number(start_s, f"the start of {path}"),
        end_s=_end(start_s, frames, fps, path),
        duration_s=stored_values.seconds(duration_s, f"the length of {path}"),
        fps=stored_values.seconds(fps, f"the frame rate of {path}"),
        width_px=None if width_px is None else stored_values.count(width_px, f"the width of {path}"),
        height_px=None if height_px is None else stored_values.count(height_px, f"the height of {path}"),
        codec=stored_values.optional_text(codec, f"the codec of {path}"),
        container=stored_values.optional_text(container, f"the container of {path}"),
    )


def _end(start_s: Any, frames: Any, fps: Any, path: Path) -> float | None:
    """Where the pictures end: the frame rate that is kept is frames shown / seconds that they fill (VideoFacts)."""
    if start_s is None or frames is None or not fps:
        return None
    filled_s = stored_values.count(frames, f"the frames of {path}") / stored_values.number(
        fps, f"the frame rate of {path}"
    )
    return stored_values.number(start_s + filled_s, f"the end of {path}")

"""Roots and videos: what is known of them, and how they come, change their place and leave."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vidsearch.errors import LibraryError, VideoError
from vidsearch.records import (
    Extractor,
    Filter,
    IndexedVideo,
    VideoFile,
    VideoRow,
    VideoState,
)
from vidsearch.store.availability import Availability, Root, describe_root
from vidsearch.store.contents import is_same_content
from vidsearch.store.sqlite import stored_values
from vidsearch.store.sqlite.statements import vectors as vector_statements
from vidsearch.store.sqlite.statements.filters import condition
from vidsearch.store.sqlite.statements.vectors import VECTOR_IDS_PER_VIDEO
from vidsearch.store.sqlite.stored_paths import to_stored, within_sql
from vidsearch.store.vectors import checksum, pack

if TYPE_CHECKING:
    from vidsearch.store.plan import IndexPlan, Known, Moved

# The columns of `videos` that hold VideoFacts, under the names of its attributes. What the pictures fill and what the
# container states make the length, which is kept.
_FACTS = (
    "start_s",
    "duration_s",
    "fps",
    "frames",
    "width_px",
    "height_px",
    "codec",
    "container",
    "rotation_deg",
    "reader",
    "damage",
    "recorded_s",
)

# What is kept of each embedding in a table of its own, and copied with it.
BESIDE_EMBEDDINGS = {
    "checksums": "crc32",
    "window_pictures": "grey",
    "embedding_runtimes": "runtime, precision",
    "still_windows": "windows",
    "window_kinds": "kind",
}


def roots(connection: sqlite3.Connection) -> list[Root]:
    """All roots in the order in which they were added."""
    rows = connection.execute("SELECT path, is_folder, device, inode FROM roots ORDER BY id")
    return [
        Root(
            stored_values.path(path),
            bool(is_folder),
            stored_values.text(device, f"the file system of {path}"),
            stored_values.text(inode, f"the inode of {path}"),
        )
        for path, is_folder, device, inode in rows
    ]


def add_root(connection: sqlite3.Connection, root: Root) -> None:
    """Adds a root. How a known one looked stays as it was: by that a plan tells whether it is the same."""
    connection.execute(
        """INSERT INTO roots (path, is_folder, device, inode) VALUES (:path, :is_folder, :device, :inode)
        ON CONFLICT (path) DO NOTHING""",
        asdict(root) | {"path": to_stored(root.path)},
    )


def renew_root(connection: sqlite3.Connection, path: Path) -> None:
    """Notes how a root looks now; one that was deleted (a single file) leaves."""
    try:
        root = describe_root(path)
    except (FileNotFoundError, NotADirectoryError):
        connection.execute("DELETE FROM roots WHERE path = ?", (to_stored(path),))
        return
    connection.execute(
        "UPDATE roots SET is_folder = :is_folder, device = :device, inode = :inode WHERE path = :path",
        asdict(root) | {"path": to_stored(path)},
    )


def known_videos(connection: sqlite3.Connection, extractors: Iterable[Extractor], place: Path) -> list[Known]:
    """Every video, with what was extracted from it.

    What these extractors gave of videos at or below `place` is read and compared with its checksums: it counts only if
    it is what was written.
    """
    done: dict[int, set[Extractor]] = {}
    for video_id, *made in connection.execute(
        f"""SELECT video_id, {vector_statements.MADE_WITH}
        FROM embeddings e JOIN models m ON m.id = e.model_id {vector_statements.MADE_JOIN}"""
    ):
        done.setdefault(video_id, set()).update(vector_statements.extractors_met(*made))
    for damage in vector_statements.damaged(connection, frozenset(extractors), place):
        done[damage.video_id] -= damage.extractors
    rows = connection.execute(
        "SELECT id, path, size_bytes, mtime_ns, device, fingerprint, state = 'failed', error_kind FROM videos"
    )
    return [_known(row, frozenset(done.get(row[0], ()))) for row in rows]


def paths_of(connection: sqlite3.Connection, fingerprint: str) -> list[Path]:
    """The videos with a content, whichever of the two has the older form of fingerprint."""
    rows = connection.execute(
        "SELECT path, fingerprint FROM videos WHERE fingerprint BETWEEN :ends AND :ends || '~'",
        {"ends": fingerprint.partition("-")[0]},
    )
    return [
        stored_values.path(path)
        for path, stored in rows
        if is_same_content(stored, fingerprint) or is_same_content(fingerprint, stored)
    ]


def listed(connection: sqlite3.Connection, filters: Sequence[Filter], availability: Availability) -> list[VideoRow]:
    """The videos that pass the filters: a row for each model that has seen one, and one if it failed."""
    passes, parameters = condition(filters)
    rows = connection.execute(
        f"""SELECT path, device, error_kind, error, duration_s, 0, reader, NULL
        FROM videos v WHERE state = 'failed' AND {passes}
        UNION ALL
        SELECT path, device, NULL, damage, duration_s, e.windows, reader, m.name
        FROM videos v JOIN embeddings e ON e.video_id = v.id JOIN models m ON m.id = e.model_id
        WHERE {passes}""",
        parameters,
    )
    return [_video_row(row, availability) for row in rows]


def passing(connection: sqlite3.Connection, filters: Sequence[Filter]) -> NDArray[np.int64]:
    """The numbers of the videos that pass the filters."""
    passes, parameters = condition(filters)
    rows = connection.execute(f"SELECT v.id FROM videos v WHERE {passes}", parameters)
    return np.fromiter((number for (number,) in rows), dtype=np.int64)


def totals(connection: sqlite3.Connection, availability: Availability) -> dict[str, Any]:
    """How many videos there are in each state, and their length, under the names of LibraryInfo."""
    rows = connection.execute("SELECT path, device, state, duration_s FROM videos").fetchall()
    return {
        "indexed": sum(state == "indexed" for _, _, state, _ in rows),
        "failed": sum(state == "failed" for _, _, state, _ in rows),
        "offline": sum(
            availability.where_is(stored_values.path(path), device) == "offline" for path, device, _, _ in rows
        ),
        "duration_s": sum(
            stored_values.seconds(length_s, "the length of a video") or 0.0 for _, _, _, length_s in rows
        ),
    }


def record_indexed(connection: sqlite3.Connection, video: IndexedVideo, device: str) -> None:
    """Puts a video in the place of whatever its path and this model held before."""
    windows, vectors, spec = video.windows, video.vectors, video.window_spec
    if vectors.ndim != 2 or len(vectors) != len(windows):
        raise ValueError(f"{len(windows)} windows but vectors of shape {vectors.shape}")
    blob = pack(vectors)
    facts = {"state": "indexed", "dated": 1} | {name: getattr(video.facts, name) for name in _FACTS}
    video_id = _put_video(connection, video.file, device, video.fingerprint, facts)
    model_id = _put_model(connection, video.model, vectors.shape[1])
    connection.execute("DELETE FROM embeddings WHERE video_id = ? AND model_id = ?", (video_id, model_id))
    first = _draw_vector_ids(connection, model_id, len(windows), video.file.path)
    embedding_id = connection.execute(
        """INSERT INTO embeddings
            (video_id, model_id, window_length_s, window_stride_s, window_frames, windows, first_vector_id, vectors)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
        (video_id, model_id, spec.length_s, spec.stride_s, spec.frames, len(windows), first, blob),
    ).lastrowid
    connection.execute("INSERT INTO checksums (embedding_id, crc32) VALUES (?, ?)", (embedding_id, checksum(blob)))
    connection.executemany(
        "INSERT INTO windows (embedding_id, ordinal, start_s, end_s) VALUES (?, ?, ?, ?)",
        [(embedding_id, ordinal, window.start_s, window.end_s) for ordinal, window in enumerate(windows)],
    )
    connection.executemany(
        "INSERT INTO embedding_runtimes (embedding_id, runtime, precision) VALUES (?, ?, ?)",
        [(embedding_id, runtime.name, runtime.precision) for runtime in video.runtimes],
    )
    if video.pictures is not None:
        grey = video.pictures.tobytes()
        connection.execute("INSERT INTO window_pictures (embedding_id, grey) VALUES (?, ?)", (embedding_id, grey))
    if spec.kind != "grid":
        connection.execute("INSERT INTO window_kinds (embedding_id, kind) VALUES (?, ?)", (embedding_id, spec.kind))
    if video.still_windows:
        connection.execute(
            "INSERT INTO still_windows (embedding_id, windows) VALUES (?, ?)", (embedding_id, video.still_windows)
        )


def record_failed(
    connection: sqlite3.Connection, file: VideoFile, device: str, error: VideoError, fingerprint: str | None
) -> None:
    """Notes why a video could not be indexed. Vectors of other models stay if its content is what they were made of."""
    known = connection.execute(
        "SELECT fingerprint, size_bytes, mtime_ns FROM videos WHERE path = ?", (to_stored(file.path),)
    ).fetchone()
    if fingerprint is None and known is not None and known[1:] == (file.size_bytes, file.mtime_ns):
        fingerprint = known[0]  # nothing says that it changed; it may only be out of reach
    what = {"state": "failed", "error_kind": error.kind, "error": str(error)}
    _put_video(connection, file, device, fingerprint, what)


def copy_video(connection: sqlite3.Connection, source: Path, file: VideoFile, device: str, fingerprint: str) -> bool:
    """Gives `file` the facts, windows and vectors of the video at `source`; False if that has left meanwhile."""
    columns = ", ".join((*_FACTS, "dated"))
    row = connection.execute(
        f"SELECT id, {columns} FROM videos WHERE path = ? AND fingerprint = ? AND state = 'indexed'",
        (to_stored(source), fingerprint),
    ).fetchone()
    if row is None:
        return False
    facts = dict(zip((*_FACTS, "dated"), row[1:], strict=True))
    video_id = _put_video(connection, file, device, fingerprint, {"state": "indexed", **facts})
    connection.execute("DELETE FROM embeddings WHERE video_id = ?", (video_id,))
    originals = connection.execute(
        "SELECT id, model_id, windows FROM embeddings WHERE video_id = ?", (row[0],)
    ).fetchall()
    for original, model_id, windows in originals:
        first = _draw_vector_ids(connection, model_id, windows, file.path)
        copy_id = connection.execute(
            """INSERT INTO embeddings
                (video_id, model_id, window_length_s, window_stride_s, window_frames, windows, first_vector_id, vectors)
            SELECT ?, model_id, window_length_s, window_stride_s, window_frames, windows, ?, vectors
            FROM embeddings WHERE id = ?""",
            (video_id, first, original),
        ).lastrowid
        connection.execute(
            """INSERT INTO windows (embedding_id, ordinal, start_s, end_s)
            SELECT ?, ordinal, start_s, end_s FROM windows WHERE embedding_id = ?""",
            (copy_id, original),
        )
        for table, columns in BESIDE_EMBEDDINGS.items():
            connection.execute(
                f"""INSERT INTO {table} (embedding_id, {columns})
                SELECT ?, {columns} FROM {table} WHERE embedding_id = ?""",
                (copy_id, original),
            )
    return True


def apply_plan(connection: sqlite3.Connection, plan: IndexPlan, availability: Availability) -> None:
    """Does what a plan says about known content; see `Library.apply`."""
    _move(connection, plan.moved, plan.gone, availability)
    for file in (*plan.unchanged, *plan.refingerprinted, *plan.failed_before):
        connection.execute(
            """UPDATE videos SET size_bytes = :size, mtime_ns = :mtime, device = :device
            WHERE path = :path AND (size_bytes, mtime_ns, device) <> (:size, :mtime, :device)""",
            _stat_of(file, availability),
        )
    for path, read in (plan.fingerprints or {}).items():  # a form of before becomes that of today
        connection.execute(
            """UPDATE videos SET fingerprint = :read
            WHERE path = :path AND substr(:read, 1, length(fingerprint) + 1) = fingerprint || '-'""",
            {"path": to_stored(path), "read": read},
        )
    for copy in plan.copied:
        copy_video(connection, copy.source, copy.file, availability.device_near(copy.file.path) or "", copy.fingerprint)
    for path in plan.excluded:
        connection.execute("DELETE FROM videos WHERE path = ?", (to_stored(path),))


def undated(connection: sqlite3.Connection, place: Path) -> list[Path]:
    """The indexed videos at or below a place whose container was never asked when it was recorded."""
    inside, parameters = within_sql("path", place)
    rows = connection.execute(f"SELECT path FROM videos WHERE state = 'indexed' AND dated = 0 AND {inside}", parameters)
    return [stored_values.path(path) for (path,) in rows]


def record_dates(connection: sqlite3.Connection, dates: Mapping[Path, float | None]) -> None:
    """Notes when videos were recorded; None: their containers do not say."""
    connection.executemany(
        "UPDATE videos SET recorded_s = ?, dated = 1 WHERE path = ?",
        [(recorded_s, to_stored(path)) for path, recorded_s in dates.items()],
    )


def remove_root_if_empty(connection: sqlite3.Connection, root: Path) -> None:
    """Takes a root below which there is no video out of the library."""
    condition, parameters = within_sql("path", root)
    connection.execute(
        f"DELETE FROM roots WHERE path = :place AND NOT EXISTS (SELECT 1 FROM videos WHERE {condition})", parameters
    )


def remove(connection: sqlite3.Connection, place: Path) -> int:
    """Takes the videos and roots at `place` and below out of the library; the number of videos."""
    condition, parameters = within_sql("path", place)
    connection.execute(f"DELETE FROM roots WHERE {condition}", parameters)
    return connection.execute(f"DELETE FROM videos WHERE {condition}", parameters).rowcount


def remove_model(connection: sqlite3.Connection, model_id: int) -> None:
    """Takes the vectors of a model out, and the videos that no other model holds.

    The model's row stays: its number names the index file and must not come back for another model.
    """
    connection.execute("DELETE FROM embeddings WHERE model_id = ?", (model_id,))
    connection.execute(
        "DELETE FROM videos WHERE state = 'indexed' AND NOT EXISTS "
        "(SELECT 1 FROM embeddings e WHERE e.video_id = videos.id)"
    )


def _move(
    connection: sqlite3.Connection, moved: Iterable[Moved], gone: Iterable[Path], availability: Availability
) -> None:
    # Two files may have changed places: all of them leave their paths before the first one arrives.
    leaving = [
        move
        for move in moved
        if connection.execute(
            "UPDATE videos SET path = ? WHERE id = ? AND path = ?",
            (b"\0moving %d" % move.video_id, move.video_id, to_stored(move.old)),
        ).rowcount
    ]
    for path in (*gone, *(move.new.path for move in leaving)):
        connection.execute("DELETE FROM videos WHERE path = ?", (to_stored(path),))
    for move in leaving:
        connection.execute(
            "UPDATE videos SET path = :path, size_bytes = :size, mtime_ns = :mtime, device = :device WHERE id = :id",
            _stat_of(move.new, availability) | {"id": move.video_id},
        )


def _known(row: tuple[Any, ...], done: frozenset[Extractor]) -> Known:
    from vidsearch.store.plan import Known

    id_, stored, size_bytes, mtime_ns, device, fingerprint, failed, error_kind = row
    path = stored_values.path(stored)
    return Known(
        id_,
        path,
        stored_values.count(size_bytes, f"the size of {path}"),
        mtime_ns,
        stored_values.text(device, f"the file system of {path}"),
        stored_values.optional_text(fingerprint, f"the fingerprint of {path}"),
        bool(failed),
        stored_values.optional_text(error_kind, f"the error of {path}"),
        done,
    )


def _video_row(row: tuple[Any, ...], availability: Availability) -> VideoRow:
    stored, device, error_kind, error, duration_s, windows, reader, model = row
    path = stored_values.path(stored)
    offline = availability.where_is(path, device) == "offline"
    state: VideoState = "offline" if offline else "failed" if error_kind else "indexed"
    return VideoRow(
        path,
        state,
        stored_values.optional_text(error_kind, f"the error of {path}"),
        stored_values.optional_text(error, f"the note of {path}"),
        stored_values.seconds(duration_s, f"the length of {path}"),
        stored_values.count(windows, f"the number of windows of {path}"),
        stored_values.reader(reader),
        stored_values.optional_text(model, "the name of a model"),
    )


def _stat_of(file: VideoFile, availability: Availability) -> dict[str, Any]:
    return {
        "path": to_stored(file.path),
        "size": file.size_bytes,
        "mtime": file.mtime_ns,
        "device": availability.device_near(file.path) or "",
    }


def _put_video(
    connection: sqlite3.Connection, file: VideoFile, device: str, fingerprint: str | None, what: dict[str, Any]
) -> int:
    """Writes all columns of a video, those that `what` leaves out as NULL; other content takes its vectors along."""
    path = to_stored(file.path)
    known = connection.execute("SELECT id, fingerprint FROM videos WHERE path = ?", (path,)).fetchone()
    row: dict[str, Any] = dict.fromkeys(("error_kind", "error", *_FACTS)) | what
    row |= {"path": path, "size_bytes": file.size_bytes, "mtime_ns": file.mtime_ns, "device": device}
    row["fingerprint"] = fingerprint
    if known is None:
        names = ", ".join(row)
        values = ", ".join(f":{name}" for name in row)
        video_id = connection.execute(f"INSERT INTO videos ({names}) VALUES ({values})", row).lastrowid
        assert video_id is not None
        return video_id
    if fingerprint is None or not is_same_content(known[1], fingerprint):
        connection.execute("DELETE FROM embeddings WHERE video_id = ?", (known[0],))
    elif what["state"] == "failed":
        row = {name: value for name, value in row.items() if name not in _FACTS}  # they are still those of its vectors
    assignments = ", ".join(f"{name} = :{name}" for name in row)
    connection.execute(f"UPDATE videos SET {assignments} WHERE id = :id", row | {"id": known[0]})
    return int(known[0])


def _put_model(connection: sqlite3.Connection, name: str, dim: int) -> int:
    connection.execute("INSERT INTO models (name, dim) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", (name, dim))
    model_id, known_dim = connection.execute("SELECT id, dim FROM models WHERE name = ?", (name,)).fetchone()
    if known_dim == dim:
        return int(model_id)
    if connection.execute("SELECT 1 FROM embeddings WHERE model_id = ? LIMIT 1", (model_id,)).fetchone():
        raise LibraryError(
            f"the library holds vectors of {known_dim} values for the model {name}, these have {dim}: "
            "index with the weights used before, or remove the videos first"
        )
    connection.execute("UPDATE models SET dim = ? WHERE id = ?", (dim, model_id))
    return int(model_id)


def _draw_vector_ids(connection: sqlite3.Connection, model_id: int, count: int, path: Path) -> int:
    if count > VECTOR_IDS_PER_VIDEO:
        raise LibraryError(f"{path} gives {count} windows, more than {VECTOR_IDS_PER_VIDEO}: choose a longer --stride")
    while True:
        first = int.from_bytes(os.urandom(8)) % (1 << 63) // VECTOR_IDS_PER_VIDEO * VECTOR_IDS_PER_VIDEO
        taken = "SELECT 1 FROM embeddings WHERE model_id = ? AND first_vector_id = ?"
        if connection.execute(taken, (model_id, first)).fetchone() is None:
            return first

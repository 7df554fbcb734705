"""Numbered steps that bring a library's schema forward. A released step is never edited: a change is a new step."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING

from vidsearch.store.sqlite.shape import read_shape, shape_version
from vidsearch.store.vectors import checksum_if_sound

if TYPE_CHECKING:
    import sqlite_utils

# "vids": tells a library from some other program's SQLite file.
APPLICATION_ID = 0x76696473


def m001_videos_windows_vectors(connection: sqlite3.Connection) -> None:
    """Roots, videos, their windows and vectors by model, and the hits of the last query.

    Paths have no declared type, hence no affinity: TEXT and BLOB stay what they are (see paths.py).

    `indexings` is one video seen by one model. Its vectors are one blob, (windows, dim) little-endian float16, which
    costs half the space of a row a vector and is read in one go; it is the last column, so that reading the others
    leaves its pages alone. The window with ordinal i carries the label `first_label + i` in the index. First labels are
    drawn at random: a number that was counted up would come back with other vectors after a backup was
    restored, and an index file could not tell.

    `models.changes` grows with every change to a model's vectors, so that a process can tell at once whether what it
    holds in memory is still true. The triggers see to it, also when videos are deleted.
    """
    for statement in (
        """CREATE TABLE library (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            writes INTEGER NOT NULL
        )""",
        """CREATE TABLE roots (
            id INTEGER PRIMARY KEY,
            path NOT NULL UNIQUE,
            is_folder INTEGER NOT NULL,
            device TEXT NOT NULL,
            inode TEXT NOT NULL
        )""",
        """CREATE TABLE videos (
            id INTEGER PRIMARY KEY,
            path NOT NULL UNIQUE,
            size_bytes INTEGER NOT NULL,
            mtime_ns INTEGER NOT NULL,
            device TEXT NOT NULL,
            fingerprint TEXT,
            state TEXT NOT NULL CHECK (state IN ('indexed', 'failed')),
            error_kind TEXT,
            error TEXT,
            start_s REAL,
            duration_s REAL,
            fps REAL,
            frames INTEGER,
            width_px INTEGER,
            height_px INTEGER,
            codec TEXT,
            container TEXT,
            rotation_deg INTEGER,
            reader TEXT,
            damage TEXT
        )""",
        "CREATE INDEX videos_by_fingerprint ON videos (fingerprint)",
        """CREATE TABLE models (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            dim INTEGER NOT NULL,
            changes INTEGER NOT NULL DEFAULT 0
        )""",
        """CREATE TABLE indexings (
            id INTEGER PRIMARY KEY,
            video_id INTEGER NOT NULL REFERENCES videos (id) ON DELETE CASCADE,
            model_id INTEGER NOT NULL REFERENCES models (id),
            window_length_s REAL NOT NULL,
            window_stride_s REAL NOT NULL,
            window_frames INTEGER NOT NULL,
            windows INTEGER NOT NULL,
            first_label INTEGER NOT NULL,
            vectors BLOB NOT NULL,
            UNIQUE (video_id, model_id)
        )""",
        "CREATE UNIQUE INDEX indexings_by_label ON indexings (model_id, first_label, windows)",
        """CREATE TRIGGER indexing_comes AFTER INSERT ON indexings BEGIN
            UPDATE models SET changes = changes + 1 WHERE id = new.model_id;
        END""",
        """CREATE TRIGGER indexing_leaves AFTER DELETE ON indexings BEGIN
            UPDATE models SET changes = changes + 1 WHERE id = old.model_id;
        END""",
        """CREATE TABLE windows (
            indexing_id INTEGER NOT NULL REFERENCES indexings (id) ON DELETE CASCADE,
            ordinal INTEGER NOT NULL,
            start_s REAL NOT NULL,
            end_s REAL NOT NULL,
            PRIMARY KEY (indexing_id, ordinal)
        ) WITHOUT ROWID""",
        "CREATE TABLE last_query (id INTEGER PRIMARY KEY CHECK (id = 1), text TEXT NOT NULL)",
        """CREATE TABLE hits (
            number INTEGER PRIMARY KEY,
            path NOT NULL,
            start_s REAL NOT NULL,
            end_s REAL NOT NULL,
            best_s REAL NOT NULL,
            score REAL NOT NULL,
            model TEXT NOT NULL,
            offline INTEGER NOT NULL
        )""",
        f"PRAGMA application_id = {APPLICATION_ID}",
        "INSERT INTO library (id, writes) VALUES (1, 0)",
    ):
        connection.execute(statement)


def m002_standard_names(connection: sqlite3.Connection) -> None:
    """The field's words: `embeddings` for `indexings`, `first_vector_id` for `first_label`.

    `library` counted transactions for their write lock alone; BEGIN IMMEDIATE takes that.
    """
    database = _with_sqlite_utils(connection)
    database.rename_table("indexings", "embeddings")
    database.table("library").drop()
    for statement in (
        "ALTER TABLE embeddings RENAME COLUMN first_label TO first_vector_id",
        "ALTER TABLE windows RENAME COLUMN indexing_id TO embedding_id",
        "DROP INDEX indexings_by_label",
        "CREATE UNIQUE INDEX embeddings_by_vector_id ON embeddings (model_id, first_vector_id, windows)",
        "DROP TRIGGER indexing_comes",
        "DROP TRIGGER indexing_leaves",
        """CREATE TRIGGER embedding_comes AFTER INSERT ON embeddings BEGIN
            UPDATE models SET changes = changes + 1 WHERE id = new.model_id;
        END""",
        """CREATE TRIGGER embedding_leaves AFTER DELETE ON embeddings BEGIN
            UPDATE models SET changes = changes + 1 WHERE id = old.model_id;
        END""",
    ):
        connection.execute(statement)


def m003_checksums(connection: sqlite3.Connection) -> None:
    """A checksum for each video's vectors by a model, and the content that a kept hit is a moment of.

    `checksums` is a table of its own: a new column of `embeddings` would write all vectors again. Vectors without one
    count as damaged; here those get none that are damaged already.
    """
    connection.create_function("checksum", 3, checksum_if_sound, deterministic=True)
    for statement in (
        """CREATE TABLE checksums (
            embedding_id INTEGER PRIMARY KEY REFERENCES embeddings (id) ON DELETE CASCADE,
            crc32 INTEGER NOT NULL
        )""",
        """INSERT INTO checksums (embedding_id, crc32)
            SELECT id, crc32 FROM (SELECT e.id, checksum(e.vectors, e.windows, m.dim) AS crc32
            FROM embeddings e JOIN models m ON m.id = e.model_id) WHERE crc32 IS NOT NULL""",
    ):
        connection.execute(statement)
    _with_sqlite_utils(connection).table("hits").add_column("fingerprint", str)


def m004_recording_dates(connection: sqlite3.Connection) -> None:
    """When a video was recorded, after its container, and what each window looks like.

    `recorded_s`: Unix time in seconds; `dated`: whether the container was asked for it. `window_pictures` holds 8 x 8
    grey values for each window of an embedding, by which two windows are told to show the same footage.
    """
    for statement in (
        "ALTER TABLE videos ADD COLUMN recorded_s REAL",
        "ALTER TABLE videos ADD COLUMN dated INTEGER NOT NULL DEFAULT 0",
        """CREATE TABLE window_pictures (
            embedding_id INTEGER PRIMARY KEY REFERENCES embeddings (id) ON DELETE CASCADE,
            grey BLOB NOT NULL
        )""",
    ):
        connection.execute(statement)


def m005_videos_of_a_model(connection: sqlite3.Connection) -> None:
    """What a filter asks of embeddings stands in an index: their own rows lie between the vectors, a page each."""
    connection.execute("CREATE INDEX embeddings_by_video ON embeddings (model_id, video_id, first_vector_id, windows)")


def m006_runtimes(connection: sqlite3.Connection) -> None:
    """What made the vectors of an embedding: a row for each runtime and its precision, none where that is not known."""
    connection.execute(
        """CREATE TABLE embedding_runtimes (
            embedding_id INTEGER NOT NULL REFERENCES embeddings (id) ON DELETE CASCADE,
            runtime TEXT NOT NULL,
            precision TEXT NOT NULL,
            PRIMARY KEY (embedding_id, runtime, precision)
        )"""
    )


def m007_still_windows(connection: sqlite3.Connection) -> None:
    """How many windows of an embedding show what an earlier one showed and took over its vector; no row: none."""
    connection.execute(
        """CREATE TABLE still_windows (
            embedding_id INTEGER PRIMARY KEY REFERENCES embeddings (id) ON DELETE CASCADE,
            windows INTEGER NOT NULL
        )"""
    )


def m008_window_kinds(connection: sqlite3.Connection) -> None:
    """What the windows of an embedding follow, where it is not the clock: "shots"; no row: one every stride."""
    connection.execute(
        """CREATE TABLE window_kinds (
            embedding_id INTEGER PRIMARY KEY REFERENCES embeddings (id) ON DELETE CASCADE,
            kind TEXT NOT NULL
        )"""
    )


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    m001_videos_windows_vectors,
    m002_standard_names,
    m003_checksums,
    m004_recording_dates,
    m005_videos_of_a_model,
    m006_runtimes,
    m007_still_windows,
    m008_window_kinds,
)
SCHEMA_VERSION = len(MIGRATIONS)


def _with_sqlite_utils(connection: sqlite3.Connection) -> sqlite_utils.Database:
    """sqlite-utils knows SQLite's rules for changing tables; a library of today's schema opens without importing it."""
    import sqlite_utils

    return sqlite_utils.Database(connection, execute_plugins=False)


def migrate(connection: sqlite3.Connection) -> None:
    """Runs the steps that are missing, all in one transaction; the version stands in `PRAGMA user_version`."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Read again inside: another process may have migrated while this one waited for the lock.
        for step in MIGRATIONS[shape_version(read_shape(connection)) or 0 :]:
            step(connection)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise

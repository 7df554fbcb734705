"""A library in an SQLite file: the videos that were indexed, their windows and vectors.

The database is the truth and every change to it one transaction; the index files are caches that are kept in step
with it.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vidsearch.errors import LibraryError, VideoError
from vidsearch.files import UNFINISHED_SUFFIX, absolute
from vidsearch.records import Hit, IndexedVideo, ScoredWindow, VideoFile, VideoRow, VideoState, WindowSpec
from vidsearch.store.availability import Availability, describe_root
from vidsearch.store.interface import LibraryInfo, ModelInfo, RootInfo
from vidsearch.store.paths import sort_key
from vidsearch.store.plan import Fingerprint, IndexPlan, make_plan
from vidsearch.store.sqlite import statements
from vidsearch.store.sqlite.database import FILE_NAME, Database
from vidsearch.store.sqlite.migrations import SCHEMA_VERSION
from vidsearch.store.sqlite.searching import Searcher, model_rows
from vidsearch.store.sqlite.stored_paths import from_stored, to_stored, within_sql
from vidsearch.store.sqlite.writer_lock import WriterLock
from vidsearch.store.vectors import BYTES_PER_VALUE, unit, unpack

log = logging.getLogger(__name__)

_HIT = tuple(field.name for field in fields(Hit))


class SqliteLibrary:
    """A library in one folder on disk. An object belongs to one thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = WriterLock(database.folder)
        self._searcher = Searcher(database.folder)

    @classmethod
    def open(cls, folder: Path, *, create: bool = True) -> SqliteLibrary:
        """Opens the library in `folder`, bringing an older schema forward.

        Raises LibraryError where there is none and `create` is False, and for one that is newer than this program,
        damaged or unreadable. A folder that cannot be written can be searched.
        """
        return cls(Database.open(absolute(folder), create=create))

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether the folder holds a library, sound or not."""
        return (folder / FILE_NAME).exists()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the files."""
        self._database.close()

    @property
    def folder(self) -> Path:
        """Where the library lies."""
        return self._database.folder

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Holds the writer's lock around several changes, and brings the index files in step when all went well.

        Raises LibraryError that names the other process if one is writing. Reading never waits for this lock.
        """
        with self._lock.held() as outermost:
            yield
            if outermost:
                self._refresh(anew=False)

    # -- what is to be done ------------------------------------------------------------------------------------------

    def roots(self) -> list[Path]:
        """What was given to `vidsearch index`, in that order."""
        with self._database.reading() as connection:
            return [root.path for root in statements.roots(connection)]

    def add_root(self, path: Path) -> None:
        """Remembers a folder or a single file, and how to recognise it; a file below a known folder is no root.

        Raises LibraryError if it is not there.
        """
        try:
            root = describe_root(absolute(path))
        except OSError as error:
            raise LibraryError(f"cannot add {path} ({error.strerror}): give a folder or a file that exists") from error
        with self._lock.held(), self._database.atomic() as connection:
            covered = any(known.is_folder and known.path in root.path.parents for known in statements.roots(connection))
            if root.is_folder or not covered:
                statements.add_root(connection, root)

    def plan(
        self,
        root: Path,
        found: Sequence[VideoFile],
        *,
        model: str,
        window_spec: WindowSpec,
        fingerprint: Fingerprint,
        retry_failed: bool = False,
        unreadable: Sequence[Path] = (),
    ) -> IndexPlan:
        """Compares what the walk found below `root` (a folder or a file) with the library. Writes nothing.

        `fingerprint` must cover the size of a file; it is called only where it can decide something. A VideoError from
        it leaves the file to be indexed, where the error is met again and recorded. `unreadable`: folders the walk
        could not look into; nothing below them counts as deleted. Make and apply a plan within one `writing()`.
        """
        root = absolute(root)
        with self._database.reading() as connection:
            known = statements.known_videos(connection, model, window_spec)
            roots = statements.roots(connection)
        availability = Availability(roots)
        return make_plan(
            root,
            found,
            known,
            availability,
            model=model,
            window_spec=window_spec,
            offline=not found and any(availability.root_is_offline(known) for known in roots if known.path == root),
            retry_failed=retry_failed,
            unreadable=[absolute(folder) for folder in unreadable],
            fingerprint=fingerprint,
        )

    # -- changes -----------------------------------------------------------------------------------------------------

    def apply(self, plan: IndexPlan) -> None:
        """Does all of a plan but `to_index`, in one transaction: moves, copies, new times, deletions."""
        with self._lock.held(), self._database.atomic() as connection:
            roots = statements.roots(connection)
            statements.apply_plan(connection, plan, Availability(roots))
            if not plan.offline and any(root.path == plan.root for root in roots):
                statements.renew_root(connection, plan.root)

    def record_indexed(self, video: IndexedVideo) -> None:
        """Puts a video, its windows and their vectors in the place of what was there, in one transaction."""
        with self._lock.held(), self._database.atomic() as connection:
            statements.record_indexed(connection, video, Availability(()).device_near(video.file.path) or "")

    def record_failed(self, file: VideoFile, error: VideoError, *, fingerprint: str | None) -> None:
        """Notes why a video could not be indexed; vectors of an older content leave with it."""
        with self._lock.held(), self._database.atomic() as connection:
            statements.record_failed(
                connection, file, Availability(()).device_near(file.path) or "", error, fingerprint
            )

    def remove(self, path: Path) -> int:
        """Forgets a video, or all videos and roots below a folder; how many videos. Touches no file of theirs."""
        with self._lock.held(), self._database.atomic() as connection:
            return statements.remove(connection, absolute(path))

    def remove_model(self, name: str) -> int:
        """Forgets all vectors of a model and its search index; how many windows. Videos of other models stay.

        LibraryError where there are none.
        """
        with self._lock.held():
            with self._database.atomic() as connection:
                removed = statements.remove_model(connection, name)
                held = ", ".join(row.name for row in model_rows(connection)) or "none"
            if removed is None:
                raise LibraryError(f"the library holds no vectors of {name}; it holds those of: {held}")
            for file in self.folder.glob(f"index-{removed[0]}.*"):
                file.unlink(missing_ok=True)
        return removed[1]

    # -- questions ---------------------------------------------------------------------------------------------------

    def search(
        self,
        vector: NDArray[np.floating],
        *,
        model: str,
        limit: int,
        under: Path | None = None,
        exact: bool = False,
    ) -> list[ScoredWindow]:
        """The `limit` windows nearest to a vector (E,), best first; equal scores by path and start.

        `under`: only videos at or below this path, always exact. `exact`: never ask the index. Empty for a library
        without vectors; LibraryError if it has those of other models only, or of another length.
        """
        place = None if under is None else absolute(under)
        with self._database.reading() as connection:
            found = self._searcher.search(connection, unit(vector), model=model, limit=limit, under=place, exact=exact)
            availability = Availability(statements.roots(connection))
        return [
            ScoredWindow(
                hit.video_id,
                hit.path,
                hit.start_s,
                hit.end_s,
                hit.score,
                offline=availability.where_is(hit.path, hit.device) == "offline",
            )
            for hit in found
        ]

    def videos(self, under: Path | None = None) -> list[VideoRow]:
        """Every video (at or below a path) by path: one row for each model that has seen it, one if it failed."""
        condition, parameters = ("true", {}) if under is None else within_sql("path", absolute(under))
        with self._database.reading() as connection:
            availability = Availability(statements.roots(connection))
            rows = connection.execute(
                f"""SELECT path, device, error_kind, error, duration_s, 0, reader, NULL
                FROM videos WHERE state = 'failed' AND {condition}
                UNION ALL
                SELECT path, device, NULL, damage, duration_s, i.windows, reader, m.name
                FROM videos v JOIN indexings i ON i.video_id = v.id JOIN models m ON m.id = i.model_id
                WHERE {condition}""",
                parameters,
            ).fetchall()
        listed = [_video_row(row, availability) for row in rows]
        return sorted(listed, key=lambda row: (sort_key(row.path), row.model or ""))

    def info(self) -> LibraryInfo:
        """What there is, and how much room it takes."""
        with self._database.reading() as connection:
            roots = statements.roots(connection)
            availability = Availability(roots)
            videos = connection.execute("SELECT path, device, state, duration_s FROM videos").fetchall()
            models = tuple(_model_info(connection, row.id) for row in model_rows(connection))
        offline = sum(availability.where_is(from_stored(path), device) == "offline" for path, device, _, _ in videos)
        return LibraryInfo(
            folder=self.folder,
            schema=SCHEMA_VERSION,
            roots=tuple(RootInfo(root.path, availability.root_is_offline(root)) for root in roots),
            models=models,
            indexed=sum(state == "indexed" for _, _, state, _ in videos),
            failed=sum(state == "failed" for _, _, state, _ in videos),
            offline=offline,
            duration_s=sum(duration for _, _, _, duration in videos if duration is not None),
            database_bytes=_bytes_of(self.folder, f"{FILE_NAME}*"),
            index_bytes=_bytes_of(self.folder, "index-*.hnsw*"),
        )

    # -- the last answer ---------------------------------------------------------------------------------------------

    def save_hits(self, query: str, hits: Sequence[Hit]) -> bool:
        """Keeps the numbered hits of a query for the next command; False where the library cannot be written.

        An answer is worth more than its record, so a library that is read-only or busy is no error here.
        """
        columns = ", ".join(_HIT)
        values = ", ".join(f":{name}" for name in _HIT)
        try:
            with self._database.quick() as connection:
                connection.execute("INSERT OR REPLACE INTO last_query (id, text) VALUES (1, ?)", (query,))
                connection.execute("DELETE FROM hits")
                connection.executemany(
                    f"INSERT INTO hits ({columns}) VALUES ({values})",
                    [asdict(hit) | {"path": to_stored(hit.path)} for hit in hits],
                )
        except LibraryError as error:
            log.info("the hits of this query are not kept: %s", error)
            return False
        return True

    def last_hits(self) -> tuple[str, list[Hit]]:
        """The last query and its hits by number; ("", []) before the first one."""
        with self._database.reading() as connection:
            query = connection.execute("SELECT text FROM last_query").fetchone()
            rows = connection.execute(f"SELECT {', '.join(_HIT)} FROM hits ORDER BY number").fetchall()
        return ("" if query is None else query[0]), [_hit(dict(zip(_HIT, row, strict=True))) for row in rows]

    # -- health ------------------------------------------------------------------------------------------------------

    def check(self) -> list[str]:
        """One sentence for each thing that is wrong; reads the whole library."""
        with self._database.reading() as connection:
            problems = [f"database: {row[0]}" for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
            problems += [
                f"database: a row of {table} refers to a missing row of {parent}"
                for table, _, parent, _ in connection.execute("PRAGMA foreign_key_check")
            ]
            problems += _check_vectors(connection)
            problems += [
                f"the search index of {model.name} is missing, damaged or behind: the next index run renews it"
                for model in model_rows(connection)
                if self._searcher.is_behind(connection, model)
            ]
        return problems

    def rebuild(self) -> None:
        """Makes new index files and gives the room of removed videos back to the disk."""
        with self._lock.held():
            self._refresh(anew=True)
            self._database.vacuum()

    def _refresh(self, *, anew: bool) -> None:
        for leftover in self.folder.glob(f".*{UNFINISHED_SUFFIX}"):  # of a process that was killed while it saved
            leftover.unlink(missing_ok=True)
        with self._database.reading() as connection:
            for model in model_rows(connection):
                self._searcher.refresh(connection, model, anew=anew)


def _video_row(row: tuple[Any, ...], availability: Availability) -> VideoRow:
    stored, device, error_kind, error, duration_s, windows, reader, model = row
    path = from_stored(stored)
    offline = availability.where_is(path, device) == "offline"
    state: VideoState = "offline" if offline else "failed" if error_kind else "indexed"
    return VideoRow(path, state, error_kind, error, duration_s, windows, reader, model)


def _model_info(connection: sqlite3.Connection, model_id: int) -> ModelInfo:
    name, dim, videos, windows = connection.execute(
        """SELECT m.name, m.dim, count(*), sum(i.windows)
        FROM models m JOIN indexings i ON i.model_id = m.id WHERE m.id = ?""",
        (model_id,),
    ).fetchone()
    specs = connection.execute(
        """SELECT window_length_s, window_stride_s, window_frames FROM indexings
        WHERE model_id = ? GROUP BY 1, 2, 3 ORDER BY count(*) DESC, 1, 2, 3""",
        (model_id,),
    )
    return ModelInfo(name, dim, videos, windows, tuple(WindowSpec(*spec) for spec in specs))


def _hit(row: dict[str, Any]) -> Hit:
    return Hit(**row | {"path": from_stored(row["path"]), "offline": bool(row["offline"])})


def _check_vectors(connection: sqlite3.Connection) -> Iterator[str]:
    rows = connection.execute(
        """SELECT v.path, m.name, m.dim, i.windows, i.vectors,
            (SELECT count(*) FROM windows w WHERE w.indexing_id = i.id)
        FROM indexings i JOIN videos v ON v.id = i.video_id JOIN models m ON m.id = i.model_id ORDER BY i.id"""
    )
    for stored, model, dim, windows, blob, listed in rows:
        where = f"{from_stored(stored)} ({model})"
        if len(blob) != windows * dim * BYTES_PER_VALUE or listed != windows:
            yield f"{where}: windows and vectors do not match: remove the video and index it again"
        # Float16 rounds each value by at most 2^-11 of itself, and so the length too.
        elif not np.allclose(np.linalg.norm(unpack(blob, dim), axis=1), 1, atol=2**-10):
            yield f"{where}: a vector is not of unit length: remove the video and index it again"


def _bytes_of(folder: Path, pattern: str) -> int:
    return sum(file.stat().st_size for file in folder.glob(pattern))

"""A library in an SQLite file: the videos that were indexed, their windows and vectors.

The database is the truth and every change to it one transaction; the index files are caches that are kept in step
with it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from vidsearch.errors import LibraryError, VideoError
from vidsearch.files import UNFINISHED_SUFFIX, absolute
from vidsearch.records import (
    Filter,
    Hit,
    IndexedVideo,
    ScoredWindow,
    Under,
    VideoEntry,
    VideoFile,
    VideoRow,
    WindowVectors,
)
from vidsearch.store.availability import Availability, describe_root
from vidsearch.store.paths import is_within, sort_key
from vidsearch.store.sqlite.database import FILE_NAME, Database
from vidsearch.store.sqlite.database import problems as database_problems
from vidsearch.store.sqlite.migrations import SCHEMA_VERSION
from vidsearch.store.sqlite.recent import RecentVideos
from vidsearch.store.sqlite.searching import EXACT_BELOW, GRAPH_FROM, Searcher
from vidsearch.store.sqlite.statements import entries, vectors, videos
from vidsearch.store.sqlite.statements import hits as hit_statements
from vidsearch.store.sqlite.statements.vectors import FoundWindows
from vidsearch.store.sqlite.writer_lock import WriterLock
from vidsearch.store.vectors import unit

if TYPE_CHECKING:
    from vidsearch.store.interface import LibraryInfo
    from vidsearch.store.plan import IndexPlan, PlanRequest

log = logging.getLogger(__name__)


class SqliteLibrary:
    """A library in one folder on disk. Any number of threads may share an object; one of them writes at a time."""

    def __init__(self, database: Database, searcher: Searcher, recent: RecentVideos) -> None:
        self._database = database
        self._searcher = searcher
        self._recent = recent
        self._lock = WriterLock(database.folder)
        self._unkept = database.folder / "hits.unkept"  # there while the hits of the last query are not

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        create: bool = True,
        exact_below: int = EXACT_BELOW,
        graph_from: int = GRAPH_FROM,
        warm: bool = False,
    ) -> SqliteLibrary:
        """Opens the library in `folder`, bringing an older schema forward.

        Raises LibraryError if there is none and `create` is False, and for one that is newer than this program,
        damaged or unreadable. A folder that cannot be written can be searched. `exact_below`: with fewer windows a
        model has no file of codes, `graph_from`: no HNSW graph; `warm`: it stays open for many searches, of which the
        first already loads what makes later ones quick, and what was read of videos is kept.
        """
        database = Database.open(absolute(folder), create=create)
        recent = RecentVideos() if warm else RecentVideos(0)
        searcher = Searcher(database.folder, recent, exact_below=exact_below, graph_from=graph_from, warm=warm)
        return cls(database, searcher, recent)

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether the folder holds a library, sound or not."""
        return (folder / FILE_NAME).exists()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
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
                self._database.check_in_place()
                self._refresh(anew=False)

    # -- what is to be done ------------------------------------------------------------------------------------------

    def roots(self) -> list[Path]:
        """What was given to `vidsearch index`, in that order."""
        with self._database.reading() as connection:
            return [root.path for root in videos.roots(connection)]

    def add_root(self, path: Path, *, by_name: bool = False) -> None:
        """Remembers a folder or a single file, and how to recognise it.

        A file below a known folder is a root only `by_name`: if a walk of that folder leaves it out. Raises
        LibraryError if it is not there.
        """
        try:
            root = describe_root(absolute(path))
        except OSError as error:
            raise LibraryError(f"cannot add {path} ({error.strerror}): give a folder or a file that exists") from error
        with self._lock.held(), self._database.transaction() as connection:
            covered = any(known.is_folder and known.path in root.path.parents for known in videos.roots(connection))
            if root.is_folder or by_name or not covered:
                videos.add_root(connection, root)

    def plan(self, request: PlanRequest) -> IndexPlan:
        """Compares what a walk found with the library. Writes nothing. Make and apply a plan within one `writing()`."""
        from vidsearch.store.plan import make_plan  # late, as other parts here that no query needs

        root = absolute(request.root)
        with self._database.reading() as connection:
            known = videos.known_videos(connection, request.extractors, root)
            roots = videos.roots(connection)
        availability = Availability(roots)
        offline = not request.found and any(availability.root_is_offline(row) for row in roots if row.path == root)
        unreadable = [absolute(folder) for folder in request.unreadable]
        inner = [row.path for row in roots if row.path != root and is_within(row.path, root)]
        request = replace(request, root=root, unreadable=unreadable)
        return make_plan(request, known, availability, offline=offline, inner_roots=inner)

    def damaged_outside(self, places: Sequence[Path]) -> list[Path]:
        """Videos, not at or below `places`, whose vectors or windows are not what was written; reads all of theirs."""
        with self._database.reading() as connection:
            found = vectors.damaged(connection, outside=[absolute(place) for place in places])
        return sorted({damage.path for damage in found}, key=sort_key)

    # -- changes -----------------------------------------------------------------------------------------------------

    def apply(self, plan: IndexPlan) -> None:
        """Does all of a plan but `to_index`, in one transaction: moves, copies, new times, deletions.

        A root that is not there any more leaves with the last video that moved away from it: it was renamed.
        """
        with self._lock.held(), self._database.transaction() as connection:
            roots = videos.roots(connection)
            videos.apply_plan(connection, plan, Availability(roots))
            if not plan.offline and any(root.path == plan.root for root in roots):
                videos.renew_root(connection, plan.root)
            for root in roots:
                if any(is_within(move.old, root.path) for move in plan.moved) and not os.path.lexists(root.path):
                    videos.remove_root_if_empty(connection, root.path)

    def record_indexed(self, video: IndexedVideo) -> None:
        """Puts a video, its windows and their vectors in the place of what was there, in one transaction."""
        with self._lock.held(), self._database.transaction() as connection:
            videos.record_indexed(connection, video, Availability(()).device_near(video.file.path) or "")

    def record_failed(self, file: VideoFile, error: VideoError, *, fingerprint: str | None) -> None:
        """Notes why a video could not be indexed; vectors of an older content leave with it."""
        with self._lock.held(), self._database.transaction() as connection:
            videos.record_failed(connection, file, Availability(()).device_near(file.path) or "", error, fingerprint)

    def undated(self, place: Path) -> list[Path]:
        """The videos at or below a place of which it was never asked when they were recorded."""
        with self._database.reading() as connection:
            return videos.undated(connection, absolute(place))

    def record_dates(self, dates: Mapping[Path, float | None]) -> None:
        """Notes when videos were recorded, in seconds of Unix time; None: their containers do not say."""
        with self._lock.held(), self._database.transaction() as connection:
            videos.record_dates(connection, dates)

    def remove(self, path: Path) -> int:
        """Forgets a video, or all videos and roots below a folder; how many videos. Touches no file of theirs."""
        with self._lock.held(), self._database.transaction() as connection:
            return videos.remove(connection, absolute(path))

    def remove_model(self, name: str) -> int:
        """Forgets all vectors of a model and its search index; how many windows. Videos of other models stay.

        Raises LibraryError if there are none.
        """
        with self._lock.held():
            with self._database.transaction() as connection:
                held = vectors.models(connection)
                model = next((row for row in held if row.name == name), None)
                if model is None:
                    names = ", ".join(row.name for row in held) or "none"
                    raise LibraryError(f"the library holds no vectors of {name}; it holds those of: {names}")
                videos.remove_model(connection, model.id)
            self._searcher.delete_files(model)
        return model.windows

    # -- questions ---------------------------------------------------------------------------------------------------

    def search(
        self,
        vector: NDArray[np.floating],
        *,
        model: str,
        limit: int,
        filters: Sequence[Filter] = (),
        exact: bool = False,
    ) -> list[ScoredWindow]:
        """The `limit` windows nearest to a vector (E,), best first; equal scores by path and start.

        `filters`: only videos that pass all of them, before the ranking. `exact`: compare with every window. Empty for
        a library without vectors; LibraryError if it has those of other models only, or of another length.
        """
        with self._database.reading() as connection:
            found = self._searcher.search(
                connection, unit(vector), model=model, limit=limit, filters=filters, exact=exact
            )
            availability = Availability(videos.roots(connection))
        return [] if found is None else _scored(found, availability)

    def window_vectors(self, path: Path, *, model: str) -> WindowVectors | None:
        """The windows of a video and their vectors; None if this model has not seen it, or they are damaged."""
        return self.windows_of_videos([path], model=model).get(path)

    def windows_of_videos(self, paths: Sequence[Path], *, model: str) -> dict[Path, WindowVectors]:
        """The same of many videos; those of which there is none are left out."""
        with self._database.reading() as connection:
            found = {path: vectors.of_video(connection, model, absolute(path), self._recent) for path in paths}
        return {path: windows for path, windows in found.items() if windows is not None}

    def videos(self, under: Path | None = None) -> list[VideoRow]:
        """Every video (at or below a path) by path: one row for each model that has seen it, one if it failed."""
        with self._database.reading() as connection:
            filters = () if under is None else (Under(absolute(under)),)
            rows = videos.listed(connection, filters, Availability(videos.roots(connection)))
        return sorted(rows, key=lambda row: (sort_key(row.path), row.model or ""))

    def info(self) -> LibraryInfo:
        """What there is, and how much room it takes."""
        from vidsearch.store.interface import LibraryInfo, RootInfo

        with self._database.reading() as connection:
            roots = videos.roots(connection)
            availability = Availability(roots)
            totals = videos.totals(connection, availability)
            models = tuple(vectors.model_info(connection, row) for row in vectors.models(connection))
        return LibraryInfo(
            folder=self.folder,
            schema=SCHEMA_VERSION,
            roots=tuple(RootInfo(root.path, availability.root_is_offline(root)) for root in roots),
            models=models,
            database_bytes=_bytes_of(self.folder, f"{FILE_NAME}*"),
            index_bytes=_bytes_of(self.folder, "index-*"),
            **totals,
        )

    def paths_of(self, fingerprint: str) -> list[Path]:
        """Where the library knows a content, by path."""
        with self._database.reading() as connection:
            return sorted(videos.paths_of(connection, fingerprint), key=sort_key)

    # -- videos by number --------------------------------------------------------------------------------------------

    def video(self, number: int) -> VideoEntry | None:
        """The video with a number, if there is one."""
        with self._database.reading() as connection:
            return entries.of_number(connection, number, Availability(videos.roots(connection)))

    def videos_at(self, paths: Sequence[Path]) -> dict[Path, VideoEntry]:
        """The videos at these paths, as far as the library knows them."""
        with self._database.reading() as connection:
            return entries.of_paths(connection, paths, Availability(videos.roots(connection)))

    def newest_videos(self, limit: int, offset: int = 0, *, failed: bool | None = None) -> tuple[int, list[VideoEntry]]:
        """How many videos there are, and a page of them, latest written first; `failed`: only those that (did not)."""
        state = {None: None, True: "failed", False: "indexed"}[failed]
        with self._database.reading() as connection:
            return entries.newest(connection, limit, offset, state, Availability(videos.roots(connection)))

    # -- the last answer ---------------------------------------------------------------------------------------------

    def save_hits(self, query: str, hits: Sequence[Hit]) -> bool:
        """Keeps the numbered hits of a query for the next command; False if the library cannot be written.

        An answer is worth more than its record, so a library that is read-only or busy is not an error here.
        """
        try:
            with self._database.transaction() as connection:
                hit_statements.save(connection, query, hits)
        except LibraryError as error:
            log.info("the hits of this query are not kept: %s", error)
            with suppress(OSError):  # what cannot be written holds no hits for anyone: see `last_hits`
                self._unkept.touch()
            return False
        with suppress(OSError):
            self._unkept.unlink(missing_ok=True)
        return True

    def last_hits(self) -> tuple[str, list[Hit]]:
        """The last query and its hits by number; ("", []) before the first one.

        Raises LibraryError if what it holds are the hits of an older query: it cannot be written, or could not when the
        last query was made.
        """
        if not self._database.writable:
            raise LibraryError(f"the library in {self.folder} cannot be written, so it keeps no hits: name the file")
        if self._unkept.exists():
            raise LibraryError("the hits of the last query could not be kept: query again, or name the file")
        with self._database.reading() as connection:
            return hit_statements.last(connection)

    # -- health ------------------------------------------------------------------------------------------------------

    def check(self) -> list[str]:
        """One sentence for each thing that is wrong; reads the whole library."""
        from vidsearch.store.sqlite.statements import repair

        with self._database.reading() as connection:
            found = database_problems(connection)
            unreadable = repair.bad_rows(connection)
            if unreadable:  # what follows would read them
                return found + [str(row) for row in unreadable]
            found += [
                f"{damage.path}: the {damage.what} damaged ({damage.model}): vidsearch index makes them again"
                for damage in vectors.damaged(connection)
            ]
            problems = (self._searcher.problem(connection, model) for model in vectors.models(connection))
            found += [problem for problem in problems if problem]
        return found

    def rebuild(self) -> None:
        """Drops rows that cannot be read, makes new index files, and gives free room back to the disk."""
        from vidsearch.store.sqlite.statements import repair

        with self._lock.held():
            with self._database.transaction() as connection:
                bad = repair.bad_rows(connection)
                repair.drop(connection, bad)
            if bad:
                log.warning("%d rows that could not be read were dropped; index again what they spoke of", len(bad))
            self._refresh(anew=True)
            self._database.vacuum()

    def _refresh(self, *, anew: bool) -> None:
        for leftover in self.folder.glob(f".*{UNFINISHED_SUFFIX}"):  # of a process that was killed while it saved
            leftover.unlink(missing_ok=True)
        with self._database.reading() as connection:
            for model in vectors.models(connection):
                self._searcher.refresh(connection, model, anew=anew)


def _scored(found: FoundWindows, availability: Availability) -> list[ScoredWindow]:
    videos = [(it, availability.where_is(it.path, it.device) == "offline") for it in found.videos]
    windows = zip(found.owners.tolist(), *found.spans_s.T.tolist(), found.scores.tolist(), strict=True)
    scored = []
    for owner, start_s, end_s, score in windows:
        video, offline = videos[owner]
        scored.append(
            ScoredWindow(
                video.id,
                video.path,
                start_s,
                end_s,
                score,
                offline,
                video.fingerprint,
                video.date_s,
                video.date_recorded,
            )
        )
    return scored


def _bytes_of(folder: Path, pattern: str) -> int:
    return sum(file.stat().st_size for file in folder.glob(pattern))

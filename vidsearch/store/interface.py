"""What the rest of vidsearch needs of a library. library.py opens one, sqlite/ is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from vidsearch.errors import VideoError
from vidsearch.records import (
    Filter,
    Hit,
    IndexedVideo,
    Runtime,
    ScoredWindow,
    VideoEntry,
    VideoFile,
    VideoRow,
    WindowSpec,
    WindowVectors,
)
from vidsearch.store.plan import IndexPlan, PlanRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class RootInfo:
    """A root and whether it is out of reach now."""

    path: Path
    offline: bool


@dataclass(frozen=True, slots=True)
class RuntimeInfo:
    """How many videos have vectors that a runtime made; None: those that an older vidsearch indexed."""

    runtime: Runtime | None
    videos: int


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model with vectors in the library. Several window specs: a change of them is not through all videos yet.

    Vectors of several runtimes may be compared with each other. A video whose run changed its runtime counts for both.
    """

    name: str
    dim: int
    videos: int
    windows: int
    window_specs: tuple[WindowSpec, ...]
    runtimes: tuple[RuntimeInfo, ...] = ()
    still_windows: int = 0  # of `windows`: those that took over the vector of an earlier one


@dataclass(frozen=True, slots=True)
class LibraryInfo:
    """What `vidsearch info` shows."""

    folder: Path
    schema: int
    roots: tuple[RootInfo, ...]
    models: tuple[ModelInfo, ...]
    indexed: int  # videos; each counts once
    failed: int
    offline: int
    duration_s: float  # of all videos whose length is known
    database_bytes: int  # with its write-ahead log
    index_bytes: int


class Library(Protocol):
    """Videos, their windows and vectors, kept on disk; a context manager that closes itself. Threads may share one.

    Every method raises LibraryError if the library is damaged, out of reach or busy.
    """

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def close(self) -> None:
        """Lets go of files and connections."""

    @property
    def folder(self) -> Path:
        """The folder on this machine that holds the library, or what is cached of it."""

    def writing(self) -> AbstractContextManager[None]:
        """Holds the writer's lock around several changes, and brings the search index in step when all went well.

        Raises LibraryError that names the other process if one is writing. Reading never waits for this lock.
        """

    # -- what is to be done

    def roots(self) -> list[Path]:
        """What was given to `vidsearch index`, in that order."""

    def add_root(self, path: Path, *, by_name: bool = False) -> None:
        """Remembers a folder or a single file, and how to recognise it.

        A file below a known folder is a root only `by_name`: if a walk of that folder leaves it out. Raises
        LibraryError if it is not there.
        """

    def plan(self, request: PlanRequest) -> IndexPlan:
        """Compares what a walk found with the library. Writes nothing. Make and apply a plan within one `writing()`."""

    def damaged_outside(self, places: Sequence[Path]) -> list[Path]:
        """Videos, not at or below `places`, whose vectors or windows are not what was written; reads all of theirs."""

    # -- changes

    def apply(self, plan: IndexPlan) -> None:
        """Does all of a plan but `to_index`, in one transaction: moves, copies, new times, deletions."""

    def record_indexed(self, video: IndexedVideo) -> None:
        """Puts a video, its windows and their vectors in the place of what was there, in one transaction."""

    def record_failed(self, file: VideoFile, error: VideoError, *, fingerprint: str | None) -> None:
        """Notes why a video could not be indexed; vectors of an older content leave with it."""

    def undated(self, place: Path) -> list[Path]:
        """The videos at or below a place of which it was never asked when they were recorded."""

    def record_dates(self, dates: Mapping[Path, float | None]) -> None:
        """Notes when videos were recorded, in seconds of Unix time; None: their containers do not say."""

    def remove(self, path: Path) -> int:
        """Forgets a video, or all videos and roots below a folder; how many videos. Touches no file of theirs."""

    def remove_model(self, name: str) -> int:
        """Forgets all vectors of a model and its search index; how many windows. Videos of other models stay.

        Raises LibraryError if there are none.
        """

    # -- questions

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

        `filters` restrict the search to the videos that pass all of them. They act before the ranking, whatever way
        the search takes: `limit` windows come back if that many pass. A kind of filter is a class of records.py and a
        condition on the row of a video in sqlite/statements/filters.py; no search knows more of it.
        `exact`: compare with every window. Empty for a library without vectors; LibraryError if it has those of other
        models only, or of another length.
        """

    def window_vectors(self, path: Path, *, model: str) -> WindowVectors | None:
        """The windows of a video and their vectors; None if this model has not seen it, or they are damaged."""

    def windows_of_videos(self, paths: Sequence[Path], *, model: str) -> dict[Path, WindowVectors]:
        """The same of many videos; those of which there is none are left out."""

    def videos(self, under: Path | None = None) -> list[VideoRow]:
        """Every video (at or below a path) by path: one row for each model that has seen it, one if it failed."""

    def info(self) -> LibraryInfo:
        """What there is, and how much room it takes."""

    def paths_of(self, fingerprint: str) -> list[Path]:
        """Where the library knows a content, by path."""

    # -- videos by number

    def video(self, number: int) -> VideoEntry | None:
        """The video with a number, if there is one."""

    def videos_at(self, paths: Sequence[Path]) -> dict[Path, VideoEntry]:
        """The videos at these paths, as far as the library knows them."""

    def newest_videos(self, limit: int, offset: int = 0, *, failed: bool | None = None) -> tuple[int, list[VideoEntry]]:
        """How many videos there are, and a page of them, latest written first; `failed`: only those that (did not)."""

    # -- the last answer

    def save_hits(self, query: str, hits: Sequence[Hit]) -> bool:
        """Keeps the numbered hits of a query for the next command; False if the library cannot be written."""

    def last_hits(self) -> tuple[str, list[Hit]]:
        """The last query and its hits by number; ("", []) before the first one.

        Raises LibraryError if the library cannot be written: what it holds are the hits of an older query.
        """

    # -- health

    def check(self) -> list[str]:
        """One sentence for each thing that is wrong; reads the whole library."""

    def rebuild(self) -> None:
        """Drops rows that cannot be read, makes a new search index, and gives free room back to the disk."""

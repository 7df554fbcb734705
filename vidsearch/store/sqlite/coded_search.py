"""The search in a model's file of codes: brought in step with the database, asked, and renewed by the writer.

A file that is behind stays useful: windows that have left are passed over, and those that came are compared one by one,
as long as they are few. So a commit changes no file, and the writer makes a new one only where enough has changed.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidsearch.frozen import dataclass
from vidsearch.records import Filter
from vidsearch.store import code_file
from vidsearch.store.code_file import CodeFile, Kept
from vidsearch.store.sqlite.recent import RecentVideos
from vidsearch.store.sqlite.statements import vectors, videos
from vidsearch.store.sqlite.statements.vectors import Candidates, CodedWindows, ModelRow
from vidsearch.store.vector_codes import DamagedCodes, Space
from vidsearch.store.vectors import IdRange, candidates

log = logging.getLogger(__name__)

# So many windows that have come or left are let be: 2.2 hours of video, or 1 in 100; comparing them takes 3 ms a
# thousand. What came while a writer is still at work may be ten times as much.
LEAST_CHANGED = 2_000
CHANGED_SHARE = 100
TAIL_AT_MOST = 20_000
# The mean of the vectors is that of the first build; beyond this growth, or when half of them have left, it is new.
MOST_GROWN = 1.5
VIDEOS_SAMPLED = 256
# The codes are asked for more windows than wanted: their order is not the final one.
SPARE = 32


@dataclass(frozen=True, slots=True)
class _Coded:
    """A file as of one state of the database. `alive`: its groups that count, None for all; `tail`: what it lacks, of
    the videos whose vectors have the ids from `tail_firsts` on."""

    changes: int
    identity: tuple[int, int, int] | None
    file: CodeFile | None
    alive: NDArray[np.bool_] | None = None
    tail: Candidates | None = None
    tail_firsts: frozenset[int] = frozenset()


class CodedSearch:
    """Answers from the files of codes of one library; any number of threads share one."""

    def __init__(self, folder: Path, recent: RecentVideos) -> None:
        self._folder = folder
        self._recent = recent
        self._states: dict[int, _Coded] = {}
        self._owners: dict[int, tuple[_Coded, NDArray[np.int64]]] = {}  # the video of each run, once a filter asks
        self._loading = threading.Lock()

    def forget(self, model: ModelRow) -> None:
        """The file of a model changes."""
        with self._loading:
            self._states.pop(model.id, None)
            self._owners.pop(model.id, None)

    def search(
        self,
        connection: sqlite3.Connection,
        model: ModelRow,
        query: NDArray[np.float32],
        limit: int,
        filters: Sequence[Filter],
        *,
        at_least: int,
    ) -> Candidates | None:
        """Candidates for the best `limit` windows; None where a pass is to be made.

        That is: no file that can be used, or fewer than `at_least` windows pass the filters.
        """
        state = self._ready(connection, model)
        if state is None or state.file is None:
            return None
        tail, runs = state.tail, None
        if filters:
            runs = np.isin(self._videos_of_runs(connection, model, state), videos.passing(connection, filters))
            if tail is not None:
                tail = tail.where(np.isin(tail.embeddings, vectors.embeddings_passing(connection, model, filters)))
            if int(state.file.counts[runs].sum()) + (0 if tail is None else len(tail.rows)) < at_least:
                return None
        try:
            found = self._from_file(connection, model, query, limit, state, runs)
        except DamagedCodes:
            found = None
        if found is None:
            log.warning("%s is damaged: searching exactly until it is renewed", self._path(model))
            with self._loading:
                self._states[model.id] = _Coded(state.changes, state.identity, None)
            return None
        return found if tail is None else found.and_also(tail.where(candidates(tail.rows @ query, limit)))

    def _from_file(
        self,
        connection: sqlite3.Connection,
        model: ModelRow,
        query: NDArray[np.float32],
        limit: int,
        state: _Coded,
        runs: NDArray[np.bool_] | None,
    ) -> Candidates | None:
        file, allowed = state.file, state.alive
        assert file is not None
        if runs is not None:
            allowed = file.groups_of(runs) if allowed is None else file.groups_of(runs) & allowed
        rows = file.codes.nearest(file.space.rotation @ query, limit + limit // 4 + SPARE, allowed)
        run = np.searchsorted(file.starts, rows, side="right") - 1
        windows = CodedWindows(file.firsts[run], rows - file.starts[run], file.codes.vector_checksums(rows))
        return vectors.read_coded(connection, model, windows, self._recent)

    def _videos_of_runs(self, connection: sqlite3.Connection, model: ModelRow, state: _Coded) -> NDArray[np.int64]:
        """(runs,): the number of the video of each, -1 of those that have left."""
        assert state.file is not None
        with self._loading:
            known, owners = self._owners.get(model.id, (None, None))
            if known is not state or owners is None:
                video_of = vectors.videos_by_first_id(connection, model)
                owners = np.array([video_of.get(first, -1) for first in state.file.firsts.tolist()], dtype=np.int64)
                self._owners[model.id] = state, owners
        return owners

    def _ready(self, connection: sqlite3.Connection, model: ModelRow) -> _Coded | None:
        """The state of what this transaction sees; None if another thread's already holds more."""
        with self._loading:
            state = self._states.get(model.id)
            if state is None or state.changes < model.changes:
                state = self._states[model.id] = self._bring_up(connection, model, state)
                if state.file is None:
                    log.info("no codes in step for %s: searching exactly", model.name)
        return state if state.changes == model.changes else None

    def _bring_up(self, connection: sqlite3.Connection, model: ModelRow, before: _Coded | None) -> _Coded:
        identity = code_file.identity(self._folder, model.index_name)
        if before is not None and before.identity == identity:
            file = before.file
        else:
            file = CodeFile.load(self._folder, model.index_name, model=model.name, dim=model.dim)
        if file is None or file.id_sums() == vectors.id_sums(connection, model):
            return _Coded(model.changes, identity, file)
        ranges = vectors.id_ranges(connection, model)
        missing = _missing(file, ranges)
        alive = file.groups_of(np.isin(file.firsts, _firsts(ranges)))
        if sum(ids.count for ids in missing) > TAIL_AT_MOST:
            return _Coded(model.changes, identity, None)
        firsts = frozenset(ids.first for ids in missing)
        kept = before if before is not None and before.file is file and before.tail_firsts <= firsts else None
        tail = vectors.read_videos(connection, model, sorted(firsts - kept.tail_firsts if kept else firsts))
        if kept is not None and kept.tail is not None:  # a writer is at work: the tail grows with each of its commits
            tail = kept.tail.and_also(tail)
        return _Coded(model.changes, identity, file, alive, tail, firsts)

    # -- the writer's part

    def is_behind(self, connection: sqlite3.Connection, model: ModelRow) -> bool:
        """Whether the file on disk is missing, damaged, or so far behind that a writer would renew it."""
        file = CodeFile.load(self._folder, model.index_name, model=model.name, dim=model.dim)
        return file is None or not file.is_sound() or _is_far_behind(file, vectors.id_ranges(connection, model))

    def refresh(self, connection: sqlite3.Connection, model: ModelRow, *, anew: bool) -> None:
        """Renews the file if enough has changed. The caller holds the writer's lock. OSError if the disk refuses."""
        self.forget(model)
        ranges = vectors.id_ranges(connection, model)
        file = CodeFile.load(self._folder, model.index_name, model=model.name, dim=model.dim)
        if file is not None and (anew or not file.is_sound()):
            file = None
        if file is not None and not _is_far_behind(file, ranges):
            return
        kept = None if file is None else _kept(file, ranges)

        def read(first: int, count: int) -> NDArray[np.float32] | None:
            try:
                return vectors.read_range(connection, model, IdRange(first, count))
            except vectors.DamagedVectors:
                return None

        new = ranges if kept is None else _missing(kept.file, ranges)
        log.info("coding %d videos of %s for search, %d stay", len(new), model.name, len(ranges) - len(new))
        code_file.write(
            self._folder,
            model.index_name,
            model=model.name,
            space=kept.file.space if kept else Space.around(_mean(connection, model, ranges)),
            new=[(ids.first, ids.count) for ids in new],
            read=read,
            kept=kept,
        )

    def _path(self, model: ModelRow) -> Path:
        return code_file.file_of(self._folder, model.index_name)


def _firsts(ranges: Sequence[IdRange]) -> NDArray[np.int64]:
    return np.fromiter((ids.first for ids in ranges), dtype=np.int64, count=len(ranges))


def _missing(file: CodeFile, ranges: Sequence[IdRange]) -> list[IdRange]:
    """The videos that the file does not hold."""
    held = np.isin(_firsts(ranges), file.firsts)
    return [ids for ids, is_held in zip(ranges, held.tolist(), strict=True) if not is_held]


def _is_far_behind(file: CodeFile, ranges: Sequence[IdRange]) -> bool:
    coming = sum(ids.count for ids in _missing(file, ranges))
    leaving = int(file.counts[~np.isin(file.firsts, _firsts(ranges))].sum())
    return coming + leaving > max(LEAST_CHANGED, file.head.rows // CHANGED_SHARE)


def _kept(file: CodeFile, ranges: Sequence[IdRange]) -> Kept | None:
    """What goes on of a file; None if a mean of its own is better for the library as it is now."""
    going_on = np.isin(file.firsts, _firsts(ranges))
    rows = int(file.counts[going_on].sum())
    total = sum(ids.count for ids in ranges)
    if total > MOST_GROWN * file.head.built or rows < file.head.built / 2:
        return None
    return Kept(file, going_on)


def _mean(connection: sqlite3.Connection, model: ModelRow, ranges: Sequence[IdRange]) -> NDArray[np.float32]:
    """About the mean of all vectors: that of some videos of each part of the library."""
    means = []
    for ids in ranges[:: max(1, len(ranges) // VIDEOS_SAMPLED)]:
        try:
            means.append(vectors.read_range(connection, model, ids).mean(axis=0))
        except vectors.DamagedVectors:
            continue
    return np.asarray(np.mean(means, axis=0) if means else np.zeros(model.dim), dtype=np.float32)

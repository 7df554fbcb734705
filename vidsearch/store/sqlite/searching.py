"""Which windows are nearest to a query: the exact pass over all vectors, or the index where that is quicker."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidsearch.errors import LibraryError
from vidsearch.store.paths import sort_key
from vidsearch.store.sqlite.statements import LABELS_PER_VIDEO
from vidsearch.store.sqlite.stored_paths import StoredPath, from_stored, within_sql
from vidsearch.store.vector_index import Labels, VectorIndex, can_be_named, files_of
from vidsearch.store.vectors import BYTES_PER_VALUE, candidates, scores_of, unpack

log = logging.getLogger(__name__)

# Below this number of windows a library that stays open answers as quickly from a matrix in memory as from the index
# (docs/search.md has the figures and the command), and no index file is kept.
EXACT_BELOW = 20_000
# An index that is behind by at most this is brought up in memory by whoever searches; further back, search is exact
# until a writer has brought the file up.
CATCH_UP_AT_MOST = 2_000
# Vectors unpacked at a time in a pass over the whole library: large enough for BLAS, small enough for its cache.
ROWS_AT_ONCE = 512
# The index is asked for some more than wanted: its order among nearly equal ones is not the final one.
SPARE = 32


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model with vectors in the library."""

    id: int
    name: str
    dim: int
    changes: int
    windows: int

    @property
    def index_name(self) -> str:
        return f"index-{self.id}"


@dataclass(frozen=True, slots=True)
class Found:
    """A window and its score."""

    video_id: int
    path: Path
    device: str
    start_s: float
    end_s: float
    score: float


@dataclass(frozen=True, slots=True)
class _Matrix:
    """All vectors of a model in memory. Row r is window r - starts[i] of indexing ids[i], i the last start <= r."""

    changes: int
    rows: NDArray[np.float32]
    ids: NDArray[np.int64]
    starts: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Windows that may be among the best: (n,) indexing and ordinal, (n, E) vectors."""

    indexings: NDArray[np.int64]
    ordinals: NDArray[np.int64]
    rows: NDArray[np.float32]


class Searcher:
    """Answers queries for one open library and keeps its index files.

    The first search of an open library is a pass over the vectors in the database: it reads half as many bytes as the
    index file has, and where there is such a file a process that asks once gains nothing by loading it
    (docs/search.md). One that goes on asking gets the matrix (small libraries) or the index.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._searched = False
        self._matrices: dict[int, _Matrix] = {}
        self._indexes: dict[int, tuple[int, VectorIndex | None]] = {}  # model → (its changes then, index if usable)

    def search(
        self,
        connection: sqlite3.Connection,
        query: NDArray[np.float32],
        *,
        model: str,
        limit: int,
        under: Path | None,
        exact: bool,
    ) -> list[Found]:
        """The best `limit` windows, best first, equal ones by path and start. Raises LibraryError for a wrong model."""
        chosen = choose_model(connection, model, len(query))
        if chosen is None or limit < 1:
            return []
        first_time, self._searched = not self._searched, True
        found: _Candidates | None = None
        if under is None and chosen.windows < EXACT_BELOW:
            found = self._from_matrix(connection, chosen, query, limit)
        elif under is None and not exact and not first_time:
            found = self._from_index(connection, chosen, query, limit)
        if found is None:
            found = _from_pass(connection, chosen, query, limit, under)
        return _rank(connection, found, query, limit)

    def is_behind(self, connection: sqlite3.Connection, model: ModelRow) -> bool:
        """Whether the index file on disk is missing, unusable or not in step, for a model that should have one."""
        if model.windows < EXACT_BELOW or not can_be_named(self._folder):
            return False
        index = VectorIndex.load(self._folder, model.index_name, model=model.name, dim=model.dim)
        return index is None or set(index.runs) != set(_runs(connection, model))

    def refresh(self, connection: sqlite3.Connection, model: ModelRow, *, anew: bool) -> None:
        """Brings the index file in step. The caller holds the writer's lock. A full disk leaves search exact."""
        self._indexes.pop(model.id, None)
        if model.windows < EXACT_BELOW or not can_be_named(self._folder):
            for file in files_of(self._folder, model.index_name):
                file.unlink(missing_ok=True)
            return
        runs = _runs(connection, model)
        loaded = None if anew else VectorIndex.load(self._folder, model.index_name, model=model.name, dim=model.dim)
        if loaded is not None and set(loaded.runs) == set(runs):
            return

        def read(run: Labels) -> NDArray[np.float32]:
            return _read_run(connection, model, run)

        if loaded is None or not loaded.catch_up(runs, read):
            loaded = VectorIndex.build(model.dim, runs, read)
        try:
            loaded.save(self._folder, model.index_name, model.name)
        except OSError as error:
            log.warning("the search index could not be saved, searches stay exact: %s", error)

    def _from_matrix(
        self, connection: sqlite3.Connection, model: ModelRow, query: NDArray[np.float32], limit: int
    ) -> _Candidates:
        matrix = self._matrices.get(model.id)
        if matrix is None or matrix.changes != model.changes:
            matrix = self._matrices[model.id] = _load_matrix(connection, model)
        positions = candidates(matrix.rows @ query, limit)
        owner = np.searchsorted(matrix.starts, positions, side="right") - 1
        return _Candidates(matrix.ids[owner], positions - matrix.starts[owner], matrix.rows[positions])

    def _from_index(
        self, connection: sqlite3.Connection, model: ModelRow, query: NDArray[np.float32], limit: int
    ) -> _Candidates | None:
        index = self._ready_index(connection, model)
        found = None if index is None else index.search(query, limit + SPARE)
        if found is None:
            return None
        labels, rows = found
        ordinals = labels % LABELS_PER_VIDEO
        ids = {first: _indexing_at(connection, model, first) for first in set((labels - ordinals).tolist())}
        return _Candidates(np.array([ids[first] for first in (labels - ordinals).tolist()]), ordinals, rows)

    def _ready_index(self, connection: sqlite3.Connection, model: ModelRow) -> VectorIndex | None:
        """The index in step with the database, or None: then this search is exact."""
        changes, index = self._indexes.get(model.id, (None, None))
        if changes == model.changes:
            return index
        if index is None and can_be_named(self._folder):
            index = VectorIndex.load(self._folder, model.index_name, model=model.name, dim=model.dim)
        if index is not None and not self._bring_up(connection, model, index):
            index = None
        if index is None:
            log.info("no index in step for %s: searching exactly", model.name)
        self._indexes[model.id] = (model.changes, index)
        return index

    def _bring_up(self, connection: sqlite3.Connection, model: ModelRow, index: VectorIndex) -> bool:
        runs = _runs(connection, model)
        held = set(index.runs)
        behind = sum(run.count for run in runs if run not in held)
        return behind <= CATCH_UP_AT_MOST and index.catch_up(runs, lambda run: _read_run(connection, model, run))


def model_rows(connection: sqlite3.Connection) -> list[ModelRow]:
    """The models that have vectors in the library, by name."""
    rows = connection.execute(
        """SELECT m.id, m.name, m.dim, m.changes, sum(i.windows)
        FROM models m JOIN indexings i ON i.model_id = m.id GROUP BY m.id ORDER BY m.name"""
    )
    return [ModelRow(*row) for row in rows]


def choose_model(connection: sqlite3.Connection, name: str, dim: int) -> ModelRow | None:
    """The row of a model; None in a library without any vectors.

    Raises LibraryError if the library holds other models only, or vectors of another length.
    """
    models = model_rows(connection)
    if not models:
        return None
    chosen = next((model for model in models if model.name == name), None)
    if chosen is None:
        held = ", ".join(model.name for model in models)
        raise LibraryError(
            f"nothing is indexed with the model {name}, only with {held}: search with `--model {models[0].name}`, "
            f"or index your folders with `--model {name}`"
        )
    if chosen.dim != dim:
        raise LibraryError(
            f"the library holds vectors of {chosen.dim} values for the model {name}, the query has {dim}: "
            "the weights are not those used for indexing; use the same ones, or index again"
        )
    return chosen


def _from_pass(
    connection: sqlite3.Connection, model: ModelRow, query: NDArray[np.float32], limit: int, under: Path | None
) -> _Candidates:
    """Reads every vector once and keeps only its rough score, so that memory stays flat however large the library."""
    ids: list[int] = []
    counts: list[int] = []
    quick: list[NDArray[np.float32]] = [np.empty(0, dtype=np.float32)]
    for batch in _batches(connection, model, under):
        ids.extend(indexing for indexing, _ in batch)
        counts.extend(len(blob) // (model.dim * BYTES_PER_VALUE) for _, blob in batch)
        quick.append(unpack(b"".join(blob for _, blob in batch), model.dim) @ query)
    positions = candidates(np.concatenate(quick), limit)
    starts = np.cumsum([0, *counts])
    owner = np.searchsorted(starts, positions, side="right") - 1
    ordinals = positions - starts[owner]
    indexings = np.array(ids, dtype=np.int64)[owner]
    return _Candidates(indexings, ordinals, _read_rows(connection, model, indexings, ordinals))


def _batches(connection: sqlite3.Connection, model: ModelRow, under: Path | None) -> Iterator[list[tuple[int, bytes]]]:
    """The packed vectors of all videos (below a folder), some thousand windows at a time."""
    statement = "SELECT i.id, i.vectors FROM indexings i"
    parameters: dict[str, StoredPath | int] = {"model": model.id}
    if under is None:
        statement += " WHERE i.model_id = :model"
    else:
        condition, places = within_sql("v.path", under)
        statement += f" JOIN videos v ON v.id = i.video_id WHERE i.model_id = :model AND {condition}"
        parameters |= places
    batch: list[tuple[int, bytes]] = []
    size = 0
    for row in connection.execute(statement + " ORDER BY i.id", parameters):
        batch.append(row)
        size += len(row[1])
        if size >= ROWS_AT_ONCE * model.dim * BYTES_PER_VALUE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _load_matrix(connection: sqlite3.Connection, model: ModelRow) -> _Matrix:
    pieces = [piece for batch in _batches(connection, model, None) for piece in batch]
    rows = unpack(b"".join(blob for _, blob in pieces), model.dim)
    counts = [len(blob) // (model.dim * BYTES_PER_VALUE) for _, blob in pieces]
    ids = np.array([indexing for indexing, _ in pieces], dtype=np.int64)
    return _Matrix(model.changes, rows, ids, np.cumsum([0, *counts[:-1]]))


def _read_rows(
    connection: sqlite3.Connection, model: ModelRow, indexings: NDArray[np.int64], ordinals: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The vectors of given windows, (n, E)."""
    rows = np.empty((len(indexings), model.dim), dtype=np.float32)
    for indexing in np.unique(indexings).tolist():
        blob = connection.execute("SELECT vectors FROM indexings WHERE id = ?", (indexing,)).fetchone()[0]
        mine = indexings == indexing
        rows[mine] = unpack(blob, model.dim)[ordinals[mine]]
    return rows


def _rank(connection: sqlite3.Connection, found: _Candidates, query: NDArray[np.float32], limit: int) -> list[Found]:
    scores = scores_of(found.rows, query)
    if len(scores) > limit:
        edge = np.partition(scores, len(scores) - limit)[len(scores) - limit]
        kept: Sequence[int] = np.flatnonzero(scores >= edge).tolist()  # all that are equal at the edge
    else:
        kept = range(len(scores))
    windows = [
        _describe(connection, int(found.indexings[row]), int(found.ordinals[row]), float(scores[row])) for row in kept
    ]
    windows.sort(key=lambda window: (-window.score, sort_key(window.path), window.start_s))
    return windows[:limit]


def _describe(connection: sqlite3.Connection, indexing: int, ordinal: int, score: float) -> Found:
    video_id, path, device, start_s, end_s = connection.execute(
        """SELECT v.id, v.path, v.device, w.start_s, w.end_s
        FROM windows w JOIN indexings i ON i.id = w.indexing_id JOIN videos v ON v.id = i.video_id
        WHERE w.indexing_id = ? AND w.ordinal = ?""",
        (indexing, ordinal),
    ).fetchone()
    return Found(video_id, from_stored(path), device, start_s, end_s, score)


def _runs(connection: sqlite3.Connection, model: ModelRow) -> list[Labels]:
    """What the index must hold, in the order in which the videos came."""
    rows = connection.execute("SELECT first_label, windows FROM indexings WHERE model_id = ? ORDER BY id", (model.id,))
    return [Labels(first, count) for first, count in rows]


def _read_run(connection: sqlite3.Connection, model: ModelRow, run: Labels) -> NDArray[np.float32]:
    statement = "SELECT vectors FROM indexings WHERE model_id = ? AND first_label = ?"
    return unpack(connection.execute(statement, (model.id, run.first)).fetchone()[0], model.dim)


def _indexing_at(connection: sqlite3.Connection, model: ModelRow, first_label: int) -> int:
    statement = "SELECT id FROM indexings WHERE model_id = ? AND first_label = ?"
    return int(connection.execute(statement, (model.id, first_label)).fetchone()[0])

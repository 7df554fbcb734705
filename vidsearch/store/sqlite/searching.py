"""Which windows are nearest to a query: by the exact pass over all vectors, or by what is quicker."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vidsearch.errors import LibraryError
from vidsearch.frozen import dataclass
from vidsearch.records import Filter
from vidsearch.store.paths import sort_key
from vidsearch.store.sqlite.recent import RecentVideos
from vidsearch.store.sqlite.statements import vectors
from vidsearch.store.sqlite.statements.vectors import VECTOR_IDS_PER_VIDEO, Candidates, FoundWindows, ModelRow
from vidsearch.store.vectors import BYTES_PER_VALUE, IdRange, candidates, scores_of, unpack

if TYPE_CHECKING:
    from vidsearch.store.sqlite.coded_search import CodedSearch
    from vidsearch.store.vector_index import VectorIndex

log = logging.getLogger(__name__)

# Below this number of windows a library that stays open answers as quickly from a matrix in memory as from codes
# (docs/search.md has the figures and the command), and no file of either kind is kept.
EXACT_BELOW = 20_000
# From this number on a library that stays open is searched in the HNSW graph. Up to a million windows, the most that
# was measured, codes are quicker, find more and are made in a twentieth of the time (docs/search.md). Their time grows
# with the library and the graph's does not: at ten times as many they would take about 0.1 s, by extrapolation.
GRAPH_FROM = 10_000_000
# An index that is behind by at most this is brought up in memory by whoever searches; further back, search is exact
# until a writer has brought the file up.
CATCH_UP_AT_MOST = 2_000
# The index is asked for some more than wanted: its order among nearly equal ones is not the final one.
SPARE = 32


@dataclass(frozen=True, slots=True)
class _Matrix:
    """All vectors of a model in memory. Row r is window r - starts[i] of embedding ids[i], i the last start <= r."""

    changes: int
    rows: NDArray[np.float32]
    ids: NDArray[np.int64]
    starts: NDArray[np.int64]


class Searcher:
    """Answers queries for one open library and keeps its index files; any number of threads share one.

    A small library answers by a pass over the vectors in the database or, when it stays open, from a matrix; a larger
    one from its file of codes. A very large one that stays open gets the HNSW graph at its second search, as a process
    that asks once gains nothing by loading it (docs/search.md); `warm` says at once that it stays.

    A thread whose transaction began before the change that a matrix or an index already holds searches by a pass.
    """

    def __init__(
        self,
        folder: Path,
        recent: RecentVideos,
        *,
        exact_below: int = EXACT_BELOW,
        graph_from: int = GRAPH_FROM,
        warm: bool = False,
    ) -> None:
        self._folder = folder
        self._recent = recent
        self._exact_below = exact_below
        self._graph_from = graph_from
        self._warm = warm
        self._counted: ModelRow | None = None  # the model asked last: counting its windows takes a millisecond
        self._matrices: dict[int, _Matrix] = {}
        self._indexes: dict[int, tuple[int, VectorIndex | None]] = {}  # model → (its changes then, index if usable)
        # Around loading, and around every use of an index: hnswlib searches and changes a graph in one thread only.
        self._loading = threading.Lock()
        self._using_index = threading.Lock()

    @cached_property
    def _coded(self) -> CodedSearch:
        from vidsearch.store.sqlite.coded_search import CodedSearch  # late: small libraries have no codes

        return CodedSearch(self._folder, self._recent)

    def search(
        self,
        connection: sqlite3.Connection,
        query: NDArray[np.float32],
        *,
        model: str,
        limit: int,
        filters: Sequence[Filter],
        exact: bool,
    ) -> FoundWindows | None:
        """The best `limit` windows, best first, equal ones by path and start; None if there can be none.

        Raises LibraryError for a wrong model.
        """
        chosen = self._model(connection, model, len(query))
        if chosen is None or limit < 1:
            return None
        warm, self._warm = self._warm, True
        found: Candidates | None = None
        route = "matrix"
        # A matrix takes reading all vectors: too much for one search in a part of the library.
        if chosen.windows < self._exact_below and (not filters or chosen.id in self._matrices):
            found = self._from_matrix(connection, chosen, query, limit, filters)
        elif chosen.windows >= self._exact_below and not exact:
            if warm and not filters and self._keeps_graph(chosen):
                route = "index"
                found = self._from_index(connection, chosen, query, limit)
            if found is None:
                route = "codes"
                found = self._coded.search(connection, chosen, query, limit, filters, at_least=self._exact_below)
        if found is None:
            route = "pass"
            found = _from_pass(connection, chosen, query, limit, filters)
        log.info("searched %d windows of %s: %s", chosen.windows, model, route)
        return self._rank(connection, found, query, limit)

    def _model(self, connection: sqlite3.Connection, name: str, dim: int) -> ModelRow | None:
        counted = self._counted
        if counted is None or counted.dim != dim or not vectors.is_unchanged(connection, counted, name):
            self._counted = counted = choose_model(connection, name, dim)
        return counted

    def _rank(
        self, connection: sqlite3.Connection, found: Candidates, query: NDArray[np.float32], limit: int
    ) -> FoundWindows:
        scores = scores_of(found.rows, query)
        kept = np.arange(len(scores))
        if len(scores) > limit:
            edge = np.partition(scores, len(scores) - limit)[len(scores) - limit]
            kept = np.flatnonzero(scores >= edge)  # all that are equal at the edge
        windows = vectors.windows(connection, found.embeddings[kept], found.ordinals[kept], scores[kept])
        by_path = sorted(range(len(windows.videos)), key=lambda place: sort_key(windows.videos[place].path))
        ranks = np.empty(len(by_path), dtype=np.intp)
        ranks[by_path] = np.arange(len(by_path))
        order = np.lexsort((windows.spans_s[:, 0], ranks[windows.owners], -windows.scores))[:limit]
        return FoundWindows(windows.videos, windows.owners[order], windows.spans_s[order], windows.scores[order])

    def problem(self, connection: sqlite3.Connection, model: ModelRow) -> str | None:
        """A sentence if an index file on disk is missing, unusable or behind, for a model that should have one."""
        if not self._is_behind(connection, model):
            return None
        from vidsearch.store import code_file, vector_index

        places = (
            code_file.file_of(self._folder, model.index_name),
            *vector_index.files_of(self._folder, model.index_name),
        )
        if taken := next((place for place in places if place.is_dir()), None):
            return (
                f"the search index of {model.name} cannot be written: {taken} is a folder; "
                "move it away, and the next index run makes the file"
            )
        return f"the search index of {model.name} is missing, damaged or behind: the next index run renews it"

    def _is_behind(self, connection: sqlite3.Connection, model: ModelRow) -> bool:
        if model.windows < self._exact_below:
            return False
        if self._coded.is_behind(connection, model):
            return True
        if not self._keeps_graph(model):
            return False
        from vidsearch.store.vector_index import VectorIndex

        index = VectorIndex.load(self._folder, model.index_name, model=model.name, dim=model.dim)
        return index is None or set(index.id_ranges) != set(vectors.id_ranges(connection, model))

    def refresh(self, connection: sqlite3.Connection, model: ModelRow, *, anew: bool) -> None:
        """Brings the index files in step. The caller holds the writer's lock. A full disk leaves search exact."""
        from vidsearch.store import code_file, vector_index

        with self._using_index:
            self._indexes.pop(model.id, None)
        try:
            if model.windows < self._exact_below:
                self._coded.forget(model)
                code_file.delete(self._folder, model.index_name)
            else:
                self._coded.refresh(connection, model, anew=anew)
            if model.windows < self._graph_from:
                vector_index.delete(self._folder, model.index_name)
            elif self._keeps_graph(model):
                self._refresh_graph(connection, model, anew=anew)
        except OSError as error:
            log.warning("the search index could not be saved, searches stay exact: %s", error)
        except vectors.DamagedVectors:
            log.warning("no search index for %s, searches stay exact: the library has damaged vectors", model.name)

    def delete_files(self, model: ModelRow) -> None:
        """Deletes the index files of a model that leaves the library."""
        from vidsearch.store import code_file, vector_index

        self._coded.forget(model)
        code_file.delete(self._folder, model.index_name)
        vector_index.delete(self._folder, model.index_name)

    def _refresh_graph(self, connection: sqlite3.Connection, model: ModelRow, *, anew: bool) -> None:
        from vidsearch.store.vector_index import VectorIndex

        ranges = vectors.id_ranges(connection, model)
        loaded = None if anew else VectorIndex.load(self._folder, model.index_name, model=model.name, dim=model.dim)
        if loaded is not None and set(loaded.id_ranges) == set(ranges):
            return

        def read(ids: IdRange) -> NDArray[np.float32]:
            return vectors.read_range(connection, model, ids)

        if loaded is None or not loaded.catch_up(ranges, read):
            loaded = VectorIndex.build(model.dim, ranges, read)
        loaded.save(self._folder, model.index_name, model.name)

    def _keeps_graph(self, model: ModelRow) -> bool:
        if model.windows < self._graph_from:
            return False
        from vidsearch.store import vector_index  # late, as everywhere here: most libraries have no graph

        return vector_index.can_be_named(self._folder) and vector_index.is_installed()

    def _from_matrix(
        self,
        connection: sqlite3.Connection,
        model: ModelRow,
        query: NDArray[np.float32],
        limit: int,
        filters: Sequence[Filter],
    ) -> Candidates | None:
        matrix = self._ready_matrix(connection, model)
        if matrix is None:
            return None
        if not filters:
            positions = candidates(matrix.rows @ query, limit)
        else:
            allowed = np.isin(matrix.ids, vectors.embeddings_passing(connection, model, filters))
            searched = np.flatnonzero(np.repeat(allowed, np.diff([*matrix.starts, len(matrix.rows)])))
            positions = searched[candidates(matrix.rows[searched] @ query, limit)]
        owner = np.searchsorted(matrix.starts, positions, side="right") - 1
        return Candidates(matrix.ids[owner], positions - matrix.starts[owner], matrix.rows[positions])

    def _ready_matrix(self, connection: sqlite3.Connection, model: ModelRow) -> _Matrix | None:
        """The matrix of what this transaction sees; None if another thread's already holds more."""
        with self._loading:
            matrix = self._matrices.get(model.id)
            if matrix is None or matrix.changes < model.changes:
                matrix = self._matrices[model.id] = _load_matrix(connection, model)
        return matrix if matrix.changes == model.changes else None

    def _from_index(
        self, connection: sqlite3.Connection, model: ModelRow, query: NDArray[np.float32], limit: int
    ) -> Candidates | None:
        with self._using_index:
            index = self._ready_index(connection, model)
            found = None if index is None else index.search(query, limit + SPARE)
        if found is None:
            return None
        vector_ids, rows = found
        ordinals = vector_ids % VECTOR_IDS_PER_VIDEO
        firsts = (vector_ids - ordinals).tolist()
        distinct = sorted(set(firsts))
        embeddings = vectors.embeddings_at(connection, model, distinct)
        if len(embeddings) < len(distinct):  # the manifest names vectors that the graph does not hold
            return None
        return Candidates(np.array([embeddings[first] for first in firsts]), ordinals, rows)

    def _ready_index(self, connection: sqlite3.Connection, model: ModelRow) -> VectorIndex | None:
        """The index in step with the database, or None: then this search is exact."""
        changes, index = self._indexes.get(model.id, (-1, None))
        if changes == model.changes:
            return index
        if changes > model.changes:  # another thread's transaction began later
            return None
        if index is None:
            from vidsearch.store.vector_index import VectorIndex

            index = VectorIndex.load(self._folder, model.index_name, model=model.name, dim=model.dim)
        if index is not None and not self._bring_up(connection, model, index):
            index = None
        if index is None:
            log.info("no index in step for %s: searching without it", model.name)
        self._indexes[model.id] = (model.changes, index)
        return index

    def _bring_up(self, connection: sqlite3.Connection, model: ModelRow, index: VectorIndex) -> bool:
        ranges = vectors.id_ranges(connection, model)
        held = set(index.id_ranges)
        behind = sum(ids.count for ids in ranges if ids not in held)
        try:
            return behind <= CATCH_UP_AT_MOST and index.catch_up(
                ranges, lambda ids: vectors.read_range(connection, model, ids)
            )
        except vectors.DamagedVectors:
            return False


def choose_model(connection: sqlite3.Connection, name: str, dim: int) -> ModelRow | None:
    """The row of a model; None in a library without any vectors.

    Raises LibraryError if the library holds other models only, or vectors of another length.
    """
    models = vectors.models(connection)
    if not models:
        return None
    chosen = next((model for model in models if model.name == name), None)
    if chosen is None:
        held = ", ".join(model.name for model in models)
        raise LibraryError(
            f"nothing is indexed with the model {name}, only with {held}",
            ways=(f"vidsearch query --model {models[0].name}", f"vidsearch index FOLDER --model {name}"),
        )
    if chosen.dim != dim:
        raise LibraryError(
            f"the library holds vectors of {chosen.dim} values for the model {name}, the query has {dim}: "
            "the weights are not those used for indexing; use the same ones, or index again"
        )
    return chosen


def _from_pass(
    connection: sqlite3.Connection,
    model: ModelRow,
    query: NDArray[np.float32],
    limit: int,
    filters: Sequence[Filter],
) -> Candidates:
    """Reads every vector once and keeps only its rough score, so that memory stays flat however large the library."""
    ids: list[int] = []
    counts: list[int] = []
    quick: list[NDArray[np.float32]] = [np.empty(0, dtype=np.float32)]
    for batch in vectors.batches(connection, model, filters):
        ids.extend(embedding for embedding, _ in batch)
        counts.extend(len(blob) // (model.dim * BYTES_PER_VALUE) for _, blob in batch)
        quick.append(unpack(b"".join(blob for _, blob in batch), model.dim) @ query)
    positions = candidates(np.concatenate(quick), limit)
    starts = np.cumsum([0, *counts])
    owner = np.searchsorted(starts, positions, side="right") - 1
    ordinals = positions - starts[owner]
    embeddings = np.array(ids, dtype=np.int64)[owner]
    return Candidates(embeddings, ordinals, vectors.rows_of(connection, model, embeddings, ordinals))


def _load_matrix(connection: sqlite3.Connection, model: ModelRow) -> _Matrix:
    pieces = [piece for batch in vectors.batches(connection, model) for piece in batch]
    rows = unpack(b"".join(blob for _, blob in pieces), model.dim)
    counts = [len(blob) // (model.dim * BYTES_PER_VALUE) for _, blob in pieces]
    ids = np.array([embedding for embedding, _ in pieces], dtype=np.int64)
    return _Matrix(model.changes, rows, ids, np.cumsum([0, *counts[:-1]]))

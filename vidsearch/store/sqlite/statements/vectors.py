"""The vectors of models: which there are, read for a search, and compared with what else the library says of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidsearch.records import Filter, WindowSpec
from vidsearch.store.interface import ModelInfo
from vidsearch.store.sqlite.statements.filters import condition
from vidsearch.store.sqlite.stored_paths import from_stored
from vidsearch.store.vector_index import IdRange
from vidsearch.store.vectors import BYTES_PER_VALUE, unpack

# Vectors read at a time in a pass over the whole library: large enough for BLAS, small enough for its cache.
ROWS_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model with vectors in the library. `changes` grows with every change to them."""

    id: int
    name: str
    dim: int
    changes: int
    windows: int

    @property
    def index_name(self) -> str:
        return f"index-{self.id}"


@dataclass(frozen=True, slots=True)
class FoundWindow:
    """A window and its score."""

    video_id: int
    path: Path
    device: str
    start_s: float
    end_s: float
    score: float


def models(connection: sqlite3.Connection) -> list[ModelRow]:
    """The models that have vectors in the library, by name."""
    rows = connection.execute(
        """SELECT m.id, m.name, m.dim, m.changes, sum(e.windows)
        FROM models m JOIN embeddings e ON e.model_id = m.id GROUP BY m.id ORDER BY m.name"""
    )
    return [ModelRow(*row) for row in rows]


def model_info(connection: sqlite3.Connection, model_id: int) -> ModelInfo:
    """What `vidsearch info` says of a model."""
    name, dim, videos, windows = connection.execute(
        """SELECT m.name, m.dim, count(*), sum(e.windows)
        FROM models m JOIN embeddings e ON e.model_id = m.id WHERE m.id = ?""",
        (model_id,),
    ).fetchone()
    specs = connection.execute(
        """SELECT window_length_s, window_stride_s, window_frames FROM embeddings
        WHERE model_id = ? GROUP BY 1, 2, 3 ORDER BY count(*) DESC, 1, 2, 3""",
        (model_id,),
    )
    return ModelInfo(name, dim, videos, windows, tuple(WindowSpec(*spec) for spec in specs))


def batches(
    connection: sqlite3.Connection, model: ModelRow, filters: Sequence[Filter] = ()
) -> Iterator[list[tuple[int, bytes]]]:
    """(embedding, packed vectors) of all videos that pass the filters, some hundred windows at a time."""
    passes, parameters = condition(filters)
    rows = connection.execute(
        f"""SELECT e.id, e.vectors FROM embeddings e JOIN videos v ON v.id = e.video_id
        WHERE e.model_id = :model AND {passes} ORDER BY e.id""",
        parameters | {"model": model.id},
    )
    batch: list[tuple[int, bytes]] = []
    size_bytes = 0
    for row in rows:
        batch.append(row)
        size_bytes += len(row[1])
        if size_bytes >= ROWS_AT_ONCE * model.dim * BYTES_PER_VALUE:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch


def embeddings_passing(connection: sqlite3.Connection, model: ModelRow, filters: Sequence[Filter]) -> NDArray[np.int64]:
    """The embeddings of the videos that pass the filters, in ascending order."""
    passes, parameters = condition(filters)
    rows = connection.execute(
        f"""SELECT e.id FROM embeddings e JOIN videos v ON v.id = e.video_id
        WHERE e.model_id = :model AND {passes} ORDER BY e.id""",
        parameters | {"model": model.id},
    )
    return np.fromiter((row[0] for row in rows), dtype=np.int64)


def rows_of(
    connection: sqlite3.Connection, model: ModelRow, embeddings: NDArray[np.int64], ordinals: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The vectors of given windows, (n, E)."""
    rows = np.empty((len(embeddings), model.dim), dtype=np.float32)
    for embedding in np.unique(embeddings).tolist():
        blob = connection.execute("SELECT vectors FROM embeddings WHERE id = ?", (embedding,)).fetchone()[0]
        mine = embeddings == embedding
        rows[mine] = unpack(blob, model.dim)[ordinals[mine]]
    return rows


def window(connection: sqlite3.Connection, embedding: int, ordinal: int, score: float) -> FoundWindow:
    """Where and when the window `ordinal` of an embedding is."""
    video_id, path, device, start_s, end_s = connection.execute(
        """SELECT v.id, v.path, v.device, w.start_s, w.end_s
        FROM windows w JOIN embeddings e ON e.id = w.embedding_id JOIN videos v ON v.id = e.video_id
        WHERE w.embedding_id = ? AND w.ordinal = ?""",
        (embedding, ordinal),
    ).fetchone()
    return FoundWindow(video_id, from_stored(path), device, start_s, end_s, score)


def id_ranges(connection: sqlite3.Connection, model: ModelRow) -> list[IdRange]:
    """What the index must hold, in the order in which the videos came."""
    rows = connection.execute(
        "SELECT first_vector_id, windows FROM embeddings WHERE model_id = ? ORDER BY id", (model.id,)
    )
    return [IdRange(first, count) for first, count in rows]


def read_range(connection: sqlite3.Connection, model: ModelRow, ids: IdRange) -> NDArray[np.float32]:
    """The vectors of a range, (count, E)."""
    statement = "SELECT vectors FROM embeddings WHERE model_id = ? AND first_vector_id = ?"
    return unpack(connection.execute(statement, (model.id, ids.first)).fetchone()[0], model.dim)


def embedding_at(connection: sqlite3.Connection, model: ModelRow, first_vector_id: int) -> int:
    """The embedding whose vectors have the ids from `first_vector_id` on."""
    statement = "SELECT id FROM embeddings WHERE model_id = ? AND first_vector_id = ?"
    return int(connection.execute(statement, (model.id, first_vector_id)).fetchone()[0])


def problems(connection: sqlite3.Connection) -> Iterator[str]:
    """One sentence for each video whose windows and vectors do not fit."""
    rows = connection.execute(
        """SELECT v.path, m.name, m.dim, e.windows, e.vectors,
            (SELECT count(*) FROM windows w WHERE w.embedding_id = e.id)
        FROM embeddings e JOIN videos v ON v.id = e.video_id JOIN models m ON m.id = e.model_id ORDER BY e.id"""
    )
    for stored, model, dim, windows, blob, listed in rows:
        where = f"{from_stored(stored)} ({model})"
        if len(blob) != windows * dim * BYTES_PER_VALUE or listed != windows:
            yield f"{where}: windows and vectors do not match: remove the video and index it again"
        # Float16 rounds each value by at most 2^-11 of itself, and so the length too.
        elif not np.allclose(np.linalg.norm(unpack(blob, dim), axis=1), 1, atol=2**-10):
            yield f"{where}: a vector is not of unit length: remove the video and index it again"

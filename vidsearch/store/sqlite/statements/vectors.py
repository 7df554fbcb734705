"""The vectors of models: which there are, read for a search, and compared with what else the library says of them."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vidsearch.frozen import dataclass
from vidsearch.records import PICTURE_SIDE, Extractor, Filter, Runtime, Still, VectorExtractor, VideoFile, WindowVectors
from vidsearch.store.sqlite import stored_values
from vidsearch.store.sqlite.recent import ReadVideo, RecentVideos
from vidsearch.store.sqlite.statements.filters import RECORDED_SQL, condition
from vidsearch.store.sqlite.stored_paths import to_stored, within_sql
from vidsearch.store.vectors import BYTES_PER_VALUE, IdRange, checksum, is_whole, unpack

if TYPE_CHECKING:
    from vidsearch.store.interface import ModelInfo

log = logging.getLogger(__name__)

# A video's vectors have the ids `first + ordinal`; the first one is a random multiple of this, of 63 bits.
VECTOR_IDS_PER_VIDEO = 1 << 20
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
class FoundVideo:
    """What is told of a video whose windows were found."""

    id: int
    path: Path
    device: str
    fingerprint: str | None
    date_s: float
    date_recorded: bool


@dataclass(frozen=True, slots=True)
class FoundWindows:
    """Windows and their scores: (n,) place of the video in `videos`, (n, 2) start and end, (n,) score."""

    videos: Sequence[FoundVideo]
    owners: NDArray[np.intp]
    spans_s: NDArray[np.float64]
    scores: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Windows that may be among the best: (n,) embedding and ordinal, (n, E) vectors."""

    embeddings: NDArray[np.int64]
    ordinals: NDArray[np.int64]
    rows: NDArray[np.float32]

    def where(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> Candidates:
        return Candidates(self.embeddings[chosen], self.ordinals[chosen], self.rows[chosen])

    def and_also(self, others: Candidates) -> Candidates:
        return Candidates(
            np.concatenate([self.embeddings, others.embeddings]),
            np.concatenate([self.ordinals, others.ordinals]),
            np.concatenate([self.rows, others.rows]),
        )


@dataclass(frozen=True, slots=True)
class CodedWindows:
    """Windows that their codes name: (n,) first vector id of the video, ordinal, and CRC-32 of the stored vector."""

    firsts: NDArray[np.int64]
    ordinals: NDArray[np.int64]
    checksums: NDArray[np.uint32]


class DamagedVectors(Exception):  # noqa: N818 - caught by whoever can do without these vectors
    """The vectors of a video are not what was written."""


@dataclass(frozen=True, slots=True)
class Damage:
    """What these extractors gave of a video is no longer what was written."""

    video_id: int
    path: Path
    model: str
    extractors: frozenset[Extractor]
    what: str


# What tells how an embedding `e` of the model `m` was made, and what that joins.
MADE_WITH = "m.name, window_length_s, window_stride_s, window_frames, k.kind, s.windows"
MADE_JOIN = """LEFT JOIN window_kinds k ON k.embedding_id = e.id LEFT JOIN still_windows s ON s.embedding_id = e.id"""


def extractors_met(
    model: object, length_s: object, stride_s: object, frames: object, kind: object, still_windows: object
) -> frozenset[Extractor]:
    """The extractors whose wish an embedding fulfils, from the columns of `MADE_WITH`.

    Where no window took over a vector, each has its own, whether that was asked for or not.
    """
    name, spec = (
        stored_values.text(model, "the name of a model"),
        stored_values.window_spec(length_s, stride_s, frames, kind),
    )
    met: tuple[Still, ...] = ("reuse",) if still_windows else ("reuse", "embed")
    return frozenset(VectorExtractor(name, spec, still) for still in met)


def models(connection: sqlite3.Connection) -> list[ModelRow]:
    """The models that have vectors in the library, by name."""
    rows = connection.execute(  # total() ends at 64 bits, where a damaged number would make sum() an error
        """SELECT m.id, m.name, m.dim, m.changes, cast(total(e.windows) AS INTEGER)
        FROM models m JOIN embeddings e ON e.model_id = m.id GROUP BY m.id ORDER BY m.name"""
    )
    return [
        ModelRow(
            id_,
            stored_values.text(name, "the name of a model"),
            stored_values.dimension(dim),
            stored_values.count(changes, f"the number of changes of {name}"),
            stored_values.count(windows, f"the number of windows of {name}"),
        )
        for id_, name, dim, changes, windows in rows
    ]


def is_unchanged(connection: sqlite3.Connection, model: ModelRow, name: str) -> bool:
    """Whether the model of this name is the one of the row, with the vectors that it had."""
    row = connection.execute("SELECT id, name, dim, changes FROM models WHERE name = ?", (name,)).fetchone()
    return row == (model.id, model.name, model.dim, model.changes)


def model_info(connection: sqlite3.Connection, model: ModelRow) -> ModelInfo:
    """What `vidsearch info` says of a model."""
    from vidsearch.store.interface import (  # late: a query needs no part of what other surfaces know
        ModelInfo,
        RuntimeInfo,
    )

    (videos,) = connection.execute("SELECT count(*) FROM embeddings WHERE model_id = ?", (model.id,)).fetchone()
    specs = connection.execute(
        """SELECT window_length_s, window_stride_s, window_frames, k.kind FROM embeddings e
        LEFT JOIN window_kinds k ON k.embedding_id = e.id
        WHERE model_id = ? GROUP BY 1, 2, 3, 4 ORDER BY count(*) DESC, 1, 2, 3, 4""",
        (model.id,),
    )
    runtimes = connection.execute(
        """SELECT count(*), r.runtime, r.precision FROM embeddings e
        LEFT JOIN embedding_runtimes r ON r.embedding_id = e.id WHERE e.model_id = ?
        GROUP BY r.runtime, r.precision ORDER BY r.runtime IS NULL, 1 DESC, 2, 3""",
        (model.id,),
    )
    (still,) = connection.execute(
        "SELECT cast(total(s.windows) AS INTEGER) FROM still_windows s JOIN embeddings e ON e.id = s.embedding_id "
        "WHERE e.model_id = ?",
        (model.id,),
    ).fetchone()
    return ModelInfo(
        model.name,
        model.dim,
        videos,
        model.windows,
        tuple(stored_values.window_spec(*spec) for spec in specs),
        tuple(
            RuntimeInfo(None if name is None else _runtime(name, precision), count)
            for count, name, precision in runtimes
        ),
        stored_values.count(still, f"the number of still windows of {model.name}"),
    )


def _runtime(name: Any, precision: Any) -> Runtime:
    return Runtime(stored_values.runtime_name(name), stored_values.precision(precision))


def batches(
    connection: sqlite3.Connection, model: ModelRow, filters: Sequence[Filter] = ()
) -> Iterator[list[tuple[int, bytes]]]:
    """(embedding, packed vectors) of all videos that pass the filters, some hundred windows at a time.

    Vectors that are not what was written are left out, with a warning.
    """
    passes, parameters = condition(filters)
    rows = connection.execute(
        f"""SELECT e.id, e.vectors, e.windows, c.crc32, v.path FROM embeddings e JOIN videos v ON v.id = e.video_id
        LEFT JOIN checksums c ON c.embedding_id = e.id WHERE e.model_id = :model AND {passes} ORDER BY e.id""",
        parameters | {"model": model.id},
    )
    batch: list[tuple[int, bytes]] = []
    size_bytes = 0
    damaged: list[Path] = []
    for embedding, blob, windows, crc32, stored in rows:
        if not is_whole(blob, windows, model.dim, crc32):
            damaged.append(stored_values.path(stored))
            continue
        batch.append((embedding, blob))
        size_bytes += len(blob)
        if size_bytes >= ROWS_AT_ONCE * model.dim * BYTES_PER_VALUE:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch
    if damaged:
        log.warning("%s", _not_searched(damaged))


def _not_searched(damaged: Sequence[Path]) -> str:
    videos = str(damaged[0]) if len(damaged) == 1 else f"{damaged[0]} and {len(damaged) - 1} more videos"
    return f"{videos} not searched: the vectors are damaged; vidsearch index makes them again"


def embeddings_passing(connection: sqlite3.Connection, model: ModelRow, filters: Sequence[Filter]) -> NDArray[np.int64]:
    """The embeddings of the videos that pass the filters, in ascending order."""
    passes, parameters = condition(filters)
    rows = connection.execute(
        f"""SELECT e.id FROM embeddings e JOIN videos v ON v.id = e.video_id
        WHERE e.model_id = :model AND {passes} ORDER BY e.id""",
        parameters | {"model": model.id},
    )
    return np.fromiter((row[0] for row in rows), dtype=np.int64)


def videos_by_first_id(connection: sqlite3.Connection, model: ModelRow) -> dict[int, int]:
    """First vector ids → numbers of videos; a damaged one is none of any video."""
    statement = "SELECT first_vector_id, cast(video_id AS INTEGER) FROM embeddings WHERE model_id = ?"
    return dict(connection.execute(statement, (model.id,)))


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


def windows(
    connection: sqlite3.Connection,
    embeddings: NDArray[np.int64],
    ordinals: NDArray[np.int64],
    scores: NDArray[np.float64],
) -> FoundWindows:
    """Where and when windows (n,) are, in any order; of damaged ones a warning alone."""
    distinct, owners = np.unique(embeddings, return_inverse=True)
    videos = _found_videos(connection, distinct.tolist())
    spans_s = _spans(connection, embeddings, ordinals)
    sound = ~np.isnan(spans_s[:, 0])
    for place in np.unique(owners[~sound]).tolist():
        path = videos[place].path
        log.warning("windows of %s not shown: their times are damaged; vidsearch index makes them again", path)
    return FoundWindows(videos, owners[sound], spans_s[sound], scores[sound])


def _found_videos(connection: sqlite3.Connection, embeddings: Sequence[int]) -> list[FoundVideo]:
    """What is told of the videos of embeddings."""
    rows = connection.execute(
        f"""SELECT e.id, v.id, v.path, v.device, v.fingerprint, {RECORDED_SQL}, v.recorded_s IS NOT NULL
        FROM embeddings e JOIN videos v ON v.id = e.video_id WHERE e.id IN (SELECT value FROM json_each(?))""",
        (str(embeddings),),
    )
    found = {}
    for embedding, video_id, stored, device, fingerprint, date_s, recorded in rows:
        path = stored_values.path(stored)
        date_s = stored_values.moment(date_s, f"the date of {path}")
        found[embedding] = FoundVideo(video_id, path, device, fingerprint, date_s, bool(recorded))
    return [found[embedding] for embedding in embeddings]


def _spans(
    connection: sqlite3.Connection, embeddings: NDArray[np.int64], ordinals: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(n, 2) start and end of windows; NaN where they are not what was written."""
    spans_s = np.full((len(embeddings), 2), np.nan)
    rows = connection.execute(  # CROSS: the windows that are wanted are looked up, one after the other
        """SELECT wanted.key, start_s, end_s FROM json_each(:wanted) wanted CROSS JOIN windows w
        ON w.embedding_id = wanted.value / :most AND w.ordinal = wanted.value % :most""",
        {"wanted": str((embeddings * VECTOR_IDS_PER_VIDEO + ordinals).tolist()), "most": VECTOR_IDS_PER_VIDEO},
    )
    for place, start_s, end_s in rows:
        if stored_values.is_span(start_s, end_s):
            spans_s[place] = start_s, end_s
    return spans_s


def of_video(connection: sqlite3.Connection, model_name: str, path: Path, recent: RecentVideos) -> WindowVectors | None:
    """The windows of a video with their vectors; None if the model has not seen it, or they are damaged."""
    row = connection.execute(
        """SELECT e.id, e.model_id, m.dim, e.first_vector_id, v.size_bytes, v.mtime_ns, v.fingerprint
        FROM videos v JOIN embeddings e ON e.video_id = v.id JOIN models m ON m.id = e.model_id
        WHERE v.path = ? AND m.name = ? AND v.state = 'indexed'""",
        (to_stored(path), model_name),
    ).fetchone()
    if row is None:
        return None
    embedding, model_id, dim, first, size_bytes, mtime_ns, fingerprint = row
    read = recent.get(model_id, first)
    if read is None:
        read = _read_video(connection, embedding, stored_values.dimension(dim))
        if read is None:
            return None
        recent.keep(model_id, first, read)
    return WindowVectors(VideoFile(path, size_bytes, mtime_ns), fingerprint, read.spans_s, read.vectors, read.pictures)


def _read_video(connection: sqlite3.Connection, embedding: int, dim: int) -> ReadVideo | None:
    """Everything that is kept of the windows of one embedding; None if it is not what was written."""
    windows, blob, crc32, grey = connection.execute(
        """SELECT e.windows, e.vectors, c.crc32, p.grey FROM embeddings e
        LEFT JOIN checksums c ON c.embedding_id = e.id LEFT JOIN window_pictures p ON p.embedding_id = e.id
        WHERE e.id = ?""",
        (embedding,),
    ).fetchone()
    spans = connection.execute(
        "SELECT start_s, end_s FROM windows WHERE embedding_id = ? ORDER BY ordinal", (embedding,)
    ).fetchall()
    if not is_whole(blob, windows, dim, crc32) or len(spans) != windows:
        return None
    if not all(stored_values.is_span(*span) for span in spans):
        return None
    return ReadVideo(np.array(spans, dtype=np.float64), unpack(blob, dim), _pictures(grey, windows))


def _pictures(grey: object, windows: int) -> NDArray[np.uint8] | None:
    if not isinstance(grey, bytes) or len(grey) != windows * PICTURE_SIDE**2:
        return None
    return np.frombuffer(grey, dtype=np.uint8).reshape(windows, PICTURE_SIDE, PICTURE_SIDE)


def id_ranges(connection: sqlite3.Connection, model: ModelRow) -> list[IdRange]:
    """What the index must hold, in the order in which the videos came."""
    rows = connection.execute(
        "SELECT first_vector_id, windows FROM embeddings WHERE model_id = ? ORDER BY id", (model.id,)
    )
    return [_id_range(*row) for row in rows]


def _id_range(first: object, count: object) -> IdRange:
    return IdRange(
        stored_values.count(first, "the id of a vector"), stored_values.count(count, "the number of a video's windows")
    )


def id_sums(connection: sqlite3.Connection, model: ModelRow) -> tuple[int, int, int, int]:
    """What two sets of ids differ in: how many videos and windows, and the sums of the upper and lower halves of ids.

    First ids are drawn at random (see m001), so that equal sums mean equal sets.
    """
    row = connection.execute(
        """SELECT count(*), total(windows), total(first_vector_id >> 32), total(first_vector_id & 4294967295)
        FROM embeddings WHERE model_id = ?""",
        (model.id,),
    ).fetchone()
    videos, windows, upper, lower = (int(value) for value in row)  # below 2^53, as long as there are 2^21 videos
    return videos, windows, upper, lower


def read_coded(
    connection: sqlite3.Connection, model: ModelRow, coded: CodedWindows, recent: RecentVideos
) -> Candidates | None:
    """The vectors of windows, of each only what is wanted; None if the codes are not those of the library's vectors.

    Damaged vectors are left out, with a warning.
    """
    embeddings: list[int] = []
    ordinals: list[NDArray[np.int64]] = []
    rows: list[NDArray[np.float32]] = [np.empty((0, model.dim), dtype=np.float32)]
    damaged: list[Path] = []
    by_video = [(int(coded.firsts[mine[0]]), mine) for mine in _groups(coded.firsts)]
    embedding_of = embeddings_at(connection, model, [first for first, _ in by_video])
    for first, mine in by_video:
        embedding = embedding_of.get(first)
        if embedding is None:
            return None
        read = recent.get(model.id, first)
        found = None if read is None else read.rows(coded.ordinals[mine])
        if found is None:
            found = _read_rows(connection, model, embedding, coded.ordinals[mine].tolist(), coded.checksums[mine])
        if found is None:
            path = _path_if_damaged(connection, model, embedding)
            if path is None:
                return None
            damaged.append(path)
            continue
        embeddings += [embedding] * len(mine)
        ordinals.append(coded.ordinals[mine])
        rows.append(found)
    if damaged:
        log.warning("%s", _not_searched(damaged))
    return Candidates(
        np.array(embeddings, dtype=np.int64),
        np.concatenate([np.empty(0, dtype=np.int64), *ordinals]),
        np.concatenate(rows),
    )


def _groups(ids: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """The places of each id, in ascending order of ids."""
    order = np.argsort(ids, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(ids[order])) + 1) if len(order) else []


def _read_rows(
    connection: sqlite3.Connection,
    model: ModelRow,
    embedding: int,
    ordinals: list[int],
    checksums: NDArray[np.uint32],
) -> NDArray[np.float32] | None:
    """The vectors of some windows, (n, E); None where the library holds something else."""
    size = model.dim * BYTES_PER_VALUE
    first = min(ordinals)
    try:
        with connection.blobopen("embeddings", "vectors", embedding, readonly=True) as blob:
            blob.seek(first * size)
            content = blob.read((max(ordinals) + 1 - first) * size)
    except (ValueError, sqlite3.OperationalError) as error:  # beyond its end; not a blob
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) != sqlite3.SQLITE_ERROR:
            raise
        return None
    rows = [content[(ordinal - first) * size : (ordinal - first + 1) * size] for ordinal in ordinals]
    return unpack(b"".join(rows), model.dim) if [checksum(row) for row in rows] == checksums.tolist() else None


def _path_if_damaged(connection: sqlite3.Connection, model: ModelRow, embedding: int) -> Path | None:
    blob, windows, crc32, stored = connection.execute(
        """SELECT e.vectors, e.windows, c.crc32, v.path FROM embeddings e JOIN videos v ON v.id = e.video_id
        LEFT JOIN checksums c ON c.embedding_id = e.id WHERE e.id = ?""",
        (embedding,),
    ).fetchone()
    return None if is_whole(blob, windows, model.dim, crc32) else stored_values.path(stored)


def read_videos(connection: sqlite3.Connection, model: ModelRow, firsts: Iterable[int]) -> Candidates:
    """All windows of the videos whose vectors have the ids from these on; damaged ones are left out, with a warning."""
    embeddings: list[int] = []
    counts: list[int] = []
    blobs: list[bytes] = []
    damaged: list[Path] = []
    for first in firsts:
        embedding, blob, windows, crc32, stored = connection.execute(
            """SELECT e.id, e.vectors, e.windows, c.crc32, v.path FROM embeddings e JOIN videos v ON v.id = e.video_id
            LEFT JOIN checksums c ON c.embedding_id = e.id WHERE e.model_id = ? AND e.first_vector_id = ?""",
            (model.id, first),
        ).fetchone()
        if not is_whole(blob, windows, model.dim, crc32):
            damaged.append(stored_values.path(stored))
            continue
        embeddings.append(embedding)
        counts.append(windows)
        blobs.append(blob)
    if damaged:
        log.warning("%s", _not_searched(damaged))
    return Candidates(
        np.repeat(np.array(embeddings, dtype=np.int64), counts),
        np.concatenate([np.empty(0, dtype=np.int64), *(np.arange(count) for count in counts)]),
        unpack(b"".join(blobs), model.dim),
    )


def read_range(connection: sqlite3.Connection, model: ModelRow, ids: IdRange) -> NDArray[np.float32]:
    """The vectors of a range, (count, E). Raises DamagedVectors."""
    blob, crc32 = connection.execute(
        """SELECT vectors, crc32 FROM embeddings e LEFT JOIN checksums c ON c.embedding_id = e.id
        WHERE model_id = ? AND first_vector_id = ?""",
        (model.id, ids.first),
    ).fetchone()
    if not is_whole(blob, ids.count, model.dim, crc32):
        raise DamagedVectors
    return unpack(blob, model.dim)


def embeddings_at(connection: sqlite3.Connection, model: ModelRow, firsts: Sequence[int]) -> dict[int, int]:
    """First vector ids → embeddings, as far as there are any of videos that the library knows."""
    return dict(
        connection.execute(
            """SELECT e.first_vector_id, e.id FROM embeddings e JOIN videos v ON v.id = e.video_id
            WHERE e.model_id = ? AND e.first_vector_id IN (SELECT value FROM json_each(?))""",
            (model.id, str(firsts)),
        )
    )


def damaged(
    connection: sqlite3.Connection,
    extractors: Iterable[Extractor] | None = None,
    place: Path | None = None,
    outside: Sequence[Path] = (),
) -> list[Damage]:
    """Everything that is not what was written of the vectors and windows; reads all of them.

    `extractors`: only of these; `place`: only of videos at or below it; `outside`: not of those at or below these.
    """
    inside, parameters = ("true", {}) if place is None else within_sql("v.path", place)
    for number, other in enumerate(outside):
        condition_, more = within_sql("v.path", other, prefix=f"out{number}_")
        inside, parameters = f"{inside} AND NOT {condition_}", parameters | more
    rows = connection.execute(
        f"""SELECT e.video_id, v.path, {MADE_WITH}, m.dim, e.windows, e.vectors, c.crc32,
            (SELECT count(*) FROM windows w WHERE w.embedding_id = e.id),
            (SELECT count(*) FROM windows w WHERE w.embedding_id = e.id AND w.ordinal BETWEEN 0 AND e.windows - 1
                AND typeof(w.start_s) = 'real' AND typeof(w.end_s) = 'real' AND w.start_s >= -1e9
                AND w.end_s > w.start_s AND w.end_s < 1e9)
        FROM embeddings e JOIN videos v ON v.id = e.video_id JOIN models m ON m.id = e.model_id
        LEFT JOIN checksums c ON c.embedding_id = e.id {MADE_JOIN}
        WHERE {inside} ORDER BY e.id""",
        parameters,
    )
    found = []
    for video_id, stored, *made, dim, windows, blob, crc32, listed, sound in rows:
        met = extractors_met(*made)
        if extractors is not None and met.isdisjoint(extractors):
            continue
        if not is_whole(
            blob, stored_values.count(windows, "the number of windows"), stored_values.dimension(dim), crc32
        ):
            found.append(Damage(video_id, stored_values.path(stored), made[0], met, "vectors are"))
        elif not listed == sound == windows:
            found.append(Damage(video_id, stored_values.path(stored), made[0], met, "times of its windows are"))
    return found

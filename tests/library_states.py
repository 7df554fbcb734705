"""Libraries that something has damaged: one small sound library, and ways to spoil a copy of it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from vidsearch.errors import VideoError
from vidsearch.records import Hit, IndexedVideo, Runtime, VectorExtractor, VideoFacts, VideoFile, WindowSpec
from vidsearch.store.library import Library
from vidsearch.store.plan import PlanRequest
from vidsearch.video.fingerprint import fingerprint
from vidsearch.video.windows import cut_windows

MODEL, DIM = "mobileviclip-nano", 32
VIDEOS, WINDOWS = 3, 40
DATABASE = "library.sqlite3"

Spoil = Callable[[Path], None]


def make_library(home: Path, folder: Path, *, dim: int = DIM) -> None:
    """Three indexed videos, one that failed, an index file, and the hits of a query."""
    folder.mkdir()
    with Library.open(home, exact_below=100, graph_from=100) as library, library.writing():
        library.add_root(folder)
        for number in range(VIDEOS):
            library.record_indexed(indexed(_file(folder / f"{number}.mp4", f"video {number}"), dim))
        bad = _file(folder / "bad.mp4", "bad")
        library.record_failed(bad, VideoError("corrupt", "bad.mp4 is broken"), fingerprint=None)
        library.save_hits("a red ball", [Hit(1, folder / "0.mp4", 0.0, 8.0, 4.0, 0.5, MODEL, fingerprint="abc")])


def index(library: Library, folder: Path, *, dim: int = DIM) -> None:
    """What `vidsearch index` does with the folder of `make_library`: the same vectors come again."""
    found = [_as_it_is(path) for path in sorted(folder.glob("[0-9].mp4"))]
    with library.writing():
        plan = library.plan(PlanRequest(folder, found, frozenset({VectorExtractor(MODEL, WindowSpec())}), fingerprint))
        library.apply(plan)
        for file in plan.to_index:
            library.record_indexed(indexed(file, dim))


def indexed(file: VideoFile, dim: int) -> IndexedVideo:
    """A video of `make_library`, known by the digit of its name."""
    facts = VideoFacts(0.0, 164.0, 25.0, 4100, 64, 48, "h264", "mp4", 0, "pyav")
    windows = tuple(cut_windows(0.0, 164.0, WindowSpec()))[:WINDOWS]
    vectors = np.random.default_rng(int(file.path.stem)).standard_normal((WINDOWS, dim))
    runtimes = frozenset({Runtime("torch", "float32")})
    return IndexedVideo(file, fingerprint(file.path), facts, windows, vectors, MODEL, WindowSpec(), runtimes=runtimes)


def _file(path: Path, content: str) -> VideoFile:
    path.write_text(content)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return _as_it_is(path)


def _as_it_is(path: Path) -> VideoFile:
    return VideoFile(path, path.stat().st_size, path.stat().st_mtime_ns)


def sql(*statements: str) -> Spoil:
    """Runs statements on the database, with foreign keys off."""

    def spoil(home: Path) -> None:
        with closing(sqlite3.connect(home / DATABASE)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    return spoil


def vectors(change: Callable[[bytes], bytes]) -> Spoil:
    """Changes the vectors of the first video."""

    def spoil(home: Path) -> None:
        with closing(sqlite3.connect(home / DATABASE)) as connection, connection:
            (blob,) = connection.execute("SELECT vectors FROM embeddings WHERE id = 1").fetchone()
            connection.execute("UPDATE embeddings SET vectors = ? WHERE id = 1", (change(blob),))

    return spoil


def filled(value: float) -> Callable[[bytes], bytes]:
    """All values are one."""
    return lambda blob: np.full(len(blob) // 2, value, dtype="<f2").tobytes()


def flipped(blob: bytes) -> bytes:
    """One bit of one value."""
    return bytes([blob[0] ^ 1]) + blob[1:]


def manifest(**changes: object) -> Spoil:
    """Other fields in the index manifest, with a checksum that fits; None takes a field out."""

    def spoil(home: Path) -> None:
        file = home / "index-1.hnsw.json"
        values = json.loads(file.read_bytes().splitlines()[0]) | changes
        body = json.dumps({name: value for name, value in values.items() if value is not None}).encode()
        file.write_bytes(body + b"\n%08x\n" % zlib.crc32(body))

    return spoil


def replaced(name: str, kind: str) -> Spoil:
    """Something that is not a file has the name of one."""

    def spoil(home: Path) -> None:
        path = home / name
        if path.exists():
            path.unlink()
        if kind == "folder":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        else:
            (home.parent / "precious").write_text("not ours")
            path.symlink_to(home.parent / "precious")

    return spoil


def content(name: str, data: bytes) -> Spoil:
    """A file holds something else."""

    def spoil(home: Path) -> None:
        (home / name).write_bytes(data)

    return spoil


def flipped_bits(name: str) -> Spoil:
    """A bit in every hundredth byte of a file."""

    def spoil(home: Path) -> None:
        data = bytearray((home / name).read_bytes())
        for place in range(50, len(data), 100):
            data[place] ^= 4
        (home / name).write_bytes(data)

    return spoil


def only_a(make: Callable[[Path], object]) -> Spoil:
    """Nothing but something else under the name of the database."""

    def spoil(home: Path) -> None:
        shutil.rmtree(home)
        home.mkdir()
        make(home / DATABASE)

    return spoil


def of_the_graph(name: str) -> bool:
    """Whether the state called `name` is one of the graph's files, which exist where hnswlib is installed."""
    return name.startswith(("manifest", "index graph"))


# What the next index run makes good.
MENDED: dict[str, Spoil] = {
    "vectors: a bit flipped": vectors(flipped),
    "vectors: NaN": vectors(filled(float("nan"))),
    "vectors: infinite": vectors(filled(float("inf"))),
    "vectors: zero": vectors(filled(0.0)),
    "vectors: two bytes short": vectors(lambda blob: blob[:-2]),
    "vectors: a row short": vectors(lambda blob: blob[: -2 * DIM]),
    "vectors: a row more": vectors(lambda blob: blob + blob[: 2 * DIM]),
    "vectors: empty": vectors(lambda blob: b""),
    "vectors: text": sql("UPDATE embeddings SET vectors = 'text' WHERE id = 1"),
    "vectors: all empty": sql("UPDATE embeddings SET vectors = x''"),
    "vectors: exchanged": sql(
        "UPDATE embeddings SET vectors = (SELECT vectors FROM embeddings e WHERE e.id = 2) WHERE id = 1"
    ),
    "checksum missing": sql("DELETE FROM checksums WHERE embedding_id = 1"),
    "checksum of another": sql("UPDATE checksums SET crc32 = 1 WHERE embedding_id = 1"),
    "window missing": sql("DELETE FROM windows WHERE embedding_id = 1 AND ordinal = 3"),
    "window too many": sql("INSERT INTO windows VALUES (1, 40, 160.0, 168.0)"),
    "all windows missing": sql("DELETE FROM windows"),
    "window with another ordinal": sql("UPDATE windows SET ordinal = 99 WHERE embedding_id = 1 AND ordinal = 3"),
    "window that ends before it starts": sql("UPDATE windows SET end_s = -1 WHERE embedding_id = 1 AND ordinal = 3"),
    "window with infinite end": sql("UPDATE windows SET end_s = 9e999 WHERE embedding_id = 1 AND ordinal = 3"),
    "window with a text for a time": sql("UPDATE windows SET start_s = 'soon' WHERE embedding_id = 1"),
    "fewer windows than counted": sql("UPDATE embeddings SET windows = 41 WHERE id = 1"),
    "manifest: no dim": manifest(dim=None),
    "manifest: dim a text": manifest(dim="32"),
    "manifest: ranges a number": manifest(runs=5),
    "manifest: ranges of texts": manifest(runs=[["a", "b"]]),
    "manifest: ranges below 0": manifest(runs=[[-5, 3]]),
    "manifest: ranges of nothing": manifest(runs=[[1, 40], [2 << 20, 40], [3 << 20, 40]]),
    "manifest: another field": manifest(more=1),
    "manifest: a list": content("index-1.hnsw.json", b"[]\n%08x\n" % zlib.crc32(b"[]")),
    "index graph missing": lambda home: (home / "index-1.hnsw").unlink(),
    "index graph empty": content("index-1.hnsw", b""),
    "index codes missing": lambda home: (home / "index-1.codes").unlink(),
    "index codes empty": content("index-1.codes", b""),
    "index codes nonsense": content("index-1.codes", b"something else " * 500),
    "index codes cut": lambda home: os.truncate(home / "index-1.codes", 500),
    "index codes flipped": flipped_bits("index-1.codes"),
    "writer.json a folder": replaced("writer.json", "folder"),
    "writer.json a pipe": replaced("writer.json", "pipe"),
    "writer.json a link": replaced("writer.json", "link"),
    "writer.json nonsense": content("writer.json", b'{"pid": []}'),
    "schema number 0": sql("PRAGMA user_version = 0"),
    "schema number -5": sql("PRAGMA user_version = -5"),
    "schema number of before": sql("PRAGMA user_version = 1"),
    "a table more": sql("CREATE TABLE mine (x)"),
}

# What is refused with a sentence when it is read; a rebuild drops those rows, and the next index run finds the videos.
REBUILT: dict[str, Spoil] = {
    "path with NUL": sql("UPDATE videos SET path = CAST('/a' || char(0) || 'b' AS TEXT) WHERE id = 1"),
    "path a number": sql("UPDATE videos SET path = 7 WHERE id = 1"),
    "path empty": sql("UPDATE videos SET path = '' WHERE id = 1"),
    "path NULL in roots": sql("UPDATE roots SET path = 5"),
    "length a text": sql("UPDATE videos SET duration_s = 'long' WHERE id = 1"),
    "length infinite": sql("UPDATE videos SET duration_s = 9e999 WHERE id = 1"),
    "length negative": sql("UPDATE videos SET duration_s = -1 WHERE id = 1"),
    "more windows than 64 bits count": sql("UPDATE embeddings SET windows = 9223372036854775807"),
    "more still windows than 64 bits count": sql(
        "INSERT OR REPLACE INTO still_windows SELECT id, 9223372036854775807 FROM embeddings"
    ),
    "date beyond calendars": sql("UPDATE videos SET recorded_s = 1e300 WHERE id = 1"),
    "date before calendars": sql("UPDATE videos SET recorded_s = -1e15 WHERE id = 1"),
    "size a text": sql("UPDATE videos SET size_bytes = 'big' WHERE id = 1"),
    "device a blob": sql("UPDATE videos SET device = x'00' WHERE id = 1"),
    "text that is not UTF-8": sql("UPDATE videos SET damage = CAST(x'ff' AS TEXT) WHERE id = 1"),
    "path that is not UTF-8": sql("UPDATE videos SET path = CAST(x'2fff' AS TEXT) WHERE id = 1"),
    "dim a text": sql("UPDATE models SET dim = 'many'"),
    "dim 0": sql("UPDATE models SET dim = 0"),
    "model name a number": sql("UPDATE models SET name = x'00'"),
    "windows a text": sql("UPDATE embeddings SET windows = 'x' WHERE id = 1"),
    "vector id negative": sql("UPDATE embeddings SET first_vector_id = -1 WHERE id = 1"),
    "window spec infinite": sql("UPDATE embeddings SET window_length_s = 9e999 WHERE id = 1"),
    "reader a blob": sql("UPDATE videos SET reader = x'00' WHERE id = 1"),
    "checksum of nothing": sql(
        "INSERT INTO checksums VALUES (4, 1)", "UPDATE checksums SET crc32 = 1 WHERE embedding_id = 3"
    ),
    "vectors of a model that is not there": sql("UPDATE embeddings SET model_id = 9 WHERE id = 1"),
    "runtime nobody knows": sql("UPDATE embedding_runtimes SET runtime = 'abacus' WHERE embedding_id = 1"),
    "precision a number": sql("UPDATE embedding_runtimes SET precision = 7 WHERE embedding_id = 1"),
    "runtime of nothing": sql("INSERT INTO embedding_runtimes VALUES (9, 'torch', 'float32')"),
    "hit with a text for a time": sql("UPDATE hits SET start_s = 'x'"),
    "hit with path 5": sql("UPDATE hits SET path = 5"),
}

# What is refused with a sentence when it is read, or does no harm.
REFUSED: dict[str, Spoil] = {
    "index graph a folder": replaced("index-1.hnsw", "folder"),
    "manifest a folder": replaced("index-1.hnsw.json", "folder"),
    "manifest a pipe": replaced("index-1.hnsw.json", "pipe"),
    "index graph a pipe": replaced("index-1.hnsw", "pipe"),
    "index codes a folder": replaced("index-1.codes", "folder"),
    "index codes a pipe": replaced("index-1.codes", "pipe"),
    "table hits missing": sql("DROP TABLE hits"),
    "table of runtimes missing": sql("DROP TABLE embedding_runtimes"),
    "table windows missing": sql("DROP TABLE windows"),
    "table checksums missing": sql("DROP TABLE checksums", "PRAGMA user_version = 3"),
    "a part of a later schema": sql("DROP TABLE checksums", "PRAGMA user_version = 2"),
    "column missing": sql("ALTER TABLE videos DROP COLUMN damage"),
    "trigger missing": sql("DROP TRIGGER embedding_comes"),
    "all tables missing": sql(
        *(f"DROP TABLE {name}" for name in ("checksums", "windows", "embeddings", "videos", "roots", "models", "hits"))
    ),
    "another program's": sql("PRAGMA application_id = 1"),
    "newer": sql("PRAGMA user_version = 99"),
    "not a database": content(DATABASE, b"something else " * 5000),
    "cut": lambda home: os.truncate(home / DATABASE, 40_000),
    "database a folder": only_a(lambda path: path.mkdir()),
    "database a pipe": only_a(os.mkfifo),
    "lock a link": replaced("writer.lock", "link"),
    "lock a folder": replaced("writer.lock", "folder"),
}

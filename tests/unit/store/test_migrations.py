"""Every schema that was ever released opens and keeps what it held. `schema_m001.sql` is a library of version 1.

Made by `python tests/unit/store/make_schema_copy.py > tests/unit/store/schema_m001.sql` when m001 was new, and never
again: a change of the schema gets a new step, a new copy and a new line here.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from vidsearch.records import Hit, Runtime
from vidsearch.store.interface import RuntimeInfo
from vidsearch.store.library import Library
from vidsearch.store.sqlite.migrations import MIGRATIONS, SCHEMA_VERSION, m001_videos_windows_vectors
from vidsearch.store.sqlite.shape import SHAPES, read_shape, shape_version

HERE = Path(__file__).parent
COPIES = sorted(HERE.glob("schema_m*.sql"))


def load(copy: Path, home: Path) -> None:
    home.mkdir()
    connection = sqlite3.connect(home / "library.sqlite3")
    connection.executescript(copy.read_text(encoding="utf-8"))
    connection.close()


def schema(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    return connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()


def test_there_is_a_stored_copy_of_each_schema() -> None:
    assert [copy.stem for copy in COPIES] == [f"schema_m{number:03}" for number in range(1, SCHEMA_VERSION + 1)]
    assert [step.__name__[:4] for step in MIGRATIONS] == [f"m{number:03}" for number in range(1, SCHEMA_VERSION + 1)]


@pytest.mark.parametrize("copy", COPIES, ids=lambda copy: copy.stem)
def test_an_old_library_keeps_what_it_held(copy: Path, tmp_path: Path) -> None:
    load(copy, tmp_path / "home")
    with Library.open(tmp_path / "home") as library:
        assert library.info().schema == SCHEMA_VERSION
        assert library.roots() == [Path("/videos")]
        assert [
            (row.path, row.error_kind, row.duration_s, row.windows, row.reader, row.model) for row in library.videos()
        ] == [
            (Path("/videos/a.mp4"), None, 18.25, 2, "pyav", "nano"),
            (Path("/videos/b.mp4"), "corrupt", None, 0, None, None),
        ]
        hits = library.search(np.array([1.0, 0.0, 0.0, 0.0]), model="nano", limit=9)
        assert [(hit.path, hit.start_s, hit.end_s, hit.score) for hit in hits] == [
            (Path("/videos/a.mp4"), 0.0, 8.0, 1.0),
            (Path("/videos/a.mp4"), 4.0, 12.0, 0.0),
        ]
        assert library.last_hits() == ("a red ball", [Hit(1, Path("/videos/a.mp4"), 0.0, 8.0, 4.0, 1.0, "nano")])
        assert library.check() == []
        known = Runtime("torch", "bfloat16") if copy.stem >= "schema_m006" else None
        assert library.info().models[0].runtimes == (RuntimeInfo(known, 1),)


def test_a_schema_is_recognised_by_its_shape_whatever_its_number_says(tmp_path: Path) -> None:
    for version, shape in SHAPES.items():
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.executescript((HERE / f"schema_m{version:03}.sql").read_text(encoding="utf-8"))
            assert read_shape(connection) == shape
            assert shape_version(shape) == version
    assert list(SHAPES) == list(range(1, SCHEMA_VERSION + 1))


def test_vectors_that_were_damaged_before_there_were_checksums_are_found(tmp_path: Path) -> None:
    load(HERE / "schema_m002.sql", tmp_path / "home")
    with closing(sqlite3.connect(tmp_path / "home" / "library.sqlite3")) as connection, connection:
        connection.execute("UPDATE embeddings SET vectors = zeroblob(length(vectors))")
    with Library.open(tmp_path / "home") as library:
        assert [problem.split(":")[0] for problem in library.check()] == ["/videos/a.mp4"]


def test_the_first_step_is_not_edited(tmp_path: Path) -> None:
    load(HERE / "schema_m001.sql", tmp_path / "home")
    stored = sqlite3.connect(tmp_path / "home" / "library.sqlite3")
    fresh = sqlite3.connect(":memory:")
    m001_videos_windows_vectors(fresh)
    assert schema(fresh) == schema(stored)
    stored.close()
    fresh.close()


def test_a_step_that_fails_leaves_the_library_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(HERE / "schema_m001.sql", tmp_path / "home")

    def a_step_that_breaks(connection: sqlite3.Connection) -> None:
        connection.execute("ALTER TABLE videos ADD COLUMN mood TEXT")
        raise RuntimeError("a bug in a step")

    from vidsearch.store.sqlite import database, migrations

    monkeypatch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, a_step_that_breaks))
    monkeypatch.setattr(migrations, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
    monkeypatch.setattr(database, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
    with pytest.raises(RuntimeError, match="a bug in a step"):
        Library.open(tmp_path / "home")
    connection = sqlite3.connect(tmp_path / "home" / "library.sqlite3")
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    assert "mood" not in {row[1] for row in connection.execute("PRAGMA table_info (videos)")}
    connection.close()

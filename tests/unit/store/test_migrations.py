"""Every schema that was ever released opens and keeps what it held. `schema_m001.sql` is a library of version 1.

Made by `python tests/unit/store/make_schema_copy.py > tests/unit/store/schema_m001.sql` when m001 was new, and never
again: a change of the schema gets a new step, a new copy and a new line here.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from vidsearch.records import Hit
from vidsearch.store.library import Library
from vidsearch.store.sqlite.migrations import MIGRATIONS, SCHEMA_VERSION, m001_videos_windows_vectors

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

    def m003_breaks(connection: sqlite3.Connection) -> None:
        connection.execute("ALTER TABLE videos ADD COLUMN mood TEXT")
        raise RuntimeError("a bug in a step")

    from vidsearch.store.sqlite import database, migrations

    monkeypatch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, m003_breaks))
    monkeypatch.setattr(migrations, "SCHEMA_VERSION", 3)
    monkeypatch.setattr(database, "SCHEMA_VERSION", 3)
    with pytest.raises(RuntimeError, match="a bug in a step"):
        Library.open(tmp_path / "home")
    connection = sqlite3.connect(tmp_path / "home" / "library.sqlite3")
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    assert "mood" not in {row[1] for row in connection.execute("PRAGMA table_info (videos)")}
    connection.close()

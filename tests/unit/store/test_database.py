"""Opening: what is refused, with which sentence, and what a reader may do while others write or where nobody may."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import numpy as np
import pytest
from store_shelf import DIM, Shelf, as_file
from support import drop_override

from vidsearch.errors import LibraryError
from vidsearch.store.library import Library
from vidsearch.store.sqlite.database import Database
from vidsearch.store.sqlite.migrations import SCHEMA_VERSION

HOLD_THE_LOCK = """
import sys
from pathlib import Path
from vidsearch.store.library import Library
with Library.open(Path(sys.argv[1])) as library, library.writing():
    print("held", flush=True)
    sys.stdin.read()
"""

OPEN_AND_COUNT = """
import sys
from pathlib import Path
from vidsearch.store.library import Library
with Library.open(Path(sys.argv[1])) as library:
    print(len(library.videos()))
"""


def database(shelf: Shelf) -> Path:
    return shelf.home / "library.sqlite3"


@contextmanager
def opened(shelf: Shelf) -> Iterator[Database]:
    with closing(Database.open(shelf.home, create=False)) as opened_database:
        yield opened_database


def test_the_connection_is_as_it_should_be(shelf: Shelf) -> None:
    with opened(shelf) as opened_database, opened_database.reading() as connection:
        pragmas = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "foreign_keys", "page_size", "user_version")
        }
    assert pragmas == {"journal_mode": "wal", "foreign_keys": 1, "page_size": 16384, "user_version": SCHEMA_VERSION}


def test_without_a_library_the_way_to_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match=r"no library in .*: make one with `vidsearch index FOLDER`") as caught:
        Library.open(tmp_path / "nowhere", create=False)
    assert caught.value.exit_code == 4
    assert not (tmp_path / "nowhere").exists()


def test_a_closed_library_is_one_file(shelf: Shelf) -> None:
    shelf.record(shelf.write("a.mp4", "a"))
    shelf.library.close()
    assert {path.name for path in shelf.home.iterdir()} - {"writer.lock", "writer.json"} == {"library.sqlite3"}


def test_a_newer_schema_asks_for_an_update(shelf: Shelf) -> None:
    shelf.library.close()
    connection = sqlite3.connect(database(shelf))
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    said = rf"newer vidsearch \(schema 99, this program knows {SCHEMA_VERSION}\): update vidsearch"
    with pytest.raises(LibraryError, match=said):
        Library.open(shelf.home)


def test_a_file_that_is_not_a_database_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "library.sqlite3").write_bytes(b"something else entirely " * 1000)
    with pytest.raises(LibraryError, match=r"is damaged .*: restore a backup, or delete the folder and index again"):
        Library.open(tmp_path)


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "library.sqlite3"
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE songs (title TEXT)")
    connection.close()
    before = file.read_bytes()
    with pytest.raises(LibraryError, match="is not a vidsearch library"):
        Library.open(tmp_path)
    assert file.read_bytes() == before


def test_an_empty_file_becomes_a_library(tmp_path: Path) -> None:
    (tmp_path / "library.sqlite3").touch()  # killed before the first page was written
    with Library.open(tmp_path) as library:
        assert library.videos() == []


def test_damage_inside_is_reported_not_a_traceback(shelf: Shelf) -> None:
    for number in range(30):
        shelf.record(shelf.write(f"{number}.mp4", f"{number}"), count=200)
    shelf.library.close()
    content = bytearray(database(shelf).read_bytes())
    for place in range(2 * 16384, len(content), 16384):
        content[place : place + 64] = b"\xff" * 64
    database(shelf).write_bytes(content)
    with pytest.raises(LibraryError, match="is damaged"), Library.open(shelf.home) as library:
        library.search(np.ones(DIM), model="nano", limit=3)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LibraryError, match="cannot make the library folder"):
        Library.open(tmp_path / "file" / "home")


def test_a_second_writer_is_told_who_the_first_one_is(shelf: Shelf) -> None:
    path = shelf.write("a.mp4", "a")
    shelf.record(path)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_THE_LOCK, str(shelf.home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LibraryError, match=f"being written by process {holder.pid} .*wait until it has finished"):
            shelf.record(path)
        assert len(shelf.library.search(np.ones(DIM), model="nano", limit=9)) == 3  # readers need no lock
        assert shelf.library.save_hits("query", [])
        assert shelf.plan().unchanged == (as_file(path),)
    finally:
        holder.kill()  # the lock goes with its process, however that ends
        holder.communicate()
    shelf.record(path)


def test_a_reader_sees_the_library_of_before_while_a_change_is_under_way(shelf: Shelf) -> None:
    path = shelf.write("a.mp4", "a")
    shelf.record(path)
    with Library.open(shelf.home) as reader:
        with opened(shelf) as writer, writer.transaction() as connection:
            connection.execute("DELETE FROM videos")
            assert len(reader.videos()) == 1
        assert reader.videos() == []


def test_an_error_inside_a_change_takes_it_back(shelf: Shelf) -> None:
    shelf.record(shelf.write("a.mp4", "a"))
    with opened(shelf) as writer:
        with pytest.raises(KeyboardInterrupt), writer.transaction() as connection:
            connection.execute("DELETE FROM videos")
            raise KeyboardInterrupt
        with writer.reading() as connection:  # the connection is as good as before
            assert connection.execute("SELECT count(*) FROM videos").fetchone() == (1,)
    assert len(shelf.library.videos()) == 1


def test_a_wrong_statement_stays_a_bug(shelf: Shelf) -> None:
    with (
        opened(shelf) as reader,
        pytest.raises(sqlite3.OperationalError, match="no such table"),
        reader.reading() as connection,
    ):
        connection.execute("SELECT * FROM nowhere")


def test_many_processes_may_open_a_new_library_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPEN_AND_COUNT, str(tmp_path / "home")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(4)]
    assert [process.communicate()[0] for process in processes] == [b"0\n"] * 4


# -- a folder that cannot be written -----------------------------------------------------------------------------------


def _in_unwritable(home: Path, results: SimpleQueue[tuple[int, bool, str]]) -> None:
    if os.geteuid() == 0:
        drop_override()
    try:
        with Library.open(home, create=False) as library:
            hits = library.search(np.ones(DIM), model="nano", limit=9)
            kept = library.save_hits("query", [])
            try:
                library.remove(home)
                refusal = ""
            except LibraryError as error:
                refusal = str(error)
            results.put((len(hits), kept, refusal))
    except LibraryError as error:
        results.put((0, False, str(error)))


def _run_unwritable(shelf: Shelf) -> tuple[int, bool, str]:
    if sys.platform != "linux" and os.geteuid() == 0:
        pytest.skip("root may write everywhere here")
    context = multiprocessing.get_context("spawn")
    results: SimpleQueue[tuple[int, bool, str]] = context.SimpleQueue()
    modes = {path: path.stat().st_mode for path in (*shelf.home.iterdir(), shelf.home)}
    for path in modes:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        process = context.Process(target=_in_unwritable, args=(shelf.home, results))
        process.start()
        process.join()
        assert process.exitcode == 0
        return results.get()
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


def test_a_folder_that_cannot_be_written_is_searched(shelf: Shelf) -> None:
    shelf.record(shelf.write("a.mp4", "a"))
    shelf.library.close()
    hits, kept, refusal = _run_unwritable(shelf)
    assert (hits, kept) == (3, False)
    assert "cannot be locked" in refusal


def test_a_folder_that_cannot_be_read_is_refused(shelf: Shelf) -> None:
    shelf.library.close()
    context = multiprocessing.get_context("spawn")
    results: SimpleQueue[tuple[int, bool, str]] = context.SimpleQueue()
    shelf.home.chmod(0)
    try:
        process = context.Process(target=_in_unwritable, args=(shelf.home, results))
        process.start()
        process.join()
        assert "permissions" in results.get()[2]
    finally:
        shelf.home.chmod(0o755)


def test_the_file_is_vacuumed_after_an_error_while_rows_were_read(shelf: Shelf) -> None:
    with closing(Database.open(shelf.home, create=False)) as database:
        with pytest.raises(KeyError), database.reading() as connection:
            rows = connection.execute("SELECT 1 UNION ALL SELECT 2")  # alive until the end of the test
            next(rows)
            raise KeyError
        database.vacuum()
        del rows

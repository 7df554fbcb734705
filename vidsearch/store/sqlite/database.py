"""The SQLite file: opened, migrated, and its errors turned into ours. Knows no tables."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakSet

from vidsearch.errors import LibraryError
from vidsearch.store.sqlite.migrations import APPLICATION_ID, SCHEMA_VERSION, migrate
from vidsearch.store.sqlite.shape import SHAPES, read_shape, shape_version
from vidsearch.store.sqlite.statements.filters import add_functions
from vidsearch.store.sqlite.stored_values import BadValue

FILE_NAME = "library.sqlite3"
# The blob of an hour's vectors fills 57 pages of this size; smaller pages cost more links, larger ones more leftovers.
PAGE_SIZE_BYTES = 16384
BUSY_TIMEOUT_S = 10.0

_NOT_TEXT = "Could not decode to UTF-8"  # how Python's sqlite3 begins its word for a damaged text; it has no code
_CANNOT_WRITE = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}


class _Connection(sqlite3.Connection):
    """Knows its cursors that are still alive, and can end their statements.

    An error while rows are read leaves a statement unfinished for as long as something refers to its cursor, and be it
    a traceback that waits for the garbage collector; SQLite does not vacuum beside an unfinished statement.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._cursors: WeakSet[sqlite3.Cursor] = WeakSet()

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        cursor = super().execute(*arguments)
        self._cursors.add(cursor)
        return cursor

    def end_statements(self) -> None:
        for cursor in self._cursors:
            cursor.close()


class Database:
    """An SQLite file in WAL mode with foreign keys on, for any number of threads. Readers never wait for a writer.

    Each transaction has a connection to itself; those that are free wait for the next one.
    """

    def __init__(self, folder: Path, connection: _Connection, *, writable: bool) -> None:
        self.folder = folder
        self.writable = writable
        self._identity = _identity(folder / FILE_NAME)
        self._all = [connection]
        self._free = [connection]
        self._taking = threading.Lock()
        self._of_thread = threading.local()  # .connection: that of the transaction this thread is in

    @classmethod
    def open(cls, folder: Path, *, create: bool) -> Database:
        """Opens the library of a folder, bringing an older schema forward.

        Raises LibraryError if there is none and `create` is False, and for a file that is newer, damaged, another
        program's or unreadable. A folder that cannot be written is opened for reading alone.
        """
        file = folder / FILE_NAME
        if create:
            _make_folder(folder)
        if not _is_there(file) and not create:
            raise LibraryError(f"no library in {folder}: make one with `vidsearch index FOLDER`")
        with library_errors(folder):
            connection, writable = _connect(file, create=create)
            try:
                _bring_forward(connection, folder, writable=writable)
            except BaseException:
                connection.close()
                raise
        return cls(folder, connection, writable=writable)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The library as it stands now: everything read inside belongs together. Nothing is held off meanwhile.

        Inside a transaction of the same thread it is part of that.
        """
        outer = getattr(self._of_thread, "connection", None)
        if outer is not None:
            yield outer
            return
        with library_errors(self.folder), self._connection() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                if connection.in_transaction:  # a full or failing disk ends it by itself
                    connection.execute("ROLLBACK")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One change: all of it or nothing, also when the process is killed.

        It takes SQLite's write lock at once: a transaction that began by reading would fail without any waiting if
        another process committed before its first write.
        """
        if not self.writable:
            raise LibraryError(f"the library in {self.folder} cannot be written: check the folder's permissions")
        with library_errors(self.folder), self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                self.check_in_place()
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def vacuum(self) -> None:
        """Gives the space of what was removed back to the disk, and that of the write-ahead log."""
        with library_errors(self.folder), self._connection() as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def close(self) -> None:
        """The last connection that closes folds the write-ahead log into the file: one file to back up."""
        with self._taking:
            for connection in self._all:
                connection.close()

    def check_in_place(self) -> None:
        """Raises LibraryError if the file was deleted or replaced since it was opened: what is written is lost."""
        if _identity(self.folder / FILE_NAME) != self._identity:
            raise LibraryError(
                f"the library in {self.folder} was deleted or replaced while it was open: run the command again"
            )

    @contextmanager
    def _connection(self) -> Iterator[_Connection]:
        """A connection that no other thread uses meanwhile."""
        with self._taking:
            if not self._free:
                connection, _ = _connect(self.folder / FILE_NAME, create=False)
                self._all.append(connection)
                self._free.append(connection)
            connection = self._free.pop()
        self._of_thread.connection = connection
        try:
            yield connection
        except BaseException:
            connection.end_statements()
            raise
        finally:
            self._of_thread.connection = None
            with self._taking:
                self._free.append(connection)


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def problems(connection: sqlite3.Connection) -> list[str]:
    """One sentence for each thing that SQLite finds wrong in its file."""
    return [f"database: {row[0]}" for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"] + [
        f"database: a row of {table} refers to a missing row of {parent}"
        for table, _, parent, _ in connection.execute("PRAGMA foreign_key_check")
    ]


@contextmanager
def library_errors(folder: Path) -> Iterator[None]:
    """Turns what SQLite says about the file, the disk and locks into a LibraryError; a wrong statement stays a bug."""
    try:
        yield
    except (BadValue, UnicodeDecodeError) as error:  # sqlite3 may decode even an error's message
        raise LibraryError(
            f"the library in {folder} is damaged ({error}): vidsearch rebuild drops what cannot be read"
        ) from error
    except sqlite3.DatabaseError as error:
        message = _explain(error, folder)
        if message is None:
            raise
        raise LibraryError(message) from error


def _explain(error: sqlite3.DatabaseError, folder: Path) -> str | None:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # the rest of the bits refine it
    # A broken constraint is damage: vidsearch keeps to them, so there are rows that it did not write.
    damage = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CONSTRAINT)
    if code in damage or _NOT_TEXT in str(error):
        return _damaged(folder, error)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"the library in {folder} is in use by another process: try again when it has finished"
    if code in _CANNOT_WRITE:
        return f"the library in {folder} cannot be opened or written ({error}): check the folder's permissions"
    if code == sqlite3.SQLITE_FULL:
        return f"the disk that holds the library in {folder} is full: make room and run the command again"
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOLFS):
        return f"the library in {folder} cannot be read or written ({error}): check the disk"
    return None


def _damaged(folder: Path, why: object) -> str:
    return f"the library in {folder} is damaged ({why}): restore a backup, or delete the folder and index again"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LibraryError(f"cannot make the library folder {folder} ({error.strerror}): choose another one") from error


def _is_there(file: Path) -> bool:
    try:
        if file.exists() and not file.is_file():  # SQLite would wait for the other end of a pipe
            raise LibraryError(f"{file} is not a file: choose another library folder")
        return file.is_file()
    except OSError as error:
        raise LibraryError(f"cannot read the library in {file.parent} ({error.strerror}): check permissions") from error


def _connect(file: Path, *, create: bool) -> tuple[_Connection, bool]:
    """A connection and whether it may write."""
    if file.exists() and not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)):
        return _connect_unwritable(file), False
    return _open_uri(file, "mode=rwc" if create else "mode=rw"), True


def _connect_unwritable(file: Path) -> _Connection:
    try:
        return _open_uri(file, "mode=ro")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in _CANNOT_WRITE:
            raise
    # WAL wants a file beside the database even for reading. `immutable` does without, but leaves the log out: right
    # only if the log is empty.
    log = file.with_name(file.name + "-wal")
    if log.exists() and log.stat().st_size > 0:
        raise LibraryError(
            f"the library in {file.parent} was not closed properly and its folder cannot be written: "
            "run `vidsearch info` once as a user who may write there"
        )
    return _open_uri(file, "immutable=1")


def _open_uri(file: Path, parameters: str) -> _Connection:
    # isolation_level None: transactions begin where we say so, never by themselves. check_same_thread: Database gives a
    # connection to one thread at a time, and whoever closes it closes them all.
    connection = sqlite3.connect(
        f"{file.as_uri()}?{parameters}",
        uri=True,
        isolation_level=None,
        timeout=BUSY_TIMEOUT_S,
        check_same_thread=False,
        factory=_Connection,
    )
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE_BYTES}")  # counts for a new file alone
        connection.execute("PRAGMA foreign_keys = ON")
        add_functions(connection)
        connection.execute("PRAGMA synchronous = NORMAL")  # with WAL: a lost power supply may cost the last commit only
        # The first touch of the file: whatever is wrong with it shows here.
        connection.execute("PRAGMA user_version").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _bring_forward(connection: sqlite3.Connection, folder: Path, *, writable: bool) -> None:
    """Knows a schema by its shape: the number that stands with it may be wrong."""
    shape = read_shape(connection)
    if not shape:
        version = 0
    elif _pragma(connection, "application_id") != APPLICATION_ID:
        raise LibraryError(f"{folder / FILE_NAME} is not a vidsearch library: choose another library folder")
    else:
        version = _version(connection, shape, folder)
    if (version, _pragma(connection, "user_version")) == (SCHEMA_VERSION, SCHEMA_VERSION):
        return
    if writable:
        connection.execute("PRAGMA journal_mode = WAL")
        migrate(connection)
    elif version < SCHEMA_VERSION:
        raise LibraryError(f"the library in {folder} needs an update of its schema but cannot be written")


def _version(connection: sqlite3.Connection, shape: frozenset[str], folder: Path) -> int:
    number = _pragma(connection, "user_version")
    if number > SCHEMA_VERSION:
        raise LibraryError(
            f"the library in {folder} was written by a newer vidsearch (schema {number}, this program knows "
            f"{SCHEMA_VERSION}): update vidsearch"
        )
    version = shape_version(shape)
    if version is None:
        missing = SHAPES.get(number, frozenset()) - shape or SHAPES[SCHEMA_VERSION] - shape
        raise LibraryError(_damaged(folder, f"its schema lacks {min(missing)}"))
    return version


def _pragma(connection: sqlite3.Connection, name: str) -> Any:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]

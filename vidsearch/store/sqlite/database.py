"""The SQLite file: opened, migrated, and its errors turned into ours. Knows no tables."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidsearch.errors import LibraryError
from vidsearch.store.sqlite.migrations import APPLICATION_ID, SCHEMA_VERSION, migrate

if TYPE_CHECKING:
    import sqlite_utils

FILE_NAME = "library.sqlite3"
# The blob of an hour's vectors fills 57 pages of this size; smaller pages cost more links, larger ones more leftovers.
PAGE_SIZE_BYTES = 16384
BUSY_TIMEOUT_S = 10.0

_CANNOT_WRITE = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}


class Database:
    """One connection in WAL mode with foreign keys on. Readers never wait for a writer."""

    def __init__(self, folder: Path, connection: sqlite3.Connection, *, writable: bool) -> None:
        self.folder = folder
        self.writable = writable
        self._connection = connection
        self._utils: sqlite_utils.Database | None = None

    @classmethod
    def open(cls, folder: Path, *, create: bool) -> Database:
        """Opens the library of a folder, bringing an older schema forward.

        Raises LibraryError where there is none and `create` is False, and for a file that is newer, damaged, another
        program's or unreadable. A folder that cannot be written is opened for reading alone.
        """
        file = folder / FILE_NAME
        if create:
            _make_folder(folder)
        elif not _is_there(file):
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
        """The library as it stands now: everything read inside belongs together. Nothing is held off meanwhile."""
        with library_errors(self.folder):
            if self._connection.in_transaction:
                yield self._connection
                return
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                if self._connection.in_transaction:  # a full or failing disk ends it by itself
                    self._connection.execute("ROLLBACK")

    @contextmanager
    def atomic(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it or nothing, also when the process is killed."""
        if not self.writable:
            raise LibraryError(f"the library in {self.folder} cannot be written: check the folder's permissions")
        with library_errors(self.folder), self._with_utils().atomic():
            # A write comes first and takes SQLite's write lock: otherwise another process that commits after our first
            # read (`query` keeps its hits) would make our own write fail at once, without the busy timeout.
            self._connection.execute("UPDATE library SET writes = writes + 1")
            yield self._connection

    @contextmanager
    def quick(self) -> Iterator[sqlite3.Connection]:
        """As `atomic`, without the 0.1 s that sqlite-utils takes to import: a query keeps its hits with it."""
        if not self.writable:
            raise LibraryError(f"the library in {self.folder} cannot be written: check the folder's permissions")
        with library_errors(self.folder):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise

    def vacuum(self) -> None:
        """Gives the space of what was removed back to the disk."""
        with library_errors(self.folder):
            self._connection.execute("VACUUM")

    def close(self) -> None:
        """The last connection that closes folds the write-ahead log into the file: one file to back up."""
        self._connection.close()

    def _with_utils(self) -> sqlite_utils.Database:
        if self._utils is None:
            # Late: it costs 0.1 s (it brings its own command line along), which a query should not pay.
            import sqlite_utils

            self._utils = sqlite_utils.Database(self._connection, execute_plugins=False)
        return self._utils


@contextmanager
def library_errors(folder: Path) -> Iterator[None]:
    """Turns what SQLite says about the file, the disk and locks into a LibraryError; a wrong statement stays a bug."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        message = _explain(error, folder)
        if message is None:
            raise
        raise LibraryError(message) from error


def _explain(error: sqlite3.DatabaseError, folder: Path) -> str | None:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # the rest of the bits refine it
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return f"the library in {folder} is damaged ({error}): restore a backup, or delete the folder and index again"
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"the library in {folder} is in use by another process: try again when it has finished"
    if code in _CANNOT_WRITE:
        return f"the library in {folder} cannot be opened or written ({error}): check the folder's permissions"
    if code == sqlite3.SQLITE_FULL:
        return f"the disk that holds the library in {folder} is full: make room and run the command again"
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOLFS):
        return f"the library in {folder} cannot be read or written ({error}): check the disk"
    return None


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LibraryError(f"cannot make the library folder {folder} ({error.strerror}): choose another one") from error


def _is_there(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError as error:
        raise LibraryError(f"cannot read the library in {file.parent} ({error.strerror}): check permissions") from error


def _connect(file: Path, *, create: bool) -> tuple[sqlite3.Connection, bool]:
    """A connection and whether it may write."""
    if file.exists() and not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)):
        return _connect_unwritable(file), False
    return _open_uri(file, "mode=rwc" if create else "mode=rw"), True


def _connect_unwritable(file: Path) -> sqlite3.Connection:
    try:
        return _open_uri(file, "mode=ro")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in _CANNOT_WRITE:
            raise
    # WAL wants a file beside the database even for reading. `immutable` does without, but leaves the log out: right
    # only where the log is empty.
    log = file.with_name(file.name + "-wal")
    if log.exists() and log.stat().st_size > 0:
        raise LibraryError(
            f"the library in {file.parent} was not closed properly and its folder cannot be written: "
            "run `vidsearch info` once as a user who may write there"
        )
    return _open_uri(file, "immutable=1")


def _open_uri(file: Path, parameters: str) -> sqlite3.Connection:
    # isolation_level None: transactions begin where we say so, never by themselves.
    connection = sqlite3.connect(
        f"{file.as_uri()}?{parameters}", uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_S
    )
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE_BYTES}")  # counts for a new file alone
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = NORMAL")  # with WAL: a lost power supply may cost the last commit only
        connection.execute(
            "PRAGMA user_version"
        ).fetchone()  # the first touch of the file: whatever is wrong shows here
    except BaseException:
        connection.close()
        raise
    return connection


def _bring_forward(connection: sqlite3.Connection, folder: Path, *, writable: bool) -> None:
    version = _pragma(connection, "user_version")
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if tables and _pragma(connection, "application_id") != APPLICATION_ID:
        raise LibraryError(f"{folder / FILE_NAME} is not a vidsearch library: choose another library folder")
    if version > SCHEMA_VERSION:
        raise LibraryError(
            f"the library in {folder} was written by a newer vidsearch (schema {version}, this program knows "
            f"{SCHEMA_VERSION}): update vidsearch"
        )
    if version < SCHEMA_VERSION:
        if not writable:
            raise LibraryError(f"the library in {folder} needs an update of its schema but cannot be written")
        connection.execute("PRAGMA journal_mode = WAL")
        migrate(connection)


def _pragma(connection: sqlite3.Connection, name: str) -> Any:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]

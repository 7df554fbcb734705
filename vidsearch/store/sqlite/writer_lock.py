"""One writer at a time: the lock of a library, and who holds it."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vidsearch.errors import LibraryError
from vidsearch.files import replacing

log = logging.getLogger(__name__)

LOCK_NAME = "writer.lock"
HOLDER_NAME = "writer.json"
_TIME = "%Y-%m-%d %H:%M:%S"
_MOST_HOLDER_BYTES = 1000


class WriterLock:
    """A lock that the operating system drops when its process ends, however that ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._of_thread = threading.local()  # .holds: whether this thread has the lock

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Holds the lock; yields whether this is the outermost holding of this object in this thread.

        Raises LibraryError that names the process that has it if there is one, be it this one in another thread.
        """
        if getattr(self._of_thread, "holds", False):
            yield False
            return
        from filelock import FileLock, Timeout  # late: a query never locks

        file = self._folder / LOCK_NAME
        if file.is_symlink() or (file.exists() and not file.is_file()):  # locking would empty what a link leads to
            raise LibraryError(f"the library in {self._folder} cannot be locked: {file} is not a file; delete it")
        lock = FileLock(file)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise LibraryError(
                f"the library in {self._folder} is being written by {self._holder()}: wait until it has finished"
            ) from error
        except OSError as error:
            raise LibraryError(
                f"the library in {self._folder} cannot be locked ({error.strerror}): check the folder's permissions"
            ) from error
        self._of_thread.holds = True
        try:
            self._sign()
            yield True
        finally:
            self._of_thread.holds = False
            lock.release()

    def _sign(self) -> None:
        # Not into the lock file itself: trying for the lock empties that.
        holder = {"pid": os.getpid(), "since": time.strftime(_TIME)}
        try:  # in the place of whatever is there, be it a link or a pipe
            with replacing(self._folder / HOLDER_NAME) as partial:
                partial.write_text(json.dumps(holder), encoding="utf-8")
        except OSError as error:  # a folder: the lock holds without a name on it
            log.info("the holder of the lock is not noted: %s", error)

    def _holder(self) -> str:
        try:
            file = self._folder / HOLDER_NAME
            if not file.is_file() or file.stat().st_size > _MOST_HOLDER_BYTES:
                return "another process"
            holder = json.loads(file.read_text(encoding="utf-8"))
            return f"process {int(holder['pid'])} (since {time.strftime(_TIME, time.strptime(holder['since'], _TIME))})"
        except (OSError, ValueError, KeyError, TypeError, RecursionError):  # not what `_sign` writes
            return "another process"

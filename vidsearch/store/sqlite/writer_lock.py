"""One writer at a time: the lock of a library, and who holds it."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vidsearch.errors import LibraryError

LOCK_NAME = "writer.lock"
HOLDER_NAME = "writer.json"


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

        lock = FileLock(self._folder / LOCK_NAME)
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
        holder = {"pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        (self._folder / HOLDER_NAME).write_text(json.dumps(holder), encoding="utf-8")

    def _holder(self) -> str:
        try:
            holder = json.loads((self._folder / HOLDER_NAME).read_text(encoding="utf-8"))
            return f"process {holder['pid']} (since {holder['since']})"
        except (OSError, ValueError, KeyError, TypeError):  # it may be writing its name this moment
            return "another process"

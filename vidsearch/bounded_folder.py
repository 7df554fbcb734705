"""A folder of files that can be made again, kept within a limit: the ones used longest ago go first."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from vidsearch.files import replacing

log = logging.getLogger(__name__)


class BoundedFolder:
    """Entries by key, a file each, `KEY.SUFFIX`. What cannot be read or written costs time and is not an error."""

    def __init__(self, folder: Path, suffix: str, limit_bytes: int, *, shrink_every: int = 1) -> None:
        """`suffix` with its dot. `shrink_every`: how many entries are written before the folder is looked through."""
        self._folder, self._suffix, self._limit = folder, suffix, limit_bytes
        self._shrink_every = shrink_every
        self._written = 0

    def path(self, key: str) -> Path:
        """Where the entry lies, if it is there."""
        return self._folder / (key + self._suffix)

    def get(self, key: str) -> bytes | None:
        """The entry, which is the youngest from now on; None if there is none that can be read."""
        path = self.path(key)
        try:
            data = path.read_bytes()
            os.utime(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            log.info("the cached file %s is not used: %s", path, error)
            return None
        return data

    def put(self, key: str, data: bytes) -> None:
        """Keep an entry, whole or not at all, and remove the oldest if there are too many."""
        if len(data) > self._limit:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with replacing(self.path(key), private=True) as partial:
                partial.write_bytes(data)
            if self._written % self._shrink_every == 0:
                shrink(self._folder, self._suffix, self._limit)
            self._written += 1
        except OSError as error:
            log.info("nothing is kept in %s: %s", self._folder, error)


def shrink(folder: Path, suffix: str, limit_bytes: int) -> None:
    """Remove the files of that suffix that were read or written longest ago, until the rest is within the limit.

    What a killed process left unfinished counts as well; what another one writes now is young, and stays. Raises
    OSError if the folder cannot be listed.
    """
    entries = []
    for path in folder.iterdir():
        if path.suffix == suffix or path.name.startswith("."):
            try:
                status = path.stat()
            except FileNotFoundError:  # another process shrinks it, too
                continue
            entries.append((status.st_mtime_ns, status.st_size, path))
    left = limit_bytes
    for _, size, path in sorted(entries, reverse=True):
        left -= size
        if left < 0:
            path.unlink(missing_ok=True)

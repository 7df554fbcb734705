"""A library that many ask, one after the other: vectors of videos that were read lately are kept for a while."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from vidsearch.records import WindowVectors
    from vidsearch.store.interface import Library

KEPT_S = 10.0  # after a run of indexing, what is told of a video may be so old
MOST_BYTES = 64 << 20


class _Warm:
    """Everything is the library's own but `window_vectors`, which each query asks for many videos."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._kept: OrderedDict[tuple[Path, str], tuple[float, WindowVectors | None]] = OrderedDict()
        self._bytes = 0
        self._changing = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._library, name)

    def window_vectors(self, path: Path, *, model: str) -> WindowVectors | None:
        """See `Library.window_vectors`."""
        key, now = (path, model), time.monotonic()
        with self._changing:
            read_at, held = self._kept.get(key, (-KEPT_S, None))
        if now - read_at < KEPT_S:
            return held
        held = self._library.window_vectors(path, model=model)
        with self._changing:
            self._bytes += _bytes_of(held) - _bytes_of(self._kept.pop(key, (0.0, None))[1])
            self._kept[key] = now, held
            while self._bytes > MOST_BYTES and self._kept:
                self._bytes -= _bytes_of(self._kept.popitem(last=False)[1][1])
        return held


def warm(library: Library) -> Library:
    """The same library, which remembers what queries ask again and again. Threads may share it."""
    return cast("Library", _Warm(library))


def _bytes_of(held: WindowVectors | None) -> int:
    if held is None:
        return 0
    return held.vectors.nbytes + held.spans_s.nbytes + (0 if held.pictures is None else held.pictures.nbytes)

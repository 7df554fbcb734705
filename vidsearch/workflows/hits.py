"""The number of a hit ─▶ the file that holds its moment now."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vidsearch.errors import VideoError, VidsearchError
from vidsearch.records import Hit
from vidsearch.store.contents import is_same_content
from vidsearch.video.fingerprint import fingerprint

if TYPE_CHECKING:
    from vidsearch.store.interface import Library


@dataclass(frozen=True, slots=True)
class FoundHit:
    """A hit of the last query in the file that holds its moment now; `moved_from`: where it was then, if elsewhere."""

    hit: Hit
    moved_from: Path | None = None


def hits_of_numbers(library: Library, numbers: Sequence[int] | None) -> list[FoundHit]:
    """The hits of these numbers in their order, each once; None: all of the last query. Raises as `hit_of_number`."""
    if numbers is None:
        numbers = [hit.number for hit in library.last_hits()[1]]
        if not numbers:
            raise VidsearchError("The last query found nothing, or no query was made yet; query first.")
    return [hit_of_number(library, number) for number in dict.fromkeys(numbers)]


def hit_of_number(library: Library, number: int) -> FoundHit:
    """The hit of that number, which names a moment of a content: it follows a file that was renamed or moved.

    Raises VidsearchError if there is no such hit, if its file holds something else now, or if its content is nowhere to
    be found; LibraryError if the library keeps no hits.
    """
    text, hits = library.last_hits()
    hit = next((hit for hit in hits if hit.number == number), None)
    if hit is None:
        known = f"the last query, {text!r}, found {len(hits)}" if text else "no query was made yet"
        raise VidsearchError(f"There is no hit {number}: {known}; query first, or name a file as ./{number}.")
    if hit.fingerprint is None or _holds(hit.path, hit.fingerprint):  # None: kept by an earlier version
        return FoundHit(hit)
    for path in library.paths_of(hit.fingerprint):
        if path != hit.path and _holds(path, hit.fingerprint):
            return FoundHit(replace(hit, path=path), moved_from=hit.path)
    if hit.offline or not os.path.lexists(hit.path):
        raise VidsearchError(
            f"Hit {number} is a moment of {hit.path}, which is not there now; plug its disk in, or index where it is "
            "now and query again."
        )
    raise VidsearchError(
        f"Hit {number} was a moment of {hit.path}, which holds something else now; index it and query again."
    )


def _holds(path: Path, content: str) -> bool:
    """Whether a file is there and has this content. One that cannot be read is left to whoever opens it."""
    try:
        return is_same_content(content, fingerprint(path))
    except VideoError as error:
        return error.kind != "vanished"

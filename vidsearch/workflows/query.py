"""words ─▶ vector ─▶ windows ─▶ Hit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vidsearch.errors import VidsearchError
from vidsearch.records import Hit
from vidsearch.workflows.moments import merge_windows

if TYPE_CHECKING:
    from vidsearch.embedding.interface import TextEmbedder
    from vidsearch.store.library import Library

# Windows fetched for each hit wanted: one moment may swallow many neighbouring windows.
WINDOWS_PER_HIT = 20
FEWEST_WINDOWS = 400


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """What to show: `top` hits, at most `per_video` of one file, under one path, from a score upwards."""

    top: int = 10
    per_video: int = 3
    under: Path | None = None
    min_score: float | None = None
    exact: bool = False


def find_moments(library: Library, embedder: TextEmbedder, text: str, options: QueryOptions) -> list[Hit]:
    """The moments that answer `text`, best first; they are kept as the library's last hits.

    No moment where the model knows no word of the query: what its vector is near to has nothing to do with it.
    Raises VidsearchError for an empty query, LibraryError when the library holds nothing of this model.
    """
    if not text.strip():
        raise VidsearchError("The query is empty; give the words to search for, as in: vidsearch query 'dog jumping'.")
    windows = library.search(
        embedder.embed([text])[0],
        model=embedder.model,
        limit=max(FEWEST_WINDOWS, WINDOWS_PER_HIT * options.top),
        under=options.under,
        exact=options.exact,
    )
    hits = merge_windows(
        [] if embedder.knows_none_of(text) else windows,
        model=embedder.model,
        top=options.top,
        per_video=options.per_video,
        min_score=options.min_score,
    )
    library.save_hits(text, hits)
    return hits

"""Query ─▶ vector ─▶ windows ─▶ Hit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vidsearch.errors import VidsearchError
from vidsearch.records import Hit, Query, Term, Under
from vidsearch.workflows.moments import merge_windows

if TYPE_CHECKING:
    from vidsearch.embedding.interface import TextEmbedder
    from vidsearch.store.interface import Library

# Windows fetched for each hit wanted: one moment may swallow many neighbouring windows.
WINDOWS_PER_HIT = 20
FEWEST_WINDOWS = 400
# A sum of unit vectors shorter than this has no direction that means anything.
SHORTEST_SUM = 1e-6


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """How `find_moments` was told what to show before there was `Query`; accepted for this version."""

    top: int = 10
    per_video: int = 3
    under: Path | None = None
    min_score: float | None = None
    exact: bool = False

    def query(self, text: str) -> Query:
        """The same wish as a Query."""
        filters = () if self.under is None else (Under(self.under.absolute()),)
        return Query((Term(text),), filters, self.top, self.per_video, self.min_score, self.exact)


def find_moments(
    library: Library, embedder: TextEmbedder, query: Query | str, options: QueryOptions | None = None
) -> list[Hit]:
    """The moments that answer a query, best first. A plain text is a query of that one term.

    There is none if the model knows no word of the query: what its vector is near to has nothing to do with it.
    Raises VidsearchError for an empty query, LibraryError if the library holds nothing of this model.
    """
    if isinstance(query, str):
        query = (options or QueryOptions()).query(query)
    windows = library.search(
        query_vector(query.terms, embedder),
        model=embedder.model,
        limit=max(FEWEST_WINDOWS, WINDOWS_PER_HIT * query.top),
        filters=query.filters,
        exact=query.exact,
    )
    return merge_windows(
        [] if all(embedder.knows_none_of(term.text) for term in query.terms) else windows,
        model=embedder.model,
        top=query.top,
        per_video=query.per_video,
        min_score=query.min_score,
    )


def query_vector(terms: Sequence[Term], embedder: TextEmbedder) -> NDArray[np.float32]:
    """(E,): the terms' unit vectors, weighted and summed, at unit length again.

    Raises VidsearchError if there is no term, if one is empty, or if the terms cancel each other.
    """
    if not terms or not all(term.text.strip() for term in terms):
        raise VidsearchError("The query is empty; give the words to search for, as in: vidsearch query 'dog jumping'.")
    rows = embedder.embed([term.text for term in terms]).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    total = np.array([term.weight for term in terms]) @ rows
    length = np.linalg.norm(total)
    if not length > SHORTEST_SUM:
        raise VidsearchError("The terms of the query cancel each other; change a weight, or leave a term out.")
    return np.asarray(total / length, dtype=np.float32)

"""A file of queries whose answers are known, asked of a library.

A CSV with the columns `file` and `text`, a query a row: the video that answers it, relative to the CSV's folder or
absolute, or nothing where no video of the library does.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vidsearch.errors import LibraryError, VidsearchError
from vidsearch.evaluation.calibration import NOWHERE, KnownAnswers
from vidsearch.files import absolute

if TYPE_CHECKING:
    from vidsearch.embedding.interface import TextEmbedder
    from vidsearch.store.interface import Library

FEWEST = 20  # queries of each kind: with fewer nothing can be said about 1 in 20
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class JudgedQuery:
    """One row: a query and the video that answers it; None if none does."""

    text: str
    video: Path | None


def read_queries(source: Path) -> list[JudgedQuery]:
    """The rows of a CSV. VidsearchError, with the row, for what is not such a file."""
    try:
        text = source.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise VidsearchError(f"{source} cannot be read as text ({error}); it must be a CSV in UTF-8.") from error
    rows = csv.DictReader(io.StringIO(text, newline=""))
    if not {"file", "text"} <= set(rows.fieldnames or ()):
        raise VidsearchError(f"{source} lacks the columns file and text in its first line; add them.")
    return [_query(row, number, source) for number, row in enumerate(rows, start=2)]


def _query(row: Mapping[str, str | None], number: int, source: Path) -> JudgedQuery:
    text, file = (row["text"] or "").strip(), (row["file"] or "").strip()
    if not text:
        raise VidsearchError(f"{source}, row {number}: there is no text to search for; write one, or delete the row.")
    return JudgedQuery(text, absolute(source.parent / file) if file else None)


def require_enough(queries: Sequence[JudgedQuery]) -> None:
    """VidsearchError for too few queries of a kind to measure levels with."""
    absent = sum(query.video is None for query in queries)
    if min(absent, len(queries) - absent) < FEWEST:
        raise VidsearchError(
            f"There are {len(queries) - absent} queries with a file and {absent} without one; levels need at least "
            f"{FEWEST} of each kind."
        )


def ask(library: Library, embedder: TextEmbedder, queries: Sequence[JudgedQuery]) -> KnownAnswers:
    """The score of every video of the library for every query.

    A query of which the model knows no word scores -1 everywhere: it shows nothing. LibraryError for a video that is
    not in the library with this model's vectors.
    """
    rows = [row for row in library.videos() if row.state != "failed" and row.model == embedder.model]
    columns = {row.path: column for column, row in enumerate(rows)}
    absent = [query.video for query in queries if query.video is not None and query.video not in columns]
    if absent:
        named = ", ".join(str(video) for video in absent[:_SHOWN])
        raise LibraryError(
            f"{len(absent)} of the videos are not indexed with {embedder.model} ({named}); "
            f"run vidsearch index --model {embedder.model} on their folder first."
        )
    windows = sum(row.windows for row in rows)
    scores = np.stack([_scores(library, embedder, query.text, columns, windows) for query in queries])
    own = np.array([NOWHERE if query.video is None else columns[query.video] for query in queries], dtype=np.int64)
    return KnownAnswers(scores, own)


def _scores(
    library: Library, embedder: TextEmbedder, text: str, columns: Mapping[Path, int], windows: int
) -> NDArray[np.float64]:
    """(V,) the best window of each video."""
    best = np.full(len(columns), -1.0)
    if embedder.knows_none_of(text):
        return best
    for window in library.search(embedder.embed([text])[0], model=embedder.model, limit=windows, exact=True):
        column = columns[window.path]
        best[column] = max(best[column], window.score)
    return best

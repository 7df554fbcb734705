"""Query ─▶ vector ─▶ windows ─▶ Hit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from vidsearch.files import absolute, within_known
from vidsearch.frozen import dataclass
from vidsearch.records import (
    Alternative,
    AnyOf,
    Filter,
    Hit,
    LeftOutVideos,
    Named,
    NotUnder,
    Query,
    ReadBy,
    ScoredWindow,
    SortBy,
    Suffix,
    Term,
    Under,
)
from vidsearch.workflows.aim import Aim, aim_of, check_terms
from vidsearch.workflows.distinct import Distinct, content_of
from vidsearch.workflows.likeness import Source, TermVectors
from vidsearch.workflows.moments import merge_windows

if TYPE_CHECKING:
    from vidsearch.embedding.interface import ClipEmbedder, TextEmbedder
    from vidsearch.records import AnyTerm
    from vidsearch.store.interface import Library

# Windows fetched for each hit wanted: one moment may swallow many neighbouring windows.
WINDOWS_PER_HIT = 20
FEWEST_WINDOWS = 400
# Moments looked at for each one shown: some of them may show the same footage.
SPARE_MOMENTS = 3


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
    library: Library,
    embedder: TextEmbedder,
    query: Query | str,
    options: QueryOptions | None = None,
    *,
    open_clips: Callable[[], ClipEmbedder] | None = None,
) -> list[Hit]:
    """The moments that answer a query, in its order. A plain text is a query of that one term.

    There is none if the model knows no word of the query: what its vector is near to has nothing to do with it.
    `open_clips` opens the model's clip embedder, for a term that is like a picture or a clip that is not indexed; None:
    the installed one of the same name.

    Raises VidsearchError for an empty query, VideoError for a picture or clip that cannot be read, LibraryError if the
    library holds nothing of this model.
    """
    if isinstance(query, str):
        query = (options or QueryOptions()).query(query)
    check_terms(query.terms)
    query = replace(query, filters=searched_filters([known_filter(library, it) for it in query.filters]))
    vectors = TermVectors(library, embedder, open_clips or partial(_installed_clips, embedder.model))
    known = known_terms(query.terms, embedder)
    aim = aim_of(known or query.terms, vectors)
    search = _Search(
        library,
        embedder.model,
        query,
        aim,
        () if query.sources else tuple(vectors.sources),
        Distinct(library, embedder.model),
    )
    hits = search.moments(nothing=not known)
    return _shown_in_order(hits, query)


def query_aim(library: Library, embedder: TextEmbedder, terms: Sequence[AnyTerm]) -> Aim | None:
    """Where terms look, for whoever compares windows with them; None if the model knows none of their words."""
    known = known_terms(terms, embedder)
    return aim_of(known, TermVectors(library, embedder, partial(_installed_clips, embedder.model))) if known else None


def known_terms(terms: Sequence[AnyTerm], embedder: TextEmbedder) -> tuple[AnyTerm, ...]:
    """The terms that say something to the model; none if none of those does that say what to look for."""
    known = tuple(term for term in terms if not isinstance(term, Term) or not embedder.knows_none_of(term.text))
    return known if any(term.weight > 0 for term in known) else ()


def known_filter(library: Library, filter: Filter) -> Filter:
    """A filter whose place is named as the library names it: also one that leads there through a link."""
    if isinstance(filter, Under | NotUnder):
        return replace(filter, path=within_known(absolute(filter.path.expanduser()), library.roots()))
    return filter


def searched_filters(filters: Sequence[Filter]) -> tuple[Filter, ...]:
    """The filters of a query as a search takes them, which finds what passes all: alternatives become one filter."""
    joined: list[Filter] = [it for it in filters if not isinstance(it, Under | Named | Suffix | ReadBy)]
    for kind in get_args(Alternative):
        alternatives = tuple(it for it in filters if isinstance(it, kind))
        if alternatives:
            joined.append(alternatives[0] if len(alternatives) == 1 else AnyOf(alternatives))
    return tuple(joined)


@dataclass(frozen=True, slots=True)
class _Search:
    library: Library
    model: str
    query: Query
    aim: Aim
    unwanted: Sequence[Source]
    distinct: Distinct

    def moments(self, *, nothing: bool) -> list[Hit]:
        """The best moments. The search goes deeper until there are enough, or no window is left that could give one, or
        as many moments show the same as are looked at: in the footage of a camera that stands still these may be all.

        One video may hold all of the nearest windows and yet gives `per_video` moments at most: it is left out of the
        next round.
        """
        limit = max(FEWEST_WINDOWS, WINDOWS_PER_HIT * self.query.top)
        windows: list[ScoredWindow] = []
        full: frozenset[int] = frozenset()
        while True:
            filters = (*self.query.filters, LeftOutVideos(full)) if full else self.query.filters
            found = self.library.search(
                self.aim.vector, model=self.model, limit=limit, filters=filters, exact=self.query.exact
            )
            if nothing:
                return []
            windows = [window for window in windows if window.video_id in full] + self._wanted(found)
            moments = self._merged(windows)
            hits = self._shown(moments)
            ended = len(found) < limit or self._too_low(found[-1].score)
            if ended or self._enough(hits) or (not self.query.duplicates and len(moments) >= self._looked_at):
                return hits
            filled = self._full(moments, windows)
            limit *= 1 if filled - full else 4
            full |= filled

    @property
    def _per_video(self) -> int:
        """Moments taken of a video: some may turn out to show the same."""
        return self.query.per_video if self.query.duplicates else SPARE_MOMENTS * self.query.per_video

    @property
    def _looked_at(self) -> int:
        """The best moments, of which those that show something new are shown."""
        return SPARE_MOMENTS * self.query.top * (1 if self.query.group is None else self.query.per_video)

    def _merged(self, windows: Sequence[ScoredWindow]) -> list[Hit]:
        query = self.query
        return merge_windows(
            windows,
            model=self.model,
            top=len(windows),
            per_video=self._per_video,
            min_score=query.min_score,
            copies=query.duplicates,
        )

    def _shown(self, moments: Sequence[Hit]) -> list[Hit]:
        """The best moments, of which those that show the same count once."""
        query = self.query
        top = query.top if query.group is None else query.top * query.per_video
        if not query.duplicates:
            moments = self.distinct.of(moments[: self._looked_at], top=top, per_video=query.per_video)
        return list(moments[:top]) if query.group is None else _of_first_videos(moments, query.top)

    def _wanted(self, windows: Sequence[ScoredWindow]) -> list[ScoredWindow]:
        """Those that no negative term claims and that are not what a term is like."""
        if self.unwanted:
            windows = [
                it
                for it in windows
                if not any(source.shows(it.path, it.fingerprint, it.start_s, it.end_s) for source in self.unwanted)
            ]
        if not len(self.aim.negatives):
            return list(windows)
        by_path: dict[Path, list[ScoredWindow]] = {}
        for window in windows:
            by_path.setdefault(window.path, []).append(window)
        kept = [window for path, mine in by_path.items() for window in self._not_claimed(path, mine)]
        return sorted(kept, key=lambda window: (-window.score, str(window.path), window.start_s))

    def _not_claimed(self, path: Path, windows: Sequence[ScoredWindow]) -> list[ScoredWindow]:
        held = self.library.window_vectors(path, model=self.model)
        if held is None:
            return list(windows)
        row_at = {start_s: row for row, start_s in enumerate(held.spans_s[:, 0].tolist())}
        pairs = [(window, row_at[window.start_s]) for window in windows if window.start_s in row_at]
        wanted = self.aim.wants(held.vectors[[row for _, row in pairs]])
        positive = held.vectors @ self.aim.positive
        return [
            replace(window, judged=float(positive[row]))
            for (window, row), keep in zip(pairs, wanted.tolist(), strict=True)
            if keep
        ]

    def _enough(self, hits: Sequence[Hit]) -> bool:
        shown = {hit.path for hit in hits} if self.query.group else hits
        return len(shown) >= self.query.top

    def _too_low(self, score: float) -> bool:
        return self.query.min_score is not None and score < self.query.min_score

    def _full(self, moments: Sequence[Hit], windows: Sequence[ScoredWindow]) -> frozenset[int]:
        """The videos that have given all the moments they may."""
        given = Counter(content_of(hit) for hit in moments)
        return frozenset(
            window.video_id for window in windows if given[window.fingerprint or str(window.path)] >= self._per_video
        )


def _of_first_videos(hits: Sequence[Hit], count: int) -> list[Hit]:
    first = set(list(dict.fromkeys(hit.path for hit in hits))[:count])
    return [replace(hit, number=number) for number, hit in enumerate((it for it in hits if it.path in first), start=1)]


def _shown_in_order(hits: Sequence[Hit], query: Query) -> list[Hit]:
    """The hits as they are to be shown, numbered from 1."""
    match query.sort:
        case "score":
            ordered = list(hits)
        case "name":
            ordered = sorted(hits, key=lambda hit: (hit.path.name.casefold(), str(hit.path), hit.start_s))
        case "time":
            ordered = sorted(hits, key=lambda hit: (str(hit.path), hit.start_s))
        case "date":
            ordered = sorted(hits, key=lambda hit: (-(hit.date_s or 0.0), str(hit.path), hit.start_s))
        case other:
            raise ValueError(f"hits are sorted by {', '.join(get_args(SortBy))}, not by {other!r}")
    return [replace(hit, number=number) for number, hit in enumerate(ordered, start=1)]


def _installed_clips(model: str) -> ClipEmbedder:
    from vidsearch.embedding.embedder import open_clip_embedder

    return open_clip_embedder(model)

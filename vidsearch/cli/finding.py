"""A query asked of the library, and what is said of its answer on stderr: for every command that searches."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from vidsearch import dirs
from vidsearch.cli import options, query_options, show
from vidsearch.frozen import dataclass
from vidsearch.records import Hit, Query, Term, VideoFile

if TYPE_CHECKING:
    from vidsearch.embedding.interface import TextEmbedder
    from vidsearch.store.interface import Library
    from vidsearch.workflows.relevance import Levels

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to a query: the hits to show, and how many weaker ones are left out."""

    query: Query
    model: str
    hits: Sequence[Hit]
    left_out: int
    levels: Levels  # of the model's scores, as far as they say something of this query


@dataclass(frozen=True, slots=True)
class Finder:
    """A library and a model that are open, and answer one query after the other."""

    library: Library
    embedder: TextEmbedder
    levels: Levels

    def find(self, query: Query, *, only_matching: bool, keep: bool = True) -> Found:
        """The answer. With `keep` its hits are the last ones from now on, for `vidsearch ask NUMBER`.

        Raises VidsearchError for a place of which the library holds nothing.
        """
        from vidsearch.workflows.query import find_moments
        from vidsearch.workflows.relevance import levels_for, worth_showing

        levels = levels_for(query, self.levels)
        query = query_options.with_known_places(query, self.library)
        for term in query.terms:
            if isinstance(term, Term):
                _say_what_is_not_searched(term.text, self.embedder)
        found = find_moments(self.library, self.embedder, query)
        if not found:
            query_options.check_places(self.library, query)
        hits = worth_showing(found, levels) if only_matching else found
        if keep and not self.library.save_hits(query.text, hits):
            show.say("vidsearch: The library cannot be written, so ask knows no numbers of these hits; name a file.")
        if keep:
            _say_what_was_written_to(self.library, hits)
        for hit in hits:
            log.info("%s", _dated(hit))
        return Found(query, self.embedder.model, hits, len(found) - len(hits), levels)


_kept: dict[tuple[Path, str], Finder] | None = None  # what stays open, in a process that asks again and again


@contextmanager
def open_finder(model: str) -> Iterator[Finder]:
    """The library of this machine and a model, open as long as the block runs; within `keeping_open`, from then on."""
    from vidsearch.embedding.embedder import open_text_embedder
    from vidsearch.models.folder import find_model
    from vidsearch.models.score_levels import levels_of

    place = dirs.home_dir(), model
    if _kept is not None and place in _kept:
        yield _kept[place]
        return
    with ExitStack() as stack:
        library = stack.enter_context(options.open_library())
        folder = find_model(model, dirs.models_dir(), "embedding")
        levels = levels_of(folder, dirs.models_dir())
        _say_what_is_behind(library)
        finder = Finder(library, open_text_embedder(model, models_dir=dirs.models_dir(), found=folder), levels)
        if _kept is not None:
            _kept[place] = finder
            stack.pop_all()
        yield finder


@contextmanager
def keeping_open() -> Iterator[None]:
    """Within the block a library and a model that were opened for a query stay open for the next."""
    global _kept
    _kept = {}
    try:
        yield
    finally:
        for finder in _kept.values():
            finder.library.close()
        _kept = None


def find(query: Query, model: str, *, only_matching: bool) -> Found:
    """Asks the library of this machine, as `Finder.find` says."""
    with open_finder(model) as finder:
        return finder.find(query, only_matching=only_matching)


def _say_what_is_behind(library: Library) -> None:
    """That folders have changed since they were indexed, and how the library catches up; judged in milliseconds."""
    if show.is_quiet():
        return
    from vidsearch.store.freshness import changed_folders

    for root, folders in changed_folders(library.folder, _looks_like_video, library.roots()).items():
        what = "A folder has" if folders == 1 else f"{folders} folders have"
        show.say(f"{what} changed under {root} since the last run; vidsearch index {root} catches up.")


def _say_what_was_written_to(library: Library, hits: Sequence[Hit]) -> None:
    """That files of these hits are not those that were indexed, as far as their size and time tell."""
    from vidsearch.workflows.likeness import is_as_indexed  # late, as the search itself

    if show.is_quiet():
        return
    paths = list(dict.fromkeys(hit.path for hit in hits if not hit.offline))
    files = [VideoFile(it.path, it.size_bytes, it.mtime_ns) for it in library.videos_at(paths).values()]
    changed = [file.path for file in files if not is_as_indexed(file)]
    if not changed:
        return
    whose = (
        f"{changed[0]} has changed since it was"
        if len(changed) == 1
        else "Some of these files have changed since they were"
    )
    roots = [str(root) for root in library.roots() if any(path.is_relative_to(root) for path in changed)]
    show.say(f"{whose} indexed, and may show something else now; vidsearch index {' '.join(roots)} catches up.")


def _looks_like_video(path: Path) -> bool:
    from vidsearch.video.discover import looks_like_video  # late: only a folder that has changed is listed

    return looks_like_video(path)


def say_what_is_left_out(found: Found, *, only_matching: bool) -> None:
    """What is not among the hits, and why."""
    _say_alike(found)
    _say_weaker(found)
    if found.hits and only_matching and found.levels is None:
        if all(isinstance(term, Term) for term in found.query.terms):
            show.say(
                f"Every moment is shown, however weak: what a score of {found.model} means was never measured "
                "(vidsearch train calibrate --help)."
            )
        else:
            log.info("every moment is shown: levels are measured for words, not for what is like something")


def _say_alike(found: Found) -> None:
    more = sum(hit.more for hit in found.hits)
    if more:
        what = "1 moment that shows" if more == 1 else f"{more} moments that show"
        show.say(f"{what} the same as a better one {'is' if more == 1 else 'are'} not listed; --duplicates lists all.")


def _say_weaker(found: Found) -> None:
    text, left_out = found.query.text, found.left_out
    weaker = f"{left_out} weaker {'moment is' if left_out == 1 else 'moments are'} not shown; --all shows them"
    if not found.hits:
        show.say(f"Nothing matches {text!r}; {weaker}." if left_out else f"Nothing found for {text!r}.")
    elif left_out:
        show.say(f"{weaker[0].upper()}{weaker[1:]}.")


def _dated(hit: Hit) -> str:
    if hit.date_s is None:
        return f"hit {hit.number}: no date"
    moment = datetime.fromtimestamp(hit.date_s).isoformat(" ", "seconds")
    return f"hit {hit.number}: {moment}, {'when it was recorded' if hit.date_recorded else 'the time of its file'}"


def _say_what_is_not_searched(text: str, embedder: TextEmbedder) -> None:
    """The words that the model does not know or does not read any more, on stderr."""
    nothing_left = embedder.knows_none_of(text)
    if words := embedder.unknown_words(text):
        what_now = (
            "put it in words that it knows, or choose another --model" if nothing_left else "it searches without them"
        )
        show.say(f"vidsearch: {embedder.model} does not know: {', '.join(words)}; {what_now}.")
    elif nothing_left:
        show.say("vidsearch: The query has no word that says what to look for.")
    if cut := embedder.unread_words(text):
        show.say(f"vidsearch: The query is too long for {embedder.model}; it searches without: {' '.join(cut)}")

"""What the page asks of the library: moments, videos by number, and how well a video matches over its time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vidsearch import json_forms
from vidsearch.query_text.reading import parse_query
from vidsearch.records import Hit, LikeFile, Query, Term, Under
from vidsearch.serving.refusals import bad_request, not_found
from vidsearch.video.messages import not_there
from vidsearch.workflows.moments import merge_windows
from vidsearch.workflows.query import find_moments, query_aim
from vidsearch.workflows.relevance import levels_for, match_level, worth_showing

if TYPE_CHECKING:
    from vidsearch.embedding.interface import ClipEmbedder, TextEmbedder
    from vidsearch.records import VideoEntry
    from vidsearch.store.interface import Library
    from vidsearch.workflows.relevance import Levels

MOST_WORDS = 1000  # characters of a query
MOST_HITS = 500
MOST_WINDOWS = 50_000  # of one video: 55 hours at the usual stride
CURVE_MOMENTS = 12


@dataclass(frozen=True, slots=True)
class Catalogue:
    """An open library and what searches it. Every method may be called by many threads at once."""

    library: Library
    embedder: TextEmbedder
    levels: Levels
    default_model: str

    def search(self, query: Query, *, show_all: bool) -> dict[str, Any]:
        """The form of `vidsearch query --json`; each hit also has the number and the shape of its video."""
        found = find_moments(self.library, self.embedder, query)
        only_matching = not show_all and query.min_score is None
        hits = worth_showing(found, self.levels) if only_matching else found
        words = [term.text for term in query.terms]
        return {
            **json_forms.query(query, self.embedder.model),
            "hits": self.hit_forms(hits, self.levels),
            "left_out": len(found) - len(hits),
            "unknown_words": sorted({word for text in words for word in self.embedder.unknown_words(text)}),
        }

    def similar(self, number: int, start_s: float, end_s: float, top: int) -> dict[str, Any]:
        """Moments that look like a range of a video, which itself is left out. A short range is widened to a window."""
        entry = self.entry(number)
        query = Query((LikeFile(entry.path, *self.widened(entry, start_s, end_s)),), top=top, per_video=1)
        found = find_moments(self.library, self.embedder, query, open_clips=_not_indexed)
        return {
            "video": number,
            "path": json_forms.name_text(entry.path),
            "model": self.embedder.model,
            "hits": self.hit_forms(found, levels_for(query, self.levels)),
        }

    def as_hits(self, moments: Sequence[tuple[int, float, float]]) -> list[Hit]:
        """Moments (number of a video, start, end) as hits."""
        hits = []
        for place, (number, start_s, end_s) in enumerate(moments, start=1):
            entry = self.entry(number)
            middle = (start_s + end_s) / 2
            hits.append(Hit(place, entry.path, start_s, end_s, middle, 0.0, self.embedder.model))
        return hits

    def hit_forms(self, hits: Sequence[Hit], levels: Levels) -> list[dict[str, Any]]:
        """JSON forms of hits. One whose video left the library meanwhile is left out."""
        entries = self.library.videos_at(list(dict.fromkeys(hit.path for hit in hits)))
        return [json_forms.hit(hit, levels) | _shape(entries[hit.path]) for hit in hits if hit.path in entries]

    def widened(self, entry: VideoEntry, start_s: float, end_s: float) -> tuple[float, float]:
        """A range at least as long as a window of the model: the library holds vectors of windows."""
        models = self.library.info().models
        specs = next((held.window_specs for held in models if held.name == self.embedder.model), ())
        length_s = max(end_s - start_s, *(spec.length_s for spec in specs), 0.0)
        first = entry.start_s or 0.0
        last = first if entry.end_s is None else entry.end_s
        start_s = max(first, min((start_s + end_s - length_s) / 2, last - length_s))
        return start_s, start_s + length_s

    def entry(self, number: int) -> VideoEntry:
        """The video with a number."""
        entry = self.library.video(number)
        if entry is None:
            raise not_found(f"The library holds no video {number}.")
        return entry

    def entry_at_hand(self, number: int) -> VideoEntry:
        """The video with a number, whose file is there now."""
        entry = self.entry(number)
        if not entry.path.is_file():
            raise not_found(not_there(entry.path))
        return entry

    def videos(self, limit: int, offset: int, failed: bool | None) -> dict[str, Any]:
        """A page of all videos, latest written first."""
        total, entries = self.library.newest_videos(limit, offset, failed=failed)
        return {"total": total, "videos": [video_form(entry) for entry in entries]}

    def facts(self) -> dict[str, Any]:
        """The form of `vidsearch info --json`, with the model that searches and what its scores mean."""
        levels = None
        if self.levels is not None:
            levels = {"high": self.levels.high, "medium": self.levels.medium, "low": self.levels.low}
        form = json_forms.library(self.library.info(), self.default_model)
        return form | {"model": self.embedder.model, "levels": levels}

    def curve(self, number: int, query: Query) -> dict[str, Any]:
        """Every window of one video with its score, in the order of time, and the moments that they make."""
        entry = self.entry(number)
        aim = query_aim(self.library, self.embedder, query.terms)
        if aim is None:
            windows = []
        else:
            windows = self.library.search(
                aim.vector,
                model=self.embedder.model,
                limit=MOST_WINDOWS,
                filters=(Under(entry.path),),
            )
        moments = merge_windows(windows, model=self.embedder.model, top=CURVE_MOMENTS, per_video=CURVE_MOMENTS)
        return {
            "video": number,
            "query": query.text,
            "model": self.embedder.model,
            "windows": [
                {
                    "start_s": round(window.start_s, 3),
                    "end_s": round(window.end_s, 3),
                    "score": round(window.score, 4),
                    "level": match_level(window.score, self.levels),
                }
                for window in sorted(windows, key=lambda window: window.start_s)
            ],
            "moments": self.hit_forms(worth_showing(moments, self.levels), self.levels),
        }


def read_query(text: str, **shown: Any) -> Query:
    """The query that a text says, in the form that `vidsearch query` takes, with what is to be shown of it.

    Raises QueryMistake; RefusedError for a text without words, or one that names a file or a hit of the shell.
    """
    query = parse_query(text)
    if not all(isinstance(term, Term) for term in query.terms):
        raise bad_request("The page takes no like: with a file or a number; choose Similar at a picture instead.")
    if not query.terms:
        raise bad_request("The query has no words; write what to look for.")
    return replace(query, **shown)


def video_form(entry: VideoEntry) -> dict[str, Any]:
    """A video as the page shows it; the names are those of `vidsearch videos --json` where it has them."""
    return {
        "video": entry.number,
        "path": json_forms.name_text(entry.path),
        "state": entry.state,
        "error": entry.error,
        "error_kind": entry.error_kind,
        "start_s": _rounded(entry.start_s),
        "end_s": _rounded(entry.end_s),
        "duration_s": _rounded(entry.duration_s),
        "fps": _rounded(entry.fps),
        "width_px": entry.width_px,
        "height_px": entry.height_px,
        "codec": entry.codec,
        "container": entry.container,
        "size_bytes": entry.size_bytes,
        "modified_s": round(entry.mtime_ns / 1e9, 3),
    }


def _shape(entry: VideoEntry) -> dict[str, Any]:
    return {
        "video": entry.number,
        "video_start_s": _rounded(entry.start_s),
        "video_end_s": _rounded(entry.end_s),
        "video_duration_s": _rounded(entry.duration_s),
        "width_px": entry.width_px,
        "height_px": entry.height_px,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _not_indexed() -> ClipEmbedder:
    raise bad_request("This range is not indexed with the model that searches; choose another one.")

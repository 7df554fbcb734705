"""What the page asks of the library: moments, videos by number, and how well a video matches over its time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vidsearch import json_forms
from vidsearch.records import Query, Term, Under
from vidsearch.serving.refusals import bad_request, not_found
from vidsearch.workflows.moments import merge_windows
from vidsearch.workflows.query import find_moments, query_aim
from vidsearch.workflows.relevance import match_level, worth_showing

if TYPE_CHECKING:
    from vidsearch.embedding.interface import TextEmbedder
    from vidsearch.records import Hit, VideoEntry
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
        return {
            "query": query.text,
            "model": self.embedder.model,
            "hits": self.hit_forms(hits),
            "left_out": len(found) - len(hits),
            "unknown_words": sorted({word for term in query.terms for word in self.embedder.unknown_words(term.text)}),
        }

    def hit_forms(self, hits: Sequence[Hit]) -> list[dict[str, Any]]:
        """JSON forms of hits. One whose video left the library meanwhile is left out."""
        entries = self.library.videos_at(list(dict.fromkeys(hit.path for hit in hits)))
        return [json_forms.hit(hit, self.levels) | _shape(entries[hit.path]) for hit in hits if hit.path in entries]

    def entry(self, number: int) -> VideoEntry:
        """The video with a number."""
        entry = self.library.video(number)
        if entry is None:
            raise not_found(f"The library holds no video {number}.")
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
            "moments": self.hit_forms(worth_showing(moments, self.levels)),
        }


def words_query(text: str, **shown: Any) -> Query:
    """A query of these words. RefusedError if there are none."""
    if not text.strip():
        raise bad_request("The query is empty; write what to look for.")
    return Query((Term(text.strip()),), **shown)


def video_form(entry: VideoEntry) -> dict[str, Any]:
    """A video as the page shows it; the names are those of `vidsearch videos --json` where it has them."""
    return {
        "video": entry.number,
        "path": json_forms.name_text(entry.path),
        "state": entry.state,
        "error": entry.error,
        "error_kind": entry.error_kind,
        "start_s": _rounded(entry.start_s),
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
        "video_duration_s": _rounded(entry.duration_s),
        "width_px": entry.width_px,
        "height_px": entry.height_px,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)

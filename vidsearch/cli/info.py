"""`vidsearch info`: where the library is, what it holds and how large it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidsearch import json_forms
from vidsearch.cli import options, show
from vidsearch.extras import installed
from vidsearch.timecode import clock

if TYPE_CHECKING:
    from vidsearch.store.interface import LibraryInfo, ModelInfo


def info(as_json: options.Json = False) -> None:
    """Say where the library lies, what it holds for which model, and how large it is."""
    with options.open_library() as library:
        facts = library.info()
    if as_json:
        show.write_json({"version": json_forms.VERSION, **json_forms.library(facts, options.search_model())})
    else:
        show.table_or_lines(("", ""), rows(facts))


def _windows(model: ModelInfo) -> str:
    still = f", {model.still_windows} of them still," if model.still_windows else ""
    kinds = {spec.kind for spec in model.window_specs}
    shots = "" if "shots" not in kinds else " that follow cuts" if len(kinds) == 1 else ", for some videos by cuts,"
    return f"{model.windows} windows{shots}{still}"


def rows(facts: LibraryInfo) -> list[tuple[str, str]]:
    """What a person reads, a line each."""
    size = f"{show.size_text(facts.database_bytes)} database, {show.size_text(facts.index_bytes)} search index"
    videos = f"{facts.indexed} indexed ({clock(facts.duration_s)}), {facts.failed} failed, {facts.offline} offline"
    return [
        ("library", str(facts.folder)),
        ("videos", videos),
        *(("folder", f"{root.path}{' (offline)' if root.offline else ''}") for root in facts.roots),
        *(("model", _model(model)) for model in facts.models),
        ("size", size),
        *([] if installed("hnswlib") else [("hnswlib", "not installed; very large libraries search by codes alone")]),
        ("default model", options.search_model()),
    ]


def _model(model: ModelInfo) -> str:
    """With what made its vectors, where that is known of any; they may be compared whatever made them."""
    told = f"{model.name}: {_windows(model)} of {model.videos} videos"
    if all(item.runtime is None for item in model.runtimes):
        return told
    if len(model.runtimes) == 1:
        return f"{told}, by {model.runtimes[0].runtime}"
    parts = [f"{item.videos} by {item.runtime or 'an unknown runtime'}" for item in model.runtimes]
    return f"{told}: {', '.join(parts)}; all may be compared"

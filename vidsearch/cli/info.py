"""`vidsearch info`: where the library is, what it holds and how large it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vidsearch.cli import options, show
from vidsearch.timecode import clock

if TYPE_CHECKING:
    from vidsearch.store.library import LibraryInfo, ModelInfo


def info(as_json: options.Json = False) -> None:
    """Say where the library lies, what it holds for which model, and how large it is."""
    with options.open_library() as library:
        facts = library.info()
    if as_json:
        show.write_json({"version": 1, **as_dict(facts)})
    else:
        show.table_or_lines(("", ""), rows(facts))


def as_dict(facts: LibraryInfo) -> dict[str, Any]:
    """The stable JSON form; documented in docs/json.md."""
    return {
        "folder": str(facts.folder),
        "schema": facts.schema,
        "default_model": options.DEFAULT_MODEL,
        "roots": [{"path": str(root.path), "offline": root.offline} for root in facts.roots],
        "models": [_model(model) for model in facts.models],
        "videos": {"indexed": facts.indexed, "failed": facts.failed, "offline": facts.offline},
        "duration_s": round(facts.duration_s, 3),
        "database_bytes": facts.database_bytes,
        "index_bytes": facts.index_bytes,
    }


def _model(model: ModelInfo) -> dict[str, Any]:
    return {
        "name": model.name,
        "videos": model.videos,
        "windows": model.windows,
        "dim": model.dim,
        "window_specs": [{"window_s": spec.length_s, "stride_s": spec.stride_s} for spec in model.window_specs],
    }


def rows(facts: LibraryInfo) -> list[tuple[str, str]]:
    """What a person reads, a line each."""
    size = f"{show.size_text(facts.database_bytes)} database, {show.size_text(facts.index_bytes)} search index"
    videos = f"{facts.indexed} indexed ({clock(facts.duration_s)}), {facts.failed} failed, {facts.offline} offline"
    return [
        ("library", str(facts.folder)),
        ("videos", videos),
        *(("folder", f"{root.path}{' (offline)' if root.offline else ''}") for root in facts.roots),
        *(("model", f"{model.name}: {model.windows} windows of {model.videos} videos") for model in facts.models),
        ("size", size),
        ("default model", options.DEFAULT_MODEL),
    ]

"""Features of videos and queries in the layout that moment_detr and its kin read: `vidsearch evaluate features`.

    OUT/clips/VID.npz      `features` (L, E): row i shows the seconds 2 i to 2 i + 2, at most 75 rows, of unit length
    OUT/text/qidQID.npz    `last_hidden_state` (1, E) and `pooler_output` (E,): the query's one vector, of unit length

moment_detr cuts and normalises the rows once more, and adds the two columns i / L and (i + 1) / L itself. CLIP's text
features are a vector for each token; a model that searches has one for the whole query.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidsearch.embedding.interface import ClipEmbedder, TextEmbedder
from vidsearch.errors import VideoError, VidsearchError
from vidsearch.evaluation.grounding_sets import CLIP_S, GroundingQuery, read_grounding
from vidsearch.evaluation.video_vectors import Progress, VectorCache
from vidsearch.evaluation.window_vectors import WindowCache, clip_vectors
from vidsearch.files import replacing
from vidsearch.json_forms import VERSION

MOST_CLIPS = 75
FORMATS = {"qvhighlights": "qvhighlights"}  # the format → the set whose annotations name videos and queries


@dataclass(frozen=True, slots=True)
class FeaturesWritten:
    """What was written: features of so many videos and queries; others are missing or unreadable."""

    folder: Path
    model: str
    videos: int
    queries: int
    missing: tuple[str, ...]
    unreadable: dict[str, str]

    def as_dict(self) -> dict[str, object]:
        """The JSON form."""
        return {
            "version": VERSION,
            "folder": str(self.folder),
            "model": self.model,
            "videos": self.videos,
            "queries": self.queries,
            "missing": list(self.missing),
            "unreadable": self.unreadable,
        }


@dataclass(frozen=True, slots=True)
class FeaturesRequest:
    """In which format, of which data, into which folder; `limit` is the number of queries."""

    format: str
    data: Path
    out: Path
    limit: int | None = None
    annotations: Path | None = None


def write_features(
    request: FeaturesRequest, clips: ClipEmbedder, texts: TextEmbedder, cache_folder: Path, weights: Path
) -> Iterator[Progress | FeaturesWritten]:
    """Progress, and last what was written. Vectors are kept in `cache_folder`, so that a run that was cut off goes on.

    VidsearchError for an unknown format, data that are not there, and a folder that cannot be written.
    """
    if request.format not in FORMATS:
        raise VidsearchError(f"No format is called {request.format!r}; choose one of {', '.join(FORMATS)}.")
    queries = read_grounding(FORMATS[request.format], request.data, request.annotations)[: request.limit]
    cache = WindowCache(VectorCache(cache_folder, clips.model, weights, f"clips {CLIP_S:g} {clips.frames}"))
    videos = {query.video: query.path for query in queries if query.path is not None}
    unreadable: dict[str, str] = {}
    yield Progress(0, len(videos))
    for number, (name, path) in enumerate(videos.items(), start=1):
        try:
            own = cache.load(path)
            if own is None:
                own = clip_vectors(path, clips, CLIP_S, MOST_CLIPS)
                cache.store(path, own)
            _save(request.out / "clips" / f"{name}.npz", features=own.vectors)
        except VideoError as error:
            unreadable[name] = str(error)
        yield Progress(number, len(videos))
    _write_queries(request.out / "text", queries, texts)
    yield FeaturesWritten(
        folder=request.out,
        model=clips.model,
        videos=len(videos) - len(unreadable),
        queries=len(queries),
        missing=tuple(dict.fromkeys(query.video for query in queries if query.path is None)),
        unreadable=unreadable,
    )


def _write_queries(folder: Path, queries: list[GroundingQuery], texts: TextEmbedder) -> None:
    for query, vector in zip(queries, texts.embed([query.text for query in queries]), strict=True):
        _save(folder / f"qid{query.id}.npz", last_hidden_state=vector[None], pooler_output=vector)


def _save(path: Path, **arrays: np.ndarray) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial, partial.open("wb") as file:
            np.savez(file, **{name: np.asarray(array, np.float32) for name, array in arrays.items()})  # type: ignore[arg-type]
    except OSError as error:
        raise VidsearchError(f"{path} cannot be written ({error.strerror}).") from error

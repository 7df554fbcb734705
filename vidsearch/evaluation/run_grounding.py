"""A benchmark of moments from its data to its figures: the workflow of `vidsearch evaluate grounding`.

Nothing is trained: a query's moments are those that the tool itself would show, the windows of the library merged
where neighbours answer alike (`workflows/moments.py`).
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidsearch.embedding.interface import ClipEmbedder, TextEmbedder
from vidsearch.errors import VideoError, VidsearchError
from vidsearch.evaluation.files import present
from vidsearch.evaluation.grounding import (
    Predicted,
    by_length,
    highlights,
    mean_average_precision,
    mean_iou,
    r1,
)
from vidsearch.evaluation.grounding_sets import CLIP_S, GroundingQuery, read_grounding
from vidsearch.evaluation.published import Published, published
from vidsearch.evaluation.result import result_form
from vidsearch.evaluation.video_vectors import Progress, VectorCache
from vidsearch.evaluation.window_vectors import WindowCache, WindowVectors, window_vectors
from vidsearch.files import replacing
from vidsearch.records import ScoredWindow, WindowSpec
from vidsearch.workflows.moments import merge_windows

MOMENTS = 10  # of a query


@dataclass(frozen=True, slots=True)
class GroundingRequest:
    """Which set, where its data are, how many of its queries, and into which windows videos are cut."""

    set: str
    data: Path
    limit: int | None = None
    annotations: Path | None = None
    length_s: float = 8.0
    stride_s: float = 4.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A query with its moments, best first, and a score for each clip of 2 s, (L,)."""

    query: GroundingQuery
    moments: tuple[Predicted, ...]
    saliency: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class GroundingResult:
    """The figures of a set. `items` queries were answered; those about `missing` or `unreadable` videos were not."""

    set: str
    model: str
    items: int
    left_out: int
    missing: tuple[str, ...]
    unreadable: dict[str, str]
    metrics: dict[str, float]
    protocol: str
    answers: tuple[Answer, ...]
    published: tuple[Published, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return result_form(self, left_out=self.left_out)


def evaluate_grounding(
    request: GroundingRequest, clips: ClipEmbedder, texts: TextEmbedder, cache_folder: Path, weights: Path
) -> Iterator[Progress | GroundingResult]:
    """Progress, and last the result. Vectors are kept in `cache_folder`, so that a run that was cut off goes on.

    `weights` is the model's file, whose change makes kept vectors void. VidsearchError if the data are not there.
    """
    listed = read_grounding(request.set, request.data, request.annotations)[: request.limit]
    there = [query for query, _ in present(listed, request.set, request.data, "queries")]
    spec = WindowSpec(request.length_s, request.stride_s, clips.frames)
    about = f"windows {spec.length_s:g} {spec.stride_s:g} {spec.frames}"
    cache = WindowCache(VectorCache(cache_folder, clips.model, weights, about))
    windows, unreadable = yield from _gathered(there, clips, cache, spec)
    asked = [query for query in there if query.video in windows]
    if not asked:
        raise VidsearchError(f"No video of {request.set} can be read; the first one: {next(iter(unreadable.values()))}")
    vectors = texts.embed([query.text for query in asked])
    answers = [_answer(query, windows[query.video], vector) for query, vector in zip(asked, vectors, strict=True)]
    yield GroundingResult(
        set=request.set,
        model=clips.model,
        items=len(asked),
        left_out=len(listed) - len(asked),
        missing=tuple(dict.fromkeys(query.video for query in listed if query.path is None)),
        unreadable=unreadable,
        metrics=_metrics(answers),
        protocol=f"zero-shot; windows of {spec.length_s:g} s every {spec.stride_s:g} s, merged as a query merges them",
        answers=tuple(answers),
        published=published("grounding", request.set),
    )


def _gathered(
    queries: Sequence[GroundingQuery], clips: ClipEmbedder, cache: WindowCache, spec: WindowSpec
) -> Generator[Progress, None, tuple[dict[str, WindowVectors], dict[str, str]]]:
    """The windows of each video by its name, and why others have none."""
    videos = {query.video: query.path for query in queries if query.path is not None}
    windows: dict[str, WindowVectors] = {}
    unreadable: dict[str, str] = {}
    yield Progress(0, len(videos))
    for name, path in videos.items():
        own = cache.load(path)
        if own is None:
            try:
                own = window_vectors(path, clips, spec)
                cache.store(path, own)
            except VideoError as error:
                unreadable[name] = str(error)
        if own is not None:
            windows[name] = own
        yield Progress(len(windows) + len(unreadable), len(videos))
    return windows, unreadable


def _answer(query: GroundingQuery, own: WindowVectors, vector: NDArray[np.float32]) -> Answer:
    assert query.path is not None  # queries without a video are left out before
    scores = own.vectors @ vector
    windows = [
        ScoredWindow(0, query.path, float(start), float(end), float(score))
        for start, end, score in zip(own.starts_s, own.ends_s, scores, strict=True)
    ]
    found = merge_windows(windows, model="", top=MOMENTS, per_video=MOMENTS)
    moments = tuple(Predicted(hit.start_s, hit.end_s, hit.score) for hit in found)
    return Answer(query, moments, _saliency(own, scores))


def _saliency(own: WindowVectors, scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """(L,): of each clip of 2 s the mean score of the windows that show its middle."""
    clips = max(1, int(own.ends_s.max() / CLIP_S + 0.5))
    middles = (np.arange(clips) + 0.5) * CLIP_S
    shown = (own.starts_s[None] <= middles[:, None]) & (middles[:, None] < own.ends_s[None])  # (L, N)
    nearest = np.abs((own.starts_s + own.ends_s)[None] / 2 - middles[:, None]).argmin(axis=1)
    means = (shown @ scores) / np.maximum(shown.sum(axis=1), 1)
    return np.asarray(np.where(shown.any(axis=1), means, scores[nearest]), dtype=np.float32)


def _metrics(answers: Sequence[Answer]) -> dict[str, float]:
    truth = {own.query.id: own.query.windows for own in answers}
    predicted = {own.query.id: own.moments for own in answers}
    precision = mean_average_precision(truth, predicted)
    figures = {f"r1@{threshold:g}": r1(truth, predicted, threshold) for threshold in (0.3, 0.5, 0.7)}
    figures |= {"miou": mean_iou(truth, predicted), "map": precision["average"]}
    figures |= {f"map@{threshold}": precision[threshold] for threshold in ("0.5", "0.75")}
    figures |= {f"map_{name}": value for name, value in by_length(truth, predicted).items()}
    rated = [(own.query.saliency, own.saliency) for own in answers if own.query.saliency is not None]
    return {**figures, **(highlights(rated) if rated else {})}


def write_predictions(path: Path, answers: Sequence[Answer]) -> None:
    """moment_detr's file of predictions: a JSON object a line, windows sorted by score, a score a clip."""
    lines = [
        json.dumps(
            {
                "qid": int(own.query.id) if own.query.id.isdigit() else own.query.id,
                "query": own.query.text,
                "vid": own.query.video,
                "pred_relevant_windows": [[each.start_s, each.end_s, each.score] for each in own.moments],
                "pred_saliency_scores": [float(score) for score in own.saliency],
            },
            ensure_ascii=False,
        )
        for own in answers
    ]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            partial.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    except OSError as error:
        raise VidsearchError(f"{path} cannot be written ({error.strerror}).") from error

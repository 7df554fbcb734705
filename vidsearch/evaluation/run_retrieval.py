"""A retrieval benchmark from its data to its figures: the workflow of `vidsearch evaluate retrieval`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vidsearch.embedding.interface import ClipEmbedder, TextEmbedder
from vidsearch.evaluation.files import present
from vidsearch.evaluation.published import Published, published
from vidsearch.evaluation.result import result_form
from vidsearch.evaluation.retrieval import retrieval
from vidsearch.evaluation.retrieval_sets import Listed, RetrievalSet, read_set, retrieval_set
from vidsearch.evaluation.video_vectors import Progress, SetRequest, VectorCache, gather

PROTOCOL = "8 middle frames of a video; cosine in float32; of equal scores that with the lower number first"


@dataclass(frozen=True, slots=True)
class RetrievalResult:
    """The figures of a set. `items` videos with `texts` texts were ranked; `missing` and `unreadable` were not."""

    set: str
    model: str
    items: int
    texts: int
    missing: tuple[str, ...]
    unreadable: dict[str, str]
    metrics: dict[str, dict[str, float]]
    protocol: str
    published: tuple[Published, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return result_form(self, texts=self.texts)


def evaluate_retrieval(
    request: SetRequest, clips: ClipEmbedder, texts: TextEmbedder, cache_folder: Path, weights: Path
) -> Iterator[Progress | RetrievalResult]:
    """Progress, and last the result. Vectors are kept in `cache_folder`, so that a run that was cut off goes on.

    `weights` is the model's file, whose change makes kept vectors void. VidsearchError if the data are not there.
    """
    known = retrieval_set(request.set)
    listed = read_set(request.set, request.data, request.annotations)[: request.limit]
    there = present(listed, request.set, request.data)
    cache = VectorCache(cache_folder, clips.model, weights, request.protocol(known.first_s, clips.frames))
    gathered = yield from gather([path for _, path in there], clips, cache, known.first_s)
    ranked = [there[number][0] for number in sorted(gathered.vectors)]
    metrics = _metrics(ranked, gathered.stacked(), texts)
    missing = tuple(video.name for video in listed if video.path is None)
    yield RetrievalResult(
        set=request.set,
        model=clips.model,
        items=len(ranked),
        texts=sum(len(video.texts) for video in ranked),
        missing=missing,
        unreadable={there[number][0].name: reason for number, reason in gathered.unreadable.items()},
        metrics=metrics,
        protocol=_protocol(known, request.variant),
        published=published("retrieval", request.set),
    )


def _metrics(ranked: list[Listed], videos: np.ndarray, texts: TextEmbedder) -> dict[str, dict[str, float]]:
    owners = [number for number, video in enumerate(ranked) for _ in video.texts]
    return retrieval(videos, texts.embed([text for video in ranked for text in video.texts]), owners)


def _protocol(known: RetrievalSet, variant: str) -> str:
    rules = [PROTOCOL, *([variant] if variant else [])]
    if known.first_s is not None:
        rules.append(f"of a longer video the first {known.first_s:g} s")
    if known.paragraphs:
        rules.append("all texts of a video joined by spaces")
    return "; ".join(rules)

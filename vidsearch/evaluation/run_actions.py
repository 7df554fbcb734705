"""A benchmark of action recognition from its data to its figures: the workflow of `vidsearch evaluate actions`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidsearch.embedding.interface import ClipEmbedder, TextEmbedder
from vidsearch.evaluation.action_sets import ActionVideo, read_actions
from vidsearch.evaluation.actions import class_scores, prompts, top
from vidsearch.evaluation.files import present
from vidsearch.evaluation.published import Published, published
from vidsearch.evaluation.result import result_form
from vidsearch.evaluation.video_vectors import Progress, SetRequest, VectorCache, gather

PROTOCOL = "8 middle frames of a video; a class scores as the mean of its cosines with 16 prompts"


@dataclass(frozen=True, slots=True)
class ActionResult:
    """The figures of a set, in percent; with several splits `metrics` are their means, and `splits` has each."""

    set: str
    model: str
    items: int
    classes: int
    missing: tuple[str, ...]
    unreadable: dict[str, str]
    metrics: dict[str, float]
    splits: dict[str, dict[str, float]]
    protocol: str = PROTOCOL
    published: tuple[Published, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        splits = {"splits": self.splits} if len(self.splits) > 1 else {}
        return {**result_form(self, classes=self.classes), "metrics": {**self.metrics, **splits}}


def evaluate_actions(
    request: SetRequest, clips: ClipEmbedder, texts: TextEmbedder, cache_folder: Path, weights: Path
) -> Iterator[Progress | ActionResult]:
    """Progress, and last the result; see `run_retrieval.evaluate_retrieval`."""
    test = read_actions(request.set, request.data, request.annotations)
    listed = test.videos[: request.limit]
    there = present(listed, request.set, request.data)
    cache = VectorCache(cache_folder, clips.model, weights, request.protocol(None, clips.frames))
    gathered = yield from gather([path for _, path in there], clips, cache)
    ranked = [there[number][0] for number in sorted(gathered.vectors)]
    splits = _figures(ranked, gathered.stacked(), _prompt_vectors(test.classes, texts))
    yield ActionResult(
        set=request.set,
        model=clips.model,
        items=len(ranked),
        classes=len(test.classes),
        missing=tuple(video.name for video in listed if video.path is None),
        unreadable={there[number][0].name: reason for number, reason in gathered.unreadable.items()},
        metrics={name: float(np.mean([own[name] for own in splits.values()])) for name in ("top1", "top5", "avg")},
        splits=splits,
        protocol=f"{PROTOCOL}; {request.variant}" if request.variant else PROTOCOL,
        published=published("actions", request.set),
    )


def _prompt_vectors(classes: Sequence[str], texts: TextEmbedder) -> NDArray[np.float32]:
    """(C, P, E)."""
    each = [prompts(name) for name in classes]
    vectors = texts.embed([prompt for own in each for prompt in own])
    return vectors.reshape(len(each), len(each[0]), -1)


def _figures(
    ranked: Sequence[ActionVideo], videos: NDArray[np.float32], prompt_vectors: NDArray[np.float32]
) -> dict[str, dict[str, float]]:
    """Of each split that has a video here: top-1, top-5 and their mean."""
    scores = class_scores(videos, prompt_vectors)
    labels = np.array([video.label for video in ranked])
    figures = {}
    for split in sorted({split for video in ranked for split in video.splits}):
        own = np.array([split in video.splits for video in ranked])
        first, fifth = (top(scores[own], labels[own], k) for k in (1, 5))
        figures[f"split{split}"] = {"top1": first, "top5": fifth, "avg": (first + fifth) / 2}
    return figures

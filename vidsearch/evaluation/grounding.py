"""Moment retrieval: R1 and mAP at intersections over union, and highlights, as moment_detr evaluates QVHighlights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Window = tuple[float, float]  # start and end in seconds
THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
LISTED = 10  # windows of a prediction that mAP looks at
RATINGS = {"fair": 2, "good": 3, "very_good": 4}  # from which score of an annotator a clip is a highlight
LENGTHS = {"short": (0.0, 10.0), "middle": (10.0, 30.0), "long": (30.0, 150.0)}  # (more than, up to) seconds


@dataclass(frozen=True, slots=True)
class Predicted:
    """A window with its score."""

    start_s: float
    end_s: float
    score: float


Truth = Mapping[str, Sequence[Window]]
Predictions = Mapping[str, Sequence[Predicted]]


def iou(one: Window, other: Window) -> float:
    """Intersection over union of two windows."""
    shared = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
    union = (one[1] - one[0]) + (other[1] - other[0]) - shared
    return shared / union if union > 0 else 0.0


def r1(truth: Truth, predictions: Predictions, threshold: float) -> float:
    """Percent of queries whose first listed window meets the threshold with the best fitting truth window."""
    hits = [_first_iou(windows, predictions.get(query, ())) >= threshold for query, windows in truth.items()]
    return float(100 * np.mean(hits))


def mean_iou(truth: Truth, predictions: Predictions) -> float:
    """The mean over queries, in percent, of the first window's intersection over union; 0 without a window."""
    return float(100 * np.mean([_first_iou(windows, predictions.get(query, ())) for query, windows in truth.items()]))


def _first_iou(windows: Sequence[Window], listed: Sequence[Predicted]) -> float:
    if not listed or not windows:
        return 0.0
    return max(iou((listed[0].start_s, listed[0].end_s), window) for window in windows)


def mean_average_precision(truth: Truth, predictions: Predictions) -> dict[str, float]:
    """In percent, by threshold ("0.5" … "0.95") and their "average": the mean over queries of average precision."""
    each = np.array([_precisions(windows, predictions.get(query, ())) for query, windows in truth.items()])
    by_threshold = 100 * each.mean(axis=0)
    named = {f"{threshold:g}": float(value) for threshold, value in zip(THRESHOLDS, by_threshold, strict=True)}
    return {**named, "average": float(by_threshold.mean())}


def by_length(truth: Truth, predictions: Predictions) -> dict[str, float]:
    """The average mAP of short, middle and long moments: truth windows of that length, of queries that have one."""
    figures = {}
    for name, (more_than, up_to) in LENGTHS.items():
        own = {
            query: kept
            for query, windows in truth.items()
            if (kept := [window for window in windows if more_than < window[1] - window[0] <= up_to])
        }
        if own:
            figures[name] = mean_average_precision(own, predictions)["average"]
    return figures


def _precisions(windows: Sequence[Window], listed: Sequence[Predicted]) -> list[float]:
    """Average precision of one query at each threshold."""
    ranked = sorted(listed[:LISTED], key=lambda window: -window.score)
    overlaps = np.array([[iou((p.start_s, p.end_s), window) for window in windows] for p in ranked])
    return [_average_precision(overlaps, threshold, len(windows)) for threshold in THRESHOLDS]


def _average_precision(overlaps: NDArray[np.float64], threshold: float, windows: int) -> float:
    """All-point interpolated. Each prediction takes the free truth window that it overlaps most, if by enough."""
    if not len(overlaps):
        return 0.0
    free = np.ones(windows, dtype=bool)
    right = np.zeros(len(overlaps))
    for number, row in enumerate(overlaps):
        best = int(np.argmax(np.where(free, row, -1.0)))
        if free[best] and row[best] >= threshold:
            free[best], right[number] = False, 1.0
    found = np.cumsum(right)
    precision = found / np.arange(1, len(right) + 1)
    steps = np.diff(np.concatenate([[0.0], found / windows]))
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    return float((best_from_here * steps).sum())


def highlights(rated: Sequence[tuple[NDArray[np.integer], NDArray[np.floating]]]) -> dict[str, float]:
    """In percent, for each level of `RATINGS`: hit@1 and mAP of the clips' scores. Each query: (L, A), (L',).

    The annotators' scores of each clip of 2 s, 0 to 4, and the predicted scores, which are cut to L or filled up with
    0. A hit is a best clip that any annotator finds good enough; mAP is the mean over queries and annotators.
    """
    figures = {}
    for name, least in RATINGS.items():
        good = [(scores >= least, _of_length(predicted, len(scores))) for scores, predicted in rated]
        hits = [_is_hit(scores >= least, predicted) for scores, predicted in rated]
        precisions = [_clip_precision(own, predicted) for positive, predicted in good for own in positive.T]
        figures[f"hit1_{name}"] = float(100 * np.mean(hits))
        figures[f"highlight_map_{name}"] = float(100 * np.mean(precisions))
    return figures


def _is_hit(positive: NDArray[np.bool_], predicted: NDArray[np.floating]) -> bool:
    best = int(np.argmax(predicted))
    return best < len(positive) and bool(positive[best].any())


def _of_length(predicted: NDArray[np.floating], length: int) -> NDArray[np.floating]:
    return np.pad(predicted, (0, max(0, length - len(predicted))))[:length]


def _clip_precision(positive: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
    """Interpolated average precision of clips (L,), equal scores taken together; 0 without a positive, 1 if all are."""
    if not positive.any() or positive.all():
        return float(positive.any())
    order = np.argsort(-scores, kind="stable")
    last_of_equal = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    found = np.cumsum(positive[order])[last_of_equal]
    precision = np.maximum.accumulate((found / (last_of_equal + 1))[::-1])[::-1]
    _, first = np.unique(found, return_index=True)
    return float(precision[first[found[first] > 0]].mean())

"""Moment retrieval on a worked example, whose figures moment_detr's own evaluation gave, and edges by hand."""

from __future__ import annotations

import numpy as np
import pytest

from vidsearch.evaluation.grounding import Predicted, by_length, highlights, iou, mean_average_precision, mean_iou, r1

TRUTH = {"q1": [(4, 10)], "q2": [(0, 8), (20, 34)], "q3": [(10, 50)]}
LISTED = {
    "q1": [(4, 12, 0.9), (0, 4, 0.5), (4, 10, 0.3)],
    "q2": [(20, 30, 0.8), (0, 10, 0.7), (10, 20, 0.6)],
    "q3": [(0, 20, 0.8), (12, 48, 0.4)],
}
PREDICTED = {query: [Predicted(*window) for window in windows] for query, windows in LISTED.items()}


def test_the_worked_example() -> None:
    assert [round(r1(TRUTH, PREDICTED, at), 2) for at in (0.5, 0.7, 0.75)] == [66.67, 66.67, 33.33]
    figures = mean_average_precision(TRUTH, PREDICTED)
    assert [round(figures[at], 2) for at in ("0.5", "0.75", "0.8", "average")] == [83.33, 58.33, 36.11, 57.78]
    alone = {query: mean_average_precision({query: TRUTH[query]}, PREDICTED)["average"] for query in TRUTH}
    assert {query: round(value, 2) for query, value in alone.items()} == {"q1": 73.33, "q2": 55.0, "q3": 45.0}
    assert {name: round(value, 2) for name, value in by_length(TRUTH, PREDICTED).items()} == {
        "short": 54.17,
        "middle": 50.0,
        "long": 45.0,
    }


def test_overlap() -> None:
    assert iou((0, 10), (5, 15)) == pytest.approx(1 / 3)
    assert iou((0, 4), (4, 8)) == 0 and iou((3, 3), (3, 3)) == 0
    assert mean_iou({"a": [(0, 10)], "b": [(0, 10)]}, {"a": [Predicted(5, 15, 1.0)]}) == pytest.approx(100 / 6)


def test_a_query_without_a_window_finds_nothing() -> None:
    assert r1(TRUTH, {}, 0.5) == 0 and mean_average_precision(TRUTH, {})["average"] == 0


def test_one_truth_window_is_found_once() -> None:
    twice = {"q": [Predicted(0, 10, 0.9), Predicted(0, 10, 0.8)]}
    assert mean_average_precision({"q": [(0, 10), (20, 30)]}, twice)["0.5"] == 50.0
    many = {"q": [Predicted(50, 60, 1 - number / 100) for number in range(10)] + [Predicted(0, 10, 0.1)]}
    assert mean_average_precision({"q": [(0, 10)]}, many)["0.5"] == 0  # the eleventh is not looked at


def test_highlights_by_hand() -> None:
    scores = np.array([[0, 0, 0], [2, 3, 4], [4, 4, 4], [0, 0, 0], [1, 2, 3]])
    predicted = np.array([0.9, 0.5, 0.6, 0.1])  # one clip too few: the last one counts as 0
    figures = highlights([(scores, predicted)])
    # The best clip, 0, is no highlight for anybody.
    assert [figures[f"hit1_{name}"] for name in ("fair", "good", "very_good")] == [0, 0, 0]
    # Ranks: clips 0, 2, 1, 3, 4. fair: positives {1, 2}, {1, 2, 4}, {1, 2, 4}; at 2, 3 and 5: the best precision from
    # there on is 2/3, 2/3 and 3/5.
    assert figures["highlight_map_fair"] == pytest.approx(100 * (2 / 3 + 2 * (2 / 3 + 2 / 3 + 3 / 5) / 3) / 3)
    # very good: {2}, {2}, {1, 2}.
    assert figures["highlight_map_very_good"] == pytest.approx(100 * (1 / 2 + 1 / 2 + 2 / 3) / 3)
    best = highlights([(scores, np.array([0.0, 0.2, 0.9, 0.1, 0.1, 5.0]))])  # the best is beyond the last clip
    assert best["hit1_fair"] == 0
    assert highlights([(scores, np.array([0.0, 0.2, 0.9]))])["hit1_very_good"] == 100


def test_highlights_of_equal_scores_are_taken_together() -> None:
    scores = np.array([[4], [0], [4], [0]])
    assert highlights([(scores, np.array([0.5, 0.5, 0.5, 0.5]))])["highlight_map_fair"] == 50
    assert highlights([(scores[:1], np.array([0.5]))])["highlight_map_fair"] == 100
    assert highlights([(scores[1:2], np.array([0.5]))])["highlight_map_fair"] == 0

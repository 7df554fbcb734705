"""Neighbouring windows become one moment; other events of the same video stay apart."""

from pathlib import Path

import pytest

from vidsearch.records import ScoredWindow
from vidsearch.workflows.moments import merge_windows


def window(start_s: float, score: float, *, video: int = 1, length_s: float = 8.0) -> ScoredWindow:
    return ScoredWindow(video, Path(f"/v/{video}.mp4"), start_s, start_s + length_s, score)


def spans(windows: list[ScoredWindow], **options: object) -> list[tuple[float, float, float]]:
    settings = {"model": "m", "top": 10, "per_video": 3, **options}
    return [(hit.start_s, hit.end_s, hit.score) for hit in merge_windows(windows, **settings)]


def test_neighbours_that_answer_alike_are_one_moment() -> None:
    assert spans([window(0, 0.28), window(4, 0.30), window(8, 0.29)]) == [(0, 16, 0.30)]


def test_a_weak_neighbour_is_neither_joined_nor_shown() -> None:
    assert spans([window(0, 0.30), window(4, 0.20)]) == [(0, 8, 0.30)]


def test_two_events_of_one_video_are_two_moments_in_order_of_score() -> None:
    windows = [window(0, 0.25), window(4, 0.10), window(8, 0.10), window(40, 0.30), window(44, 0.29)]
    assert spans(windows)[:2] == [(40, 52, 0.30), (0, 8, 0.25)]


def test_a_gap_in_time_is_not_bridged() -> None:
    assert spans([window(0, 0.30), window(8.5, 0.30)]) == [(0, 8, 0.30), (8.5, 16.5, 0.30)]


def test_a_run_is_followed_step_by_step_in_both_directions() -> None:
    windows = [window(start, 0.3 if start == 12 else 0.28) for start in range(0, 28, 4)]
    assert spans(windows) == [(0, 32, 0.3)]


def test_at_most_n_of_a_video_and_k_in_all() -> None:
    windows = [window(100 * i, 0.5 - i / 100) for i in range(5)] + [window(0, 0.1, video=2)]
    assert len(spans(windows, per_video=2)) == 3
    assert len(spans(windows, per_video=5, top=4)) == 4


def test_scores_below_the_cut_off_are_left_out() -> None:
    assert spans([window(0, 0.30), window(100, 0.10)], min_score=0.2) == [(0, 8, 0.30)]


def test_hits_are_numbered_and_know_their_best_time() -> None:
    hits = merge_windows([window(0, 0.1), window(0, 0.3, video=2)], model="m", top=5, per_video=1)
    assert [(hit.number, hit.path.name, hit.best_s, hit.model) for hit in hits] == [
        (1, "2.mp4", 4.0, "m"),
        (2, "1.mp4", 4.0, "m"),
    ]


@pytest.mark.parametrize("order", [1, -1])
def test_equal_scores_have_one_order(order: int) -> None:
    windows = [window(0, 0.3, video=video) for video in (3, 1, 2)][::order]
    hits = merge_windows(windows, model="m", top=3, per_video=1)
    assert [hit.path.name for hit in hits] == ["1.mp4", "2.mp4", "3.mp4"]


def test_negative_scores_do_not_join_everything() -> None:
    assert spans([window(0, -0.10), window(4, -0.30)]) == [(0, 8, -0.10)]

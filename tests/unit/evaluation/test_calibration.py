"""Levels from scores, on cases small enough to be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from vidsearch.evaluation.calibration import (
    NOWHERE,
    KnownAnswers,
    Outcome,
    Tally,
    leave_one_out,
    measure_levels,
    outcome,
    split_half,
    tally,
)
from vidsearch.models.score_levels import ScoreLevels

# Three videos; two present queries (right: video 0, video 2) and two absent ones.
SMALL = KnownAnswers(
    np.array([[0.9, 0.2, 0.1], [0.6, 0.3, 0.5], [0.3, 0.1, 0.2], [0.1, 0.4, 0.7]]), np.array([0, 2, NOWHERE, NOWHERE])
)


def answers(right: list[float], absent: list[float]) -> KnownAnswers:
    """Present queries whose right video is the first one, absent ones with their best score in it; a second at -1."""
    best = np.array(right + absent)
    own = np.array([0] * len(right) + [NOWHERE] * len(absent))
    return KnownAnswers(np.stack([best, np.full(len(best), -1.0)], axis=1), own)


def test_what_is_right_and_what_an_absent_query_would_show() -> None:
    assert SMALL.right.tolist() == [0.9, 0.5]
    assert SMALL.best_absent.tolist() == [0.3, 0.7]
    assert SMALL.places.tolist() == [0, 1]
    assert answers([-1.0], [0.5]).places.tolist() == [1]  # equal scores: the other one may come first


def test_levels_of_twenty_queries_of_each_kind() -> None:
    # Right scores 0.40 … 0.59: a further one lies below the second lowest, 0.41, with probability 2 / 21. Absent ones
    # 0.30 … 0.49: a further one lies above the highest with probability 1 / 21, above the fifth, 0.45, with 5 / 21.
    known = answers([0.40 + 0.01 * i for i in range(20)], [0.30 + 0.01 * i for i in range(20)])
    levels = measure_levels(known)
    assert (levels.high, levels.medium, levels.low) == pytest.approx((0.4901, 0.4501, 0.41), abs=1e-9)
    assert outcome(known, levels) == Outcome(
        absent_at_high=0, absent_shown=9 / 20, present_without_any=1 / 20, present_without_own=1 / 20
    )


def test_the_shares_hold_for_queries_to_come() -> None:
    # Each query in turn is the one to come. Beyond the levels of the others lie the 3 lowest of
    # 31 and the 2 highest of 42.
    known = answers([0.1 + 0.001 * i for i in range(31)], [0.5 + 0.001 * i for i in range(42)])
    judged = leave_one_out(known)
    assert judged.present_without_own == pytest.approx(3 / 31)
    assert judged.absent_at_high == pytest.approx(2 / 42)


def test_too_few_absent_queries_let_none_pass_high() -> None:
    assert measure_levels(answers([0.2] * 10, [0.1] * 9 + [0.3])).high == 0.3001
    assert measure_levels(answers([0.2] * 10, [0.57] * 10)).high == 0.5701  # 0.57 × 10^4 is no whole number in binary


def test_a_level_is_never_below_the_next_lower_one() -> None:
    levels = measure_levels(answers([0.8] * 10, [0.1] * 10))
    assert levels.high == levels.medium == levels.low == 0.8


def test_a_hit_at_exactly_the_low_level_is_shown() -> None:
    known = answers([0.123456] * 10, [0.1] * 10)
    assert outcome(known, measure_levels(known)).present_without_own == 0


def test_hits_of_each_level_are_counted() -> None:
    counts = tally(SMALL, ScoreLevels(0.7, 0.5, 0.25), top=2)
    assert counts["high"] == Tally(right=1, absent=1)  # 0.9; 0.7
    assert counts["medium"] == Tally(right=1, wrong=1)  # 0.5; 0.6
    assert counts["low"] == Tally(absent=2)  # 0.3 and 0.4
    assert counts["none"] == Tally(wrong=1, absent=1)  # 0.2; 0.2


def test_left_out_queries_are_judged_by_the_levels_of_the_others() -> None:
    # Without 0.1 the least right score is 0.5, so 0.1 is not shown; without another one low is 0.1.
    # Without 0.9 the best absent score is 0.2, so 0.9 passes high (which is no lower than low, 0.1).
    known = answers([0.1, 0.5, 0.5], [0.2, 0.2, 0.9])
    assert leave_one_out(known) == Outcome(
        absent_at_high=1 / 3, absent_shown=1, present_without_any=1 / 3, present_without_own=1 / 3
    )


def test_half_of_the_videos_and_queries_judge_the_levels_of_the_other_half() -> None:
    scores = np.full((8, 4), 0.1)
    scores[np.arange(4), np.arange(4)] = 0.5  # each present query finds its own video
    known = KnownAnswers(scores, np.array([0, 1, 2, 3, *[NOWHERE] * 4]))
    assert split_half(known, rounds=5) == Outcome(0, 0, 0, 0)
    scores[3, 3] = 0.3  # one right video scores less: where it is judged by the others' levels it is not shown
    judged = split_half(KnownAnswers(scores, known.own), rounds=5)
    assert judged.present_without_own == 0.25  # one of the two of its half, in one direction of the two


def test_a_part_of_the_queries_and_videos() -> None:
    part = SMALL.among(np.array([False, True, True, False]), np.array([False, True, True]))
    assert part.scores.tolist() == [[0.3, 0.5], [0.1, 0.2]]
    assert part.own.tolist() == [1, NOWHERE]


@pytest.mark.parametrize("own", [[0, 1], [NOWHERE, NOWHERE]])
def test_both_kinds_of_query_are_needed(own: list[int]) -> None:
    with pytest.raises(ValueError, match="both kinds"):
        KnownAnswers(np.zeros((2, 2)), np.array(own))
